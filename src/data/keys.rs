//! Record keys: where everything lives in the ordered keyspace of a store.
//!
//! `p` is the 4-byte big-endian keyspace id of one (tenant, database); id 0 is the system's own.
//! These bytes are on disk: they never change (see the test vectors below).
//!
//! | record | key |
//! | --- | --- |
//! | meta | `p 'm' hash64(key) key` |
//! | chunk of a long string | `p 'e' incarnation u32` |
//! | item of a list | `p 'e' incarnation position` |
//! | field of a hash, member of a set or sorted set | `p 'e' incarnation hash64(field) field` |
//! | member of a sorted set by score | `p 's' incarnation 0 score member` |
//! | entry of a sorted set's rank index | `p 's' incarnation level score member` |
//! | members from that entry on | `p 's' incarnation level+128 score member` |
//! | where the members of a sorted set begin and end | `p 's' incarnation 255` |
//! | chunk of a long element | `p 'b'`, the rest of the element's key, `u32` |
//! | number of elements, and of modifications | `p 'n' incarnation` |
//! | expiry index | `p 'x' unix-ms hash64(key) key` |
//! | incarnation registry | `p 'g' incarnation` |
//! | number of keys | `p 'n'` |
//! | last removal among keys of one hash range | `p 'w' hash64(key) >> 54` |
//! | flushed and not yet touched by the collector | `p 'a'` |
//! | database catalog | `0 'd' tenant database` |
//! | next keyspace id | `0 'i'` |
//! | keyspace to be emptied | `0 't' p` |
//! | elements that lost their key | `0 'o' p incarnation` |
//! | commit marker | `0 'c' process slot` |
//! | process that is there | `0 'p' process` |
//! | tenant of a name | `0 'T' name` |
//! | tenant's name and settings | `0 'U' tenant` |
//! | next tenant id, and number of tenants | `0 'j'` |
//! | whose a keyspace is whose bytes are counted, and how far they are | `0 'q' p` |
//! | note that they are not counted to the end | `0 'k' p` |
//! | bytes of a keyspace | `0 'u' p` |
//! | bytes of a tenant | `0 'v' tenant` |

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::limits::{CHUNK_BYTES, DATABASES, ELEMENT_BYTES_EXPECTED, TENANT_IDS_MAX};

/// Identifies one database's records; `SWAPDB` and `FLUSHDB` change which id a database has.
pub type KeyspaceId = u32;
/// The id under which the elements of one collection or long string live.
pub type Incarnation = u64;
/// A record key; those of ordinary user keys stay off the heap.
pub type RecordKey = SmallVec<[u8; 96]>;

/// Bytes of a meta key before the user's key.
pub const META_HEAD: usize = 4 + 1 + 8;
/// Bytes of an element's key before what tells it from the others of its incarnation.
pub const ELEMENT_HEAD: usize = 4 + 1 + 8;
const EXPIRY_HEAD: usize = 4 + 1 + 8 + 8;
const SYSTEM: KeyspaceId = 0;

/// The fixed hash that orders keys and elements: xxh3-64 with seed 0.
pub fn hash64(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Stands for a tenant's key among all that a process has to do with: two that are the same get in
/// each other's way, no worse.
pub fn place(tenant: u32, key: &[u8]) -> u64 {
    // A whole multiple of an odd number: no two tenants have the same.
    hash64(key) ^ u64::from(tenant).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn begin(keyspace: KeyspaceId, kind: u8) -> RecordKey {
    let mut key = RecordKey::new();
    key.extend_from_slice(&keyspace.to_be_bytes());
    key.push(kind);
    key
}

/// Key of the meta record of a user's key.
pub fn meta(keyspace: KeyspaceId, key: &[u8]) -> RecordKey {
    let mut record = begin(keyspace, b'm');
    record.extend_from_slice(&hash64(key).to_be_bytes());
    record.extend_from_slice(key);
    record
}

/// What the keys of all metas of a keyspace begin with.
pub fn metas(keyspace: KeyspaceId) -> RecordKey {
    begin(keyspace, b'm')
}

/// First possible key with this prefix at or after a hash position.
pub fn at_hash(prefix: &[u8], hash: u64) -> RecordKey {
    let mut record = RecordKey::from_slice(prefix);
    record.extend_from_slice(&hash.to_be_bytes());
    record
}

/// Hash position and name of a key that is a prefix, a hash and a name.
pub fn split_hash(record: &[u8], prefix_len: usize) -> (u64, &[u8]) {
    (be_u64(&record[prefix_len..prefix_len + 8]), &record[prefix_len + 8..])
}

/// Range of all keys that begin with `prefix`.
pub fn range(prefix: &[u8]) -> (RecordKey, RecordKey) {
    (RecordKey::from_slice(prefix), prefix_end(prefix))
}

/// Hash position and user's key of a meta record's key.
pub fn split_meta(record: &[u8]) -> (u64, &[u8]) {
    split_hash(record, META_HEAD - 8)
}

/// Key of chunk `index` of a long string.
pub fn chunk(keyspace: KeyspaceId, incarnation: Incarnation, index: u32) -> RecordKey {
    let mut record = elements(keyspace, incarnation);
    record.extend_from_slice(&index.to_be_bytes());
    record
}

/// What the keys of all elements of an incarnation begin with.
pub fn elements(keyspace: KeyspaceId, incarnation: Incarnation) -> RecordKey {
    of_incarnation(keyspace, b'e', incarnation)
}

fn of_incarnation(keyspace: KeyspaceId, kind: u8, incarnation: Incarnation) -> RecordKey {
    let mut record = begin(keyspace, kind);
    record.extend_from_slice(&incarnation.to_be_bytes());
    record
}

/// The ranges that hold everything of an incarnation, but for its entry in the registry.
pub fn incarnation_ranges(
    keyspace: KeyspaceId,
    incarnation: Incarnation,
) -> impl Iterator<Item = (RecordKey, RecordKey)> {
    [b'e', b's', b'b', b'n']
        .into_iter()
        .map(move |kind| range(&of_incarnation(keyspace, kind, incarnation)))
}

/// The key of the record that is to another keyspace and incarnation what `record` is to its own.
pub fn transplant(record: &[u8], keyspace: KeyspaceId, incarnation: Incarnation) -> RecordKey {
    let mut other = of_incarnation(keyspace, record[4], incarnation);
    other.extend_from_slice(&record[ELEMENT_HEAD..]);
    other
}

/// Key of the item of a list at a position.
pub fn item(keyspace: KeyspaceId, incarnation: Incarnation, position: &[u8]) -> RecordKey {
    let mut record = elements(keyspace, incarnation);
    record.extend_from_slice(position);
    record
}

/// The position of an item's key.
pub fn split_item(record: &[u8]) -> &[u8] {
    &record[ELEMENT_HEAD..]
}

/// Key of the element of a field or member.
pub fn field(keyspace: KeyspaceId, incarnation: Incarnation, field: &[u8]) -> RecordKey {
    let mut record = elements(keyspace, incarnation);
    record.extend_from_slice(&hash64(field).to_be_bytes());
    record.extend_from_slice(field);
    record
}

/// The field or member of an element's key.
pub fn split_field(record: &[u8]) -> &[u8] {
    tail_name(tail(record))
}

/// What tells an element's key from others of its incarnation, and is the same in every other.
pub fn tail(record: &[u8]) -> &[u8] {
    &record[ELEMENT_HEAD..]
}

/// The field or member in the tail of an element's key.
pub fn tail_name(tail: &[u8]) -> &[u8] {
    &tail[8..]
}

/// What the keys of one level of a sorted set's records by score begin with: 0 has the members, the
/// others are the rank index.
pub fn by_score(keyspace: KeyspaceId, incarnation: Incarnation, level: u8) -> RecordKey {
    let mut record = of_incarnation(keyspace, b's', incarnation);
    record.push(level);
    record
}

/// Key of one chunk of the element with the key `element`.
pub fn element_chunk(element: &[u8], index: u32) -> RecordKey {
    let mut record = RecordKey::from_slice(element);
    record[4] = b'b';
    record.extend_from_slice(&index.to_be_bytes());
    record
}

/// Key of the counter of an incarnation's elements and modifications.
pub fn counter(keyspace: KeyspaceId, incarnation: Incarnation) -> RecordKey {
    of_incarnation(keyspace, b'n', incarnation)
}

/// Bytes that a record is taken to have before it is fetched: chunks are full, elements and metas
/// usually short.
pub fn expected_bytes(record: &[u8]) -> usize {
    match record.get(4) {
        Some(b'b') => CHUNK_BYTES,
        Some(b'e') if record.len() == ELEMENT_HEAD + 4 => CHUNK_BYTES,
        Some(b'e') => ELEMENT_BYTES_EXPECTED,
        _ => 0,
    }
}

/// Key of the expiry-index entry of a user's key.
pub fn expiry(keyspace: KeyspaceId, at_ms: u64, key: &[u8]) -> RecordKey {
    let mut record = begin(keyspace, b'x');
    record.extend_from_slice(&at_ms.to_be_bytes());
    record.extend_from_slice(&hash64(key).to_be_bytes());
    record.extend_from_slice(key);
    record
}

/// First possible expiry-index key at or after a time.
pub fn expiry_at(keyspace: KeyspaceId, at_ms: u64) -> RecordKey {
    let mut record = begin(keyspace, b'x');
    record.extend_from_slice(&at_ms.to_be_bytes());
    record
}

/// Time and user's key of an expiry-index key.
pub fn split_expiry(record: &[u8]) -> (u64, &[u8]) {
    (be_u64(&record[5..13]), &record[EXPIRY_HEAD..])
}

/// Key of the registry entry that names the key an incarnation belongs to.
pub fn registry(keyspace: KeyspaceId, incarnation: Incarnation) -> RecordKey {
    let mut record = begin(keyspace, b'g');
    record.extend_from_slice(&incarnation.to_be_bytes());
    record
}

/// The incarnation of a registry key.
pub fn split_registry(record: &[u8]) -> Incarnation {
    be_u64(&record[5..13])
}

/// Range of all registry entries of a keyspace.
pub fn registry_range(keyspace: KeyspaceId) -> (RecordKey, RecordKey) {
    (begin(keyspace, b'g'), begin(keyspace, b'g' + 1))
}

/// Key of the note that an incarnation of a keyspace has lost its key.
pub fn orphan(keyspace: KeyspaceId, incarnation: Incarnation) -> RecordKey {
    let mut record = begin(SYSTEM, b'o');
    record.extend_from_slice(&keyspace.to_be_bytes());
    record.extend_from_slice(&incarnation.to_be_bytes());
    record
}

/// Range of all orphan notes.
pub fn orphan_range() -> (RecordKey, RecordKey) {
    (begin(SYSTEM, b'o'), begin(SYSTEM, b'o' + 1))
}

/// Keyspace and incarnation of an orphan note.
pub fn split_orphan(record: &[u8]) -> (KeyspaceId, Incarnation) {
    (be_u32(&record[5..9]), be_u64(&record[9..17]))
}

/// Key of the trace that removing a key leaves for `WATCH`: 1024 of them, by the key's hash.
pub fn removals(keyspace: KeyspaceId, key: &[u8]) -> RecordKey {
    let mut record = begin(keyspace, b'w');
    record.extend_from_slice(&((hash64(key) >> 54) as u16).to_be_bytes());
    record
}

/// Key of the exact number of keys, kept on stores that answer at once.
pub fn size(keyspace: KeyspaceId) -> RecordKey {
    begin(keyspace, b'n')
}

/// Key of the record that a flushed keyspace has for as long as it has all others: it comes before
/// them, so it is the first that the collector removes.
pub fn flushed(keyspace: KeyspaceId) -> RecordKey {
    begin(keyspace, b'a')
}

/// Range of everything in a keyspace.
pub fn keyspace_range(keyspace: KeyspaceId) -> (RecordKey, RecordKey) {
    (
        RecordKey::from_slice(&keyspace.to_be_bytes()),
        RecordKey::from_slice(&(keyspace + 1).to_be_bytes()),
    )
}

/// Key of the record that says which keyspace id a database has.
pub fn catalog(tenant: u32, database: u8) -> RecordKey {
    let mut record = begin(SYSTEM, b'd');
    record.extend_from_slice(&tenant.to_be_bytes());
    record.push(database);
    record
}

/// What a catalog record says: the keyspace, and how often the database has changed it.
pub fn split_catalog(record: &[u8]) -> (KeyspaceId, u32) {
    // The first version did not count.
    (be_u32(&record[..4]), record.get(4..8).map_or(0, be_u32))
}

/// Range of the catalog records of all tenants but the first, from this database on.
pub fn catalogs_from(tenant: u32, database: u8) -> (RecordKey, RecordKey) {
    (catalog(tenant, database), begin(SYSTEM, b'd' + 1))
}

/// Range of the catalog records of a tenant.
pub fn catalogs_of(tenant: u32) -> (RecordKey, RecordKey) {
    (catalog(tenant, 0), catalog(tenant, u8::MAX))
}

/// Tenant and database of a catalog record's key.
pub fn split_catalog_key(record: &[u8]) -> (u32, u8) {
    (be_u32(&record[5..9]), record[9])
}

/// Whether the bytes of the keyspace that a catalog record names are counted.
pub fn is_metered(record: &[u8]) -> bool {
    // As long as nobody has set a quota, the record ends before this.
    record.get(8) == Some(&1)
}

/// The keyspace a database has until `SWAPDB` or `FLUSHDB` gives it another.
pub fn initial_keyspace(tenant: u32, database: u8) -> KeyspaceId {
    match tenant {
        0 => KeyspaceId::from(database) + 1,
        _ => TENANT_KEYSPACES + tenant * u32::from(DATABASES) + KeyspaceId::from(database),
    }
}

/// The database that has this keyspace from the start, if one of another tenant than the first has.
pub fn initially_of(keyspace: KeyspaceId) -> Option<(u32, u8)> {
    let number = keyspace.checked_sub(TENANT_KEYSPACES)?;
    Some((number / u32::from(DATABASES), (number % u32::from(DATABASES)) as u8))
}

/// The first keyspace id that no database has from the start.
pub const FIRST_FREE_KEYSPACE: KeyspaceId = 1024;
/// Where those of the databases of tenants begin: ids below it are given to databases that are flushed.
pub const TENANT_KEYSPACES: KeyspaceId = 1 << 31;

const _: () = assert!(TENANT_IDS_MAX as u64 * DATABASES as u64 <= 1 << 30);

/// Key of the record that holds the next free keyspace id.
pub fn next_keyspace() -> RecordKey {
    begin(SYSTEM, b'i')
}

/// Key of the record that marks a keyspace as to be emptied.
pub fn trash(keyspace: KeyspaceId) -> RecordKey {
    of_keyspace(b't', keyspace)
}

/// Range of all marks of keyspaces to be emptied.
pub fn trash_range() -> (RecordKey, RecordKey) {
    (begin(SYSTEM, b't'), begin(SYSTEM, b't' + 1))
}

/// The keyspace of a trash key.
pub fn split_trash(record: &[u8]) -> KeyspaceId {
    be_u32(&record[5..9])
}

/// Key of the marker by which a process recognises its own commits.
pub fn commit_marker(process: u64, slot: u16) -> RecordKey {
    let mut record = begin(SYSTEM, b'c');
    record.extend_from_slice(&process.to_be_bytes());
    record.extend_from_slice(&slot.to_be_bytes());
    record
}

/// Range of all markers of a process.
pub fn commit_markers(process: u64) -> (RecordKey, RecordKey) {
    let mut record = begin(SYSTEM, b'c');
    record.extend_from_slice(&process.to_be_bytes());
    let end = prefix_end(&record);
    (record, end)
}

/// Key of the record that says a process is there.
pub fn process(process: u64) -> RecordKey {
    let mut record = begin(SYSTEM, b'p');
    record.extend_from_slice(&process.to_be_bytes());
    record
}

/// Range of the records of all processes.
pub fn process_range() -> (RecordKey, RecordKey) {
    (begin(SYSTEM, b'p'), begin(SYSTEM, b'p' + 1))
}

/// The process of such a record.
pub fn split_process(record: &[u8]) -> u64 {
    be_u64(&record[5..13])
}

/// Key of the record that says which tenant has a name.
pub fn tenant_name(name: &[u8]) -> RecordKey {
    let mut record = begin(SYSTEM, b'T');
    record.extend_from_slice(name);
    record
}

/// Key of the record of a tenant.
pub fn tenant(tenant: u32) -> RecordKey {
    let mut record = begin(SYSTEM, b'U');
    record.extend_from_slice(&tenant.to_be_bytes());
    record
}

/// Range of the records of tenants from this one on.
pub fn tenants_from(first: u32) -> (RecordKey, RecordKey) {
    (tenant(first), begin(SYSTEM, b'U' + 1))
}

/// The tenant of such a record.
pub fn split_tenant(record: &[u8]) -> u32 {
    be_u32(&record[5..9])
}

/// Key of the record that a keyspace has whose bytes are counted.
pub fn meter(keyspace: KeyspaceId) -> RecordKey {
    of_keyspace(b'q', keyspace)
}

/// Key of the note that not all bytes of a keyspace are counted yet.
pub fn census(keyspace: KeyspaceId) -> RecordKey {
    of_keyspace(b'k', keyspace)
}

/// Range of all such notes.
pub fn census_range() -> (RecordKey, RecordKey) {
    (begin(SYSTEM, b'k'), begin(SYSTEM, b'k' + 1))
}

/// The keyspace of such a note.
pub fn split_census(record: &[u8]) -> KeyspaceId {
    be_u32(&record[5..9])
}

/// Key of the counter of a keyspace's bytes.
pub fn usage(keyspace: KeyspaceId) -> RecordKey {
    of_keyspace(b'u', keyspace)
}

fn of_keyspace(kind: u8, keyspace: KeyspaceId) -> RecordKey {
    let mut record = begin(SYSTEM, kind);
    record.extend_from_slice(&keyspace.to_be_bytes());
    record
}

/// Key of the record of a tenant's bytes, kept on stores that answer at once.
pub fn tenant_usage(tenant: u32) -> RecordKey {
    let mut record = begin(SYSTEM, b'v');
    record.extend_from_slice(&tenant.to_be_bytes());
    record
}

/// Kinds of records that are what users store, in the order of their keys.
pub const DATA_KINDS: [u8; 4] = *b"bems";

/// The keyspace of a record that is part of what users store.
pub fn keyspace_of_data(record: &[u8]) -> Option<KeyspaceId> {
    let (head, rest) = record.split_first_chunk()?;
    let is_data = rest.first().is_some_and(|kind| DATA_KINDS.contains(kind));
    Some(KeyspaceId::from_be_bytes(*head)).filter(|keyspace| is_data && *keyspace != SYSTEM)
}

/// First possible key of a kind in a keyspace, and of the next kind.
pub fn kind_range(keyspace: KeyspaceId, kind: u8) -> (RecordKey, RecordKey) {
    (begin(keyspace, kind), begin(keyspace, kind + 1))
}

/// Key of the record that holds the next tenant id, and the number of tenants.
pub fn next_tenant() -> RecordKey {
    begin(SYSTEM, b'j')
}

/// The smallest key greater than every key that begins with `prefix`.
///
/// `prefix` must not consist of `0xff` bytes only; no record key does.
pub fn prefix_end(prefix: &[u8]) -> RecordKey {
    let mut end = RecordKey::from_slice(prefix);
    while end.last() == Some(&0xff) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// Reads eight big-endian bytes.
pub fn be_u64(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("the slice is eight bytes long"))
}

/// Reads four big-endian bytes.
pub fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("the slice is four bytes long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_on_disk() {
        assert_eq!(hash64(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(hash64(b"a"), 0xe6c6_32b6_1e96_4e1f);
        assert_eq!(hash64(b"foo"), 0xab6e_5f64_077e_7d8a);
    }

    #[test]
    fn the_layout_is_the_one_on_disk() {
        let record = meta(7, b"foo");
        assert_eq!(&record[..], b"\0\0\0\x07m\xab\x6e\x5f\x64\x07\x7e\x7d\x8afoo");
        assert_eq!(split_meta(&record), (hash64(b"foo"), &b"foo"[..]));
        assert_eq!(&chunk(1, 2, 3)[..], b"\0\0\0\x01e\0\0\0\0\0\0\0\x02\0\0\0\x03");
        let record = expiry(1, 258, b"k");
        assert_eq!(&record[..13], b"\0\0\0\x01x\0\0\0\0\0\0\x01\x02");
        assert_eq!(split_expiry(&record), (258, &b"k"[..]));
    }

    #[test]
    fn databases_begin_with_the_keyspaces_that_are_on_disk() {
        assert_eq!([0, 15].map(|database| initial_keyspace(0, database)), [1, 16]);
        assert_eq!(initial_keyspace(1, 2), 0x8000_0012);
        assert_eq!(initially_of(0x8000_0012), Some((1, 2)));
        assert_eq!(initially_of(initial_keyspace(TENANT_IDS_MAX, 15)), Some((TENANT_IDS_MAX, 15)));
        assert_eq!((initially_of(16), initially_of(TENANT_KEYSPACES - 1)), (None, None));
        assert_eq!(split_catalog_key(&catalog(7, 3)), (7, 3));
        assert_eq!(&tenant_name(b"acme")[..], b"\0\0\0\0Tacme");
        assert_eq!(&tenant(258)[..], b"\0\0\0\0U\0\0\x01\x02");
        assert_eq!((split_tenant(&tenant(258)), &next_tenant()[..]), (258, &b"\0\0\0\0j"[..]));
    }

    #[test]
    fn prefix_end_follows_every_extension() {
        assert_eq!(&prefix_end(b"ab")[..], b"ac");
        assert_eq!(&prefix_end(b"a\xff\xff")[..], b"b");
        assert_eq!(split_registry(&registry(3, 99)), 99);
        assert_eq!(split_trash(&trash(12)), 12);
    }
}
