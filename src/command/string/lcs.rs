//! `LCS`: the longest common subsequence of two strings.
//!
//! There may be several as long; the table and the way back through it are Redis's, so that the one
//! found is too.

use std::borrow::Cow;
use std::ops::Range;

use crate::command::{Args, Ctx, Outcome};
use crate::data::string::{self, Found};
use crate::data::{KeyspaceId, View};
use crate::error::{self, Stop};
use crate::num;
use crate::resp::Reply;

#[derive(Default)]
struct Options {
    len: bool,
    ranges: bool,
    range_lens: bool,
    range_len_min: usize,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, Stop> {
        let mut options = Options::default();
        let mut args = args.iter();
        while let Some(option) = args.next() {
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            if is(b"idx") {
                options.ranges = true;
            } else if is(b"len") {
                options.len = true;
            } else if is(b"withmatchlen") {
                options.range_lens = true;
            } else if is(b"minmatchlen") {
                let text = args.next().ok_or(error::SYNTAX)?;
                let min = num::parse_i64(text).ok_or(error::NOT_AN_INTEGER)?;
                options.range_len_min = min.max(0) as usize;
            } else {
                return Err(error::SYNTAX.into());
            }
        }
        if options.ranges && options.len {
            let text = "ERR If you want both the length and indexes, please just use IDX.";
            return Err(text.into());
        }
        Ok(options)
    }
}

pub(super) fn lcs(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let view = &*ctx.view;
    let find = |at| string::get(view, keyspace, ctx.args.get(at)).map_err(not_a_string);
    let (a, b) = (find(1), find(2));
    let (a, b) = (a?, b?);
    let options = Options::parse(ctx.args.from(3))?;
    let len = |found: &Option<Found<'_>>| found.as_ref().map_or(0, Found::len);
    let cells = (len(&a) + 1) * (len(&b) + 1);
    if cells * size_of::<u32>() as u64 > view.value_bytes_max() as u64 {
        let text = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
        return Err(text.into());
    }
    let a = value(a.as_ref(), view, keyspace);
    let b = value(b.as_ref(), view, keyspace);
    let table = Table::new(a?, b?);
    if options.len {
        ctx.reply.integer(table.len() as i64);
    } else if options.ranges {
        table.reply_ranges(&options, ctx.reply);
    } else {
        ctx.reply.bulk(&table.subsequence());
    }
    Ok(())
}

/// Here Redis has words of its own for a key of another type.
fn not_a_string(stop: Stop) -> Stop {
    match stop.is_wrong_type() {
        true => "ERR The specified keys must contain string values".into(),
        false => stop,
    }
}

fn value<'f>(
    found: Option<&'f Found<'_>>,
    view: &View<'_>,
    keyspace: KeyspaceId,
) -> Result<Cow<'f, [u8]>, Stop> {
    found.map_or(Ok(Cow::Borrowed(b"")), |found| found.value(view, keyspace))
}

/// Lengths of the longest common subsequences of all pairs of prefixes.
struct Table<'a> {
    a: Cow<'a, [u8]>,
    b: Cow<'a, [u8]>,
    /// A row for each prefix of `a`, the empty one first.
    lens: Vec<u32>,
}

impl<'a> Table<'a> {
    fn new(a: Cow<'a, [u8]>, b: Cow<'a, [u8]>) -> Table<'a> {
        let width = b.len() + 1;
        let mut lens = vec![0; (a.len() + 1) * width];
        for (row, byte) in a.iter().enumerate() {
            let (above, below) = lens[row * width..(row + 2) * width].split_at_mut(width);
            for (column, other) in b.iter().enumerate() {
                below[column + 1] = if byte == other {
                    above[column] + 1
                } else {
                    above[column + 1].max(below[column])
                };
            }
        }
        Table { a, b, lens }
    }

    fn at(&self, a_len: usize, b_len: usize) -> u32 {
        self.lens[a_len * (self.b.len() + 1) + b_len]
    }

    fn len(&self) -> u32 {
        self.at(self.a.len(), self.b.len())
    }

    /// Visits the runs of the subsequence, the last one first: where each is in `a` and in `b`.
    fn runs(&self, mut visit: impl FnMut(Range<usize>, usize)) {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while i > 0 && j > 0 {
            let end = i;
            while i > 0 && j > 0 && self.a[i - 1] == self.b[j - 1] {
                (i, j) = (i - 1, j - 1);
            }
            if i < end {
                visit(i..end, j);
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }

    fn subsequence(&self) -> Vec<u8> {
        let mut reversed = Vec::with_capacity(self.len() as usize);
        self.runs(|run, _| reversed.extend(self.a[run].iter().rev()));
        reversed.reverse();
        reversed
    }

    fn reply_ranges(&self, options: &Options, reply: &mut Reply) {
        reply.map(2);
        reply.bulk(b"matches");
        let mark = reply.mark();
        let mut count = 0;
        self.runs(|run, b_start| {
            let len = run.len();
            if len < options.range_len_min {
                return;
            }
            count += 1;
            reply.array(2 + usize::from(options.range_lens));
            for start in [run.start, b_start] {
                reply.array(2);
                reply.integer(start as i64);
                reply.integer((start + len - 1) as i64);
            }
            if options.range_lens {
                reply.integer(len as i64);
            }
        });
        reply.array_header_at(mark, count);
        reply.bulk(b"len");
        reply.integer(i64::from(self.len()));
    }
}
