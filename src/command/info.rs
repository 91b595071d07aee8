//! `INFO`: Redis 7.0's sections and fields where they mean something here, and two sections of our own.
//!
//! What programs read is there even if there is nothing like it here; it is 0 then, as it would be of
//! a Redis that does not use it. `tests/info.rs` has the fields of Redis that are missing, and why.
//!
//! An operator is told about the process. To others it tells about their tenant: what counts for all
//! tenants together, and what the machine is, is 0 or empty there, so that programs which look for a
//! field find it and nobody learns what others do.

mod activity;
mod process;
mod stored;
pub(super) mod usage;

use std::fmt::Write as _;

use super::state::HeldByAll;
use super::stats::Totals;
use super::{Ctx, Outcome};

pub(super) use stored::populations;

type Write = fn(&mut Page<'_, '_, '_>) -> Outcome;

/// Name, whether it is shown unless asked for, and what writes it; in Redis's order.
const SECTIONS: &[(&str, bool, Write)] = &[
    ("Server", true, process::server),
    ("Clients", true, process::clients),
    ("Memory", true, process::memory),
    ("Persistence", true, stored::persistence),
    ("Stats", true, activity::stats),
    ("Replication", true, stored::replication),
    ("CPU", true, process::cpu),
    ("Modules", true, |_| Ok(())),
    ("Commandstats", false, activity::commandstats),
    ("Errorstats", true, activity::errorstats),
    ("Latencystats", false, activity::latencystats),
    ("Cluster", true, stored::cluster),
    ("Keyspace", true, stored::keyspace),
    ("Ringstone", true, activity::ringstone),
    ("Store", true, stored::store),
];

/// What is being written, and what from.
struct Page<'p, 'c, 'v> {
    ctx: &'p Ctx<'c, 'v>,
    totals: Totals,
    /// See [`Page::held`].
    held: Option<HeldByAll>,
    text: String,
}

impl Page<'_, '_, '_> {
    /// Whether it tells about the process, not only about the tenant.
    fn is_whole(&self) -> bool {
        self.ctx.client.is_operator()
    }

    /// What connections hold in memory: two sections tell of it, and each look passes over all of them.
    fn held(&mut self) -> HeldByAll {
        let ctx = self.ctx;
        *self.held.get_or_insert_with(|| ctx.server.held_by_clients_of(ctx.client))
    }

    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = write!(self.text, "{name}:{value}\r\n");
    }

    fn fields(&mut self, fields: &[(&str, u64)]) {
        fields.iter().for_each(|(name, value)| self.field(name, value));
    }

    /// What Redis counts and does not exist here.
    fn zeros(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.field(name, 0));
    }

    /// A number of bytes, and again as people read it.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(&format!("{name}_human"), human(bytes));
    }

    /// A text that may come from elsewhere: it stays one line.
    fn line(&mut self, name: &str, text: &str) {
        self.field(name, text.replace(['\r', '\n'], " "));
    }
}

/// `INFO [section ...]`: sections come in the order above, each once; what is no section is ignored.
pub(super) fn info(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let wanted: Vec<_> = ctx.args.iter().skip(1).map(<[u8]>::to_ascii_lowercase).collect();
    let asked = |name: &str| wanted.iter().any(|section| *section == name.as_bytes());
    let all = asked("all") || asked("everything");
    let usual = all || wanted.is_empty() || asked("default");
    let totals = match ctx.client.is_operator() {
        true => ctx.server.stats.totals(),
        false => Totals::default(),
    };
    let mut page = Page { ctx, totals, held: None, text: String::new() };
    for (name, is_usual, write) in SECTIONS {
        if !(all || usual && *is_usual || asked(&name.to_ascii_lowercase())) {
            continue;
        }
        if !page.text.is_empty() {
            page.text.push_str("\r\n");
        }
        let _ = write!(page.text, "# {name}\r\n");
        write(&mut page)?;
    }
    let text = page.text;
    ctx.reply.verbatim(text.as_bytes(), *b"txt");
    Ok(())
}

/// Bytes as Redis writes them for people: `1.50M`.
pub(super) fn human(bytes: u64) -> String {
    let units = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_redis_does() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(7_372_800), "7.03M");
        assert_eq!(human(25_276_502_016), "23.54G");
    }
}
