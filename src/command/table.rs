//! All commands, found by name whatever its case.

use std::sync::OnceLock;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Args, Spec, absent, bitmap, client, cluster, command_info, connection, dump, expiry, generic,
    hash, json, latency_monitor, list, memory, monitor, object, scan, server, set, slowlog, sort,
    sorted_set, string, tenant, transaction,
};

/// The tables of all data types, each a list of rows.
static TABLES: &[&[Spec]] = &[
    string::TABLE,
    bitmap::TABLE,
    hash::TABLE,
    list::TABLE,
    set::TABLE,
    sorted_set::TABLE,
    json::TABLE,
    generic::TABLE,
    memory::TABLE,
    object::TABLE,
    sort::TABLE,
    dump::TABLE,
    scan::TABLE,
    expiry::TABLE,
    transaction::TABLE,
    connection::TABLE,
    client::TABLE,
    server::TABLE,
    command_info::TABLE,
    cluster::TABLE,
    absent::TABLE,
    monitor::TABLE,
    slowlog::TABLE,
    latency_monitor::TABLE,
    tenant::TABLE,
];
/// Longer names than any command has; anything longer is unknown without a look.
const NAME_BYTES_MAX: usize = 32;

/// What a name stands for.
pub enum Found {
    /// This command or subcommand.
    Command(&'static Spec),
    /// A container, but not one of its subcommands.
    UnknownSubcommand(&'static Spec),
    /// A container named alone.
    SubcommandMissing(&'static Spec),
    /// Nothing.
    Unknown,
}

/// All commands that are not subcommands, in the order of the tables.
pub fn top_level() -> impl Iterator<Item = &'static Spec> {
    TABLES.iter().flat_map(|table| table.iter())
}

fn index() -> &'static HashTable<&'static Spec> {
    static INDEX: OnceLock<HashTable<&'static Spec>> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut index = HashTable::new();
        for spec in top_level() {
            index.insert_unique(xxh3_64(spec.name.as_bytes()), spec, hash_of);
        }
        index
    })
}

fn hash_of(spec: &&'static Spec) -> u64 {
    xxh3_64(spec.name.as_bytes())
}

/// The command with this name in any case.
pub fn by_name(name: &[u8]) -> Option<&'static Spec> {
    let mut lower = [0; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    index().find(xxh3_64(lower), |spec| spec.name.as_bytes() == lower).copied()
}

/// The command or subcommand that a request names.
pub fn lookup(args: Args<'_>) -> Found {
    let Some(spec) = by_name(args.get(0)) else { return Found::Unknown };
    if spec.subcommands.is_empty() {
        return Found::Command(spec);
    }
    if args.len() < 2 {
        // COMMAND has subcommands and is one.
        let alone = spec.accepts(1);
        return if alone { Found::Command(spec) } else { Found::SubcommandMissing(spec) };
    }
    subcommand(spec, args.get(1)).map_or(Found::UnknownSubcommand(spec), Found::Command)
}

/// The subcommand of `container` with this name in any case.
pub fn subcommand(container: &'static Spec, name: &[u8]) -> Option<&'static Spec> {
    let skip = container.name.len() + 1;
    container.subcommands.iter().find(|sub| sub.name.as_bytes()[skip..].eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_are_unique() {
        assert_eq!(by_name(b"GeT").map(|spec| spec.name), Some("get"));
        assert!(by_name(b"nosuch").is_none());
        assert!(by_name(&[b'x'; 100]).is_none());
        for spec in top_level() {
            assert!(std::ptr::eq(by_name(spec.name.as_bytes()).unwrap(), spec), "{}", spec.name);
            assert!(spec.name.len() <= NAME_BYTES_MAX);
            for sub in spec.subcommands {
                assert!(sub.name.starts_with(&format!("{}|", spec.name)), "{}", sub.name);
            }
        }
    }
}
