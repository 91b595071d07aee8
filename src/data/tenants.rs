//! The tenants: their names, ids and settings.
//!
//! A tenant is there as long as it has a record; that of the first one is only written when it has
//! settings. Ids are given in order and never twice: the databases of a tenant have keyspaces that
//! follow from its id, and a client may still have the id of one that is gone. Whatever such a client
//! asks for fails, for the view looks the tenant's record up together with the catalog's.

use std::ops::ControlFlow;

use super::entry::unreadable;
use super::keys;
use super::view::{Tenant, View};
use crate::auth::is_tenant_name;
use crate::error::{Stop, Together};
use crate::limits::{DATABASES, TENANT_IDS_MAX, TENANTS_MAX};
use crate::store::{ReadError, Scan, Snapshot};

/// The tenant that is always there.
pub const DEFAULT: Tenant = 0;
/// Its name.
pub const DEFAULT_NAME: &str = "default";
/// The tenant of a connection that has not said whose it is: there is no such tenant, so it has no data.
pub const NOBODY: Tenant = Tenant::MAX;

const VERSION: u8 = 1;
/// The number of [`Quota::storage`] in the record.
const STORAGE: u8 = 1;

/// What a tenant may use; `None`: as much as it likes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of all its data.
    pub storage: Option<u64>,
    /// Bytes of one request.
    pub request: Option<u64>,
    /// Connections.
    pub connections: Option<u64>,
    /// Commands per second.
    pub commands: Option<u64>,
}

impl Quota {
    /// Every field; its place here is its number in the record, less one.
    fn fields(&mut self) -> [&mut Option<u64>; 4] {
        let Quota { storage, request, connections, commands } = self;
        [storage, request, connections, commands]
    }
}

/// What the record of a tenant says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// What it may use.
    pub quota: Quota,
}

impl Settings {
    fn default_tenant() -> Settings {
        Settings { name: DEFAULT_NAME.to_owned(), quota: Quota::default() }
    }

    fn encode(&self) -> Vec<u8> {
        let mut record = vec![VERSION, self.name.len() as u8];
        record.extend_from_slice(self.name.as_bytes());
        let mut quota = self.quota;
        for (number, field) in (1..).zip(quota.fields()) {
            if let Some(value) = field {
                record.push(number);
                record.extend_from_slice(&value.to_be_bytes());
            }
        }
        record
    }

    fn decode(record: &[u8]) -> Option<Settings> {
        let [VERSION, len, rest @ ..] = record else { return None };
        let (name, mut rest) = rest.split_at_checked((*len).into())?;
        let name = String::from_utf8(name.to_vec()).ok()?;
        let mut quota = Quota::default();
        while let Some((number, behind)) = rest.split_first() {
            let (value, behind) = behind.split_at_checked(8)?;
            *quota.fields().into_iter().nth(usize::from(*number).checked_sub(1)?)? =
                Some(keys::be_u64(value));
            rest = behind;
        }
        Some(Settings { name, quota })
    }
}

/// How much a tenant may store, by its record. Asked by each group, so it looks at nothing else.
pub(super) fn storage_quota(record: &[u8]) -> Option<u64> {
    let (len, rest) = record.get(1..)?.split_first()?;
    match rest.get(usize::from(*len)..)? {
        // The fields are in the order of their numbers.
        [STORAGE, value @ ..] => value.get(..8).map(keys::be_u64),
        _ => None,
    }
}

/// What these tenants may use; those that are not there are left out.
pub fn quotas(
    snapshot: &dyn Snapshot,
    tenants: &[Tenant],
) -> Result<Vec<(Tenant, Quota)>, ReadError> {
    let (mut quotas, mut pending) = (Vec::new(), Ok(()));
    for &tenant in tenants {
        match snapshot.get(&keys::tenant(tenant)) {
            Ok(record) => {
                let settings = record.and_then(|record| Settings::decode(&record));
                quotas.extend(settings.map(|settings| (tenant, settings.quota)));
            }
            Err(ReadError::Pending) => pending = Err(ReadError::Pending),
            Err(failed) => return Err(failed),
        }
    }
    pending.map(|()| quotas)
}

impl View<'_> {
    /// The tenant with this name. One that is not there is created if `create` says so, which is a
    /// write: only in a group that writes.
    ///
    /// # Errors
    ///
    /// A reply, if a tenant cannot have this name or there are too many.
    pub fn tenant(&mut self, name: &[u8], create: bool) -> Result<Option<Tenant>, Stop> {
        if !is_tenant_name(name) {
            return Err("ERR a tenant's name is 1 to 64 letters, digits, '.', '_' and '-'".into());
        }
        if name == DEFAULT_NAME.as_bytes() {
            return Ok(Some(DEFAULT));
        }
        if let Some(record) = self.get(&keys::tenant_name(name))? {
            return record
                .as_ref()
                .try_into()
                .map(|id| Some(Tenant::from_be_bytes(id)))
                .map_err(|_| unreadable());
        }
        if create { self.create_tenant(name).map(Some) } else { Ok(None) }
    }

    fn create_tenant(&mut self, name: &[u8]) -> Result<Tenant, Stop> {
        let (tenant, count) = self.tenant_count()?;
        // The first one has no record.
        if count + 1 >= TENANTS_MAX || tenant > TENANT_IDS_MAX {
            return Err("ERR there are too many tenants".into());
        }
        self.set_tenant_count(tenant + 1, count + 1);
        self.set(&keys::tenant_name(name), &[&tenant.to_be_bytes()]);
        let name = String::from_utf8_lossy(name).into_owned();
        let settings = Settings { name, quota: Quota::default() };
        self.set(&keys::tenant(tenant), &[&settings.encode()]);
        Ok(tenant)
    }

    /// The next tenant's id, and how many there are beside the first one.
    fn tenant_count(&self) -> Result<(Tenant, u32), Stop> {
        let Some(record) = self.get(&keys::next_tenant())? else { return Ok((1, 0)) };
        let (next, count) = record.split_at_checked(4).ok_or_else(unreadable)?;
        let count = count.try_into().map_err(|_| unreadable())?;
        Ok((keys::be_u32(next), u32::from_be_bytes(count)))
    }

    fn set_tenant_count(&mut self, next: Tenant, count: u32) {
        self.set(&keys::next_tenant(), &[&next.to_be_bytes(), &count.to_be_bytes()]);
    }

    /// The settings of a tenant; `None` if it is not there.
    pub fn settings(&self, tenant: Tenant) -> Result<Option<Settings>, Stop> {
        match self.get(&keys::tenant(tenant))? {
            Some(record) => Settings::decode(&record).map(Some).ok_or_else(unreadable),
            None if tenant == DEFAULT => Ok(Some(Settings::default_tenant())),
            None => Ok(None),
        }
    }

    /// Changes the settings of a tenant that is there; its name stays.
    pub fn set_settings(&mut self, tenant: Tenant, settings: &Settings) -> Result<(), Stop> {
        let old = self.settings(tenant)?.and_then(|settings| settings.quota.storage);
        let new = settings.quota.storage;
        self.set(&keys::tenant(tenant), &[&settings.encode()]);
        if old.is_some() == new.is_some() {
            self.forget_databases();
            return Ok(());
        }
        self.set_metered(tenant, new)
    }

    /// The names of up to `limit` tenants from this id on, and the id to go on from if there may be
    /// more.
    pub fn tenants(
        &self,
        first: Tenant,
        limit: usize,
    ) -> Result<(Vec<String>, Option<Tenant>), Stop> {
        let (mut names, mut last, mut decoded) = (Vec::new(), first, Ok(()));
        if first == DEFAULT {
            names.push(DEFAULT_NAME.to_owned());
        }
        let (begin, end) = keys::tenants_from(first.max(1));
        let scan = Scan { begin: &begin, end: &end, limit: limit - names.len(), reverse: false };
        self.scan(scan, &mut |record, value| {
            last = keys::split_tenant(record);
            match Settings::decode(value) {
                Some(settings) => names.push(settings.name),
                None => decoded = Err(unreadable()),
            }
            ControlFlow::Continue(())
        })?;
        decoded?;
        let next = (names.len() == limit).then_some(last + 1);
        Ok((names, next))
    }

    /// Removes a tenant and all its keys, at a cost that does not depend on how many there are.
    ///
    /// Its clients get [`crate::error::TENANT_GONE`] from then on, those that wait for data at once.
    pub fn drop_tenant(&mut self, tenant: Tenant) -> Result<(), Stop> {
        if tenant == DEFAULT {
            return Err("ERR the tenant 'default' is always there; FLUSHALL empties it".into());
        }
        let Some(settings) = self.settings(tenant)? else { return Ok(()) };
        let (next, count) = self.tenant_count()?;
        let mut together = Together::default();
        for database in 0..DATABASES {
            let used = together.take(self.used(tenant, database))?.flatten();
            if let Some(keyspace) = used {
                together.take(self.discard(keyspace))?;
                if settings.quota.storage.is_some() {
                    together.take(self.discard_meter(keyspace))?;
                }
                self.clear(&keys::catalog(tenant, database));
            }
        }
        together.end()?;
        self.set_tenant_count(next, count.saturating_sub(1));
        self.clear(&keys::tenant_name(settings.name.as_bytes()));
        self.clear(&keys::tenant(tenant));
        self.clear(&keys::tenant_usage(tenant));
        self.forget_databases();
        self.make_all_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_were_written() {
        let quota =
            Quota { storage: Some(128 << 20), commands: Some(u64::MAX), ..Quota::default() };
        for quota in [Quota::default(), quota] {
            let settings = Settings { name: "acme".to_owned(), quota };
            assert_eq!(Settings::decode(&settings.encode()), Some(settings));
        }
        let settings = Settings { name: "a".to_owned(), quota };
        let record = settings.encode();
        let expected = b"\x01\x01a\x01\0\0\0\0\x08\0\0\0\x04\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(record, expected, "these bytes are on disk");
        for bad in [&b""[..], b"\x02\x01a", b"\x01\x05a", b"\x01\x01a\x09", &record[..9]] {
            assert_eq!(Settings::decode(bad), None, "{bad:?}");
        }
        assert_eq!(Settings::decode(b"\x01\x01a\x00\0\0\0\0\0\0\0\0"), None);
        assert_eq!(Settings::decode(b"\x01\x01a\x05\0\0\0\0\0\0\0\0"), None);
    }
}
