//! `SLOWLOG`: the last slow commands, each with where its time went.
//!
//! Entries are noted when the replies of a batch are ready, by whoever runs batches. Each tenant has a log
//! of its own, with its own ids, so nobody learns from it what others do; an operator sees all of them
//! together, under ids of the process, and alone what operators and strangers did.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use super::help::{help, misused};
use super::redaction::shown;
use super::{Args, Client, Ctx, Flags, Group, Handler, Keys, Outcome, Spec};
use crate::clock;
use crate::data::Tenant;
use crate::limits::{
    SLOWLOG_ARGUMENT_BYTES_MAX, SLOWLOG_ARGUMENTS_MAX, SLOWLOG_ENTRIES_MAX, SLOWLOG_TENANTS_MAX,
};
use crate::num;

const ANY_TIME: Flags = Flags::LOADING.and(Flags::STALE);
const ADMIN: Flags = ANY_TIME.and(Flags::ADMIN);
/// Entries are of all databases, and have keys in them.
const TELLS: Flags = ADMIN.and(Flags::TELLS);
/// Entries that `GET` tells of if it is not said how many.
const TOLD_DEFAULT: i64 = 10;

/// The row of `SLOWLOG`.
pub const TABLE: &[Spec] = &[Spec::new("slowlog", -2, Flags::NONE, Keys::NONE, help)
    .doc(
        Group::Server,
        "2.2.12",
        "Depends on subcommand.",
        "Groups the commands about slow commands.",
    )
    .with(&[
        sub("slowlog|get", -2, TELLS, get, "2.2.12", "O(N) where N is the number of entries")
            .about("Tells of the last slow commands: what they were and where their time went."),
        sub("slowlog|len", 2, ADMIN, len, "2.2.12", "O(1)")
            .about("Counts the slow commands noted."),
        sub("slowlog|reset", 2, ADMIN, reset, "2.2.12", "O(N) where N is the number of entries")
            .about("Forgets the slow commands noted."),
        sub("slowlog|help", 2, ANY_TIME, help, "6.2.0", "O(1)").about("Lists the subcommands."),
    ])];

const fn sub(
    name: &'static str,
    arity: i16,
    flags: Flags,
    run: Handler,
    since: &'static str,
    complexity: &'static str,
) -> Spec {
    Spec::new(name, arity, flags, Keys::NONE, run).doc(Group::Server, since, complexity, "")
}

/// A slow command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slow {
    /// When it was noted, Unix seconds.
    at_s: u64,
    duration_us: u64,
    args: Vec<Box<[u8]>>,
    addr: String,
    name: Box<[u8]>,
    split: String,
}

impl Slow {
    /// What is noted of a command of `client` that took `duration_us`: its arguments as they may be shown,
    /// and where its time went.
    pub fn new(
        spec: &'static Spec,
        args: Args<'_>,
        client: &Client,
        duration_us: u64,
        split: String,
    ) -> Slow {
        Slow {
            at_s: clock::unix_ms() / 1000,
            duration_us,
            args: shortened(args.len(), shown(spec, args)),
            addr: client.shared.addr.clone(),
            name: cut(client.labels.name.as_bytes()),
            split,
        }
    }
}

/// Arguments as Redis keeps them: not too many, and none too long.
fn shortened<'a>(count: usize, args: impl Iterator<Item = &'a [u8]>) -> Vec<Box<[u8]>> {
    let kept = if count > SLOWLOG_ARGUMENTS_MAX { SLOWLOG_ARGUMENTS_MAX - 1 } else { count };
    let mut short: Vec<Box<[u8]>> = args.take(kept).map(cut).collect();
    if kept < count {
        short.push(format!("... ({} more arguments)", count - kept).into_bytes().into());
    }
    short
}

/// A text that says how much of it is missing if it was too long.
fn cut(text: &[u8]) -> Box<[u8]> {
    match text.split_at_checked(SLOWLOG_ARGUMENT_BYTES_MAX) {
        Some((_, [])) | None => text.into(),
        Some((start, rest)) => {
            let more = format!("... ({} more bytes)", rest.len());
            [start, more.as_bytes()].concat().into()
        }
    }
}

/// Whose entries somebody may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's: an operator's view.
    All,
    /// One tenant's.
    Of(Tenant),
}

impl Whose {
    fn seen_by(client: &Client) -> Whose {
        if client.is_operator() { Whose::All } else { Whose::Of(client.tenant) }
    }
}

/// The slow commands of all tenants.
#[derive(Debug, Default)]
pub struct SlowLog(Mutex<Logs>);

#[derive(Debug, Default)]
struct Logs {
    len_max: usize,
    next_id: u64,
    /// Of all tenants.
    entries: usize,
    tenants: HashMap<Tenant, Log>,
}

#[derive(Debug, Default)]
struct Log {
    next_id: u64,
    /// Newest first.
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Among all.
    id: u64,
    /// Among its tenant's.
    own_id: u64,
    slow: Slow,
}

impl Logs {
    fn trim(&mut self, tenant: Tenant) {
        let Some(log) = self.tenants.get_mut(&tenant) else { return };
        self.entries -= log.entries.len().saturating_sub(self.len_max);
        log.entries.truncate(self.len_max);
    }

    /// Keeps to the bounds of all logs together.
    fn bound(&mut self) {
        if self.entries > SLOWLOG_ENTRIES_MAX
            && let Some(longest) = self.tenants.values_mut().max_by_key(|log| log.entries.len())
        {
            longest.entries.pop_back();
            self.entries -= 1;
        }
        if self.tenants.len() > SLOWLOG_TENANTS_MAX {
            let newest = |log: &Log| log.entries.front().map(|entry| entry.id);
            let quiet = self.tenants.iter().min_by_key(|(_, log)| newest(log));
            if let Some(log) =
                quiet.map(|(tenant, _)| *tenant).and_then(|t| self.tenants.remove(&t))
            {
                self.entries -= log.entries.len();
            }
        }
    }
}

impl SlowLog {
    /// Keeps so many entries of each tenant from now on.
    pub(super) fn set_len_max(&self, len_max: usize) {
        let mut logs = self.0.lock();
        logs.len_max = len_max.min(SLOWLOG_ENTRIES_MAX);
        let tenants: Vec<Tenant> = logs.tenants.keys().copied().collect();
        tenants.into_iter().for_each(|tenant| logs.trim(tenant));
    }

    /// Notes a slow command of a tenant.
    pub fn note(&self, tenant: Tenant, slow: Slow) {
        let mut logs = self.0.lock();
        let id = logs.next_id;
        logs.next_id += 1;
        let log = logs.tenants.entry(tenant).or_default();
        log.entries.push_front(Entry { id, own_id: log.next_id, slow });
        log.next_id += 1;
        logs.entries += 1;
        logs.trim(tenant);
        logs.bound();
    }

    /// How many entries there are.
    pub fn len(&self, whose: Whose) -> usize {
        let logs = self.0.lock();
        match whose {
            Whose::All => logs.entries,
            Whose::Of(tenant) => logs.tenants.get(&tenant).map_or(0, |log| log.entries.len()),
        }
    }

    /// Forgets entries. Their ids are not used again.
    pub fn reset(&self, whose: Whose) {
        let mut logs = self.0.lock();
        let logs = &mut *logs;
        for (tenant, log) in &mut logs.tenants {
            if whose == Whose::All || whose == Whose::Of(*tenant) {
                logs.entries -= log.entries.len();
                log.entries.clear();
            }
        }
    }

    /// The newest `count` entries with their ids, newest first.
    pub fn newest(&self, whose: Whose, count: usize) -> Vec<(u64, Slow)> {
        let logs = self.0.lock();
        match whose {
            Whose::All => {
                let mut all: Vec<&Entry> =
                    logs.tenants.values().flat_map(|log| &log.entries).collect();
                all.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.id));
                all.into_iter().take(count).map(|entry| (entry.id, entry.slow.clone())).collect()
            }
            Whose::Of(tenant) => {
                let entries = logs.tenants.get(&tenant).map(|log| &log.entries);
                let newest = entries.into_iter().flatten().take(count);
                newest.map(|entry| (entry.own_id, entry.slow.clone())).collect()
            }
        }
    }
}

fn get(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let count = match ctx.args.len() {
        2 => Some(TOLD_DEFAULT),
        3 => num::parse_i64(ctx.arg(2)),
        _ => return Err(misused(ctx)),
    };
    let count = match count {
        Some(-1) => usize::MAX,
        Some(count @ 0..) => count as usize,
        _ => return Err("ERR count should be greater than or equal to -1".into()),
    };
    let entries = ctx.server.observing.slowlog.newest(Whose::seen_by(ctx.client), count);
    ctx.reply.array(entries.len());
    for (id, slow) in entries {
        // Six as in Redis, and one more, which programs that know those six pass over.
        ctx.reply.array(7);
        for number in [id, slow.at_s, slow.duration_us] {
            ctx.reply.integer(number as i64);
        }
        ctx.reply.array(slow.args.len());
        slow.args.iter().for_each(|arg| ctx.reply.bulk(arg));
        for text in [slow.addr.as_bytes(), &slow.name, slow.split.as_bytes()] {
            ctx.reply.bulk(text);
        }
    }
    Ok(())
}

fn len(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let len = ctx.server.observing.slowlog.len(Whose::seen_by(ctx.client));
    ctx.reply.integer(len as i64);
    Ok(())
}

/// Has its effect at once, so that what follows in a pipeline sees it; again does no harm.
fn reset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.server.observing.slowlog.reset(Whose::seen_by(ctx.client));
    ctx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(duration_us: u64) -> Slow {
        let (args, split) = (vec![b"PING"[..].into()], String::new());
        Slow { at_s: 1, duration_us, args, addr: String::new(), name: Box::default(), split }
    }

    fn told(log: &SlowLog, whose: Whose) -> Vec<(u64, u64)> {
        let entries = log.newest(whose, usize::MAX);
        assert_eq!(entries.len(), log.len(whose));
        entries.into_iter().map(|(id, slow)| (id, slow.duration_us)).collect()
    }

    #[test]
    fn each_tenant_has_a_log_and_ids_of_its_own() {
        let log = SlowLog::default();
        log.set_len_max(2);
        for (tenant, duration_us) in [(1, 10), (2, 20), (1, 11), (1, 12), (3, 30)] {
            log.note(tenant, slow(duration_us));
        }
        assert_eq!(told(&log, Whose::Of(1)), [(2, 12), (1, 11)]);
        assert_eq!(told(&log, Whose::Of(2)), [(0, 20)]);
        assert_eq!(told(&log, Whose::Of(9)), []);
        assert_eq!(told(&log, Whose::All), [(4, 30), (3, 12), (2, 11), (1, 20)]);
        log.reset(Whose::Of(1));
        assert_eq!(told(&log, Whose::All), [(4, 30), (1, 20)]);
        log.note(1, slow(13));
        assert_eq!(told(&log, Whose::Of(1)), [(3, 13)]);
        log.reset(Whose::All);
        assert_eq!(told(&log, Whose::All), []);
        log.note(2, slow(21));
        assert_eq!(told(&log, Whose::All), [(6, 21)]);
        log.set_len_max(0);
        assert_eq!(told(&log, Whose::All), []);
    }

    #[test]
    fn all_logs_together_are_bounded() {
        let log = SlowLog::default();
        log.set_len_max(SLOWLOG_ENTRIES_MAX);
        log.note(1, slow(1));
        for _ in 0..SLOWLOG_ENTRIES_MAX + 5 {
            log.note(2, slow(2));
        }
        assert_eq!((log.len(Whose::Of(1)), log.len(Whose::All)), (1, SLOWLOG_ENTRIES_MAX));
        log.set_len_max(1);
        log.note(1, slow(1));
        for tenant in 3..SLOWLOG_TENANTS_MAX as Tenant + 2 {
            log.note(tenant, slow(1));
        }
        assert_eq!((log.len(Whose::Of(2)), log.len(Whose::Of(1))), (0, 1));
        assert_eq!(log.len(Whose::All), SLOWLOG_TENANTS_MAX);
    }

    #[test]
    fn arguments_are_shortened_as_in_redis() {
        let short = |args: Vec<Vec<u8>>| {
            let short = shortened(args.len(), args.iter().map(Vec::as_slice));
            short.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(short(vec![vec![b'x'; 128]]), ["x".repeat(128)]);
        let cut = format!("{}... (1 more bytes)", "x".repeat(128));
        assert_eq!(short(vec![vec![b'x'; 129]]), [cut]);
        assert_eq!(short(vec![vec![b'x']; 32]), ["x"; 32]);
        let many = short(vec![vec![b'x']; 40]);
        assert_eq!((many.len(), many[31].as_str()), (32, "... (9 more arguments)"));
    }
}
