//! What databases show: the catalog as a view sees it.

use std::borrow::Cow;
use std::cell::Cell;

use super::{Tenant, View};
use crate::data::keys::{self, KeyspaceId};
use crate::data::tenants;
use crate::error::{self, Stop};
use crate::limits::DATABASES;

/// What a database shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The keyspace.
    pub keyspace: KeyspaceId,
    /// How often it was another one before, modulo 2^32.
    pub switches: u32,
}

/// What has been looked up of a database.
#[derive(Debug, Clone, Copy)]
pub(in crate::data) struct Known {
    pub tenant: Tenant,
    pub database: u8,
    pub shown: Shown,
    /// Background work knows of it. One of which it does not has no records.
    pub is_registered: bool,
    /// How much its tenant may store, if that is bounded: then its bytes are counted.
    pub storage: Option<u64>,
}

impl View<'_> {
    /// The keyspace of a numbered database.
    pub fn keyspace(&self, tenant: Tenant, database: u8) -> Result<KeyspaceId, Stop> {
        Ok(self.shown(tenant, database)?.keyspace)
    }

    /// What a numbered database shows.
    ///
    /// # Errors
    ///
    /// [`error::TENANT_GONE`] if there is no such tenant.
    pub fn shown(&self, tenant: Tenant, database: u8) -> Result<Shown, Stop> {
        Ok(self.known(tenant, database)?.shown)
    }

    /// As [`View::shown`], with what else is known of the database.
    pub(in crate::data) fn known(&self, tenant: Tenant, database: u8) -> Result<Known, Stop> {
        let memo = self.memo(tenant, database);
        match memo.get() {
            Some(known) if known.tenant == tenant && known.database == database => Ok(known),
            _ => {
                let known = self.look_up(tenant, database)?;
                memo.set(Some(known));
                Ok(known)
            }
        }
    }

    /// Where what is known of a database is kept: the databases of a tenant have different places.
    fn memo(&self, tenant: Tenant, database: u8) -> &Cell<Option<Known>> {
        let place = tenant.wrapping_add(database.into()) % u32::from(DATABASES);
        &self.databases[place as usize]
    }

    fn look_up(&self, tenant: Tenant, database: u8) -> Result<Known, Stop> {
        let record = self.assumed(&keys::catalog(tenant, database));
        // A database's record goes with its tenant, and a quota marks it: one without a mark says enough, and
        // so does none of the first tenant, which is always there.
        let says_enough = match &record {
            Ok(Some(record)) => !keys::is_metered(record),
            _ => tenant == tenants::DEFAULT,
        };
        // Asked for together, if both are.
        let settings = match says_enough {
            true => None,
            false => self.assumed(&keys::tenant(tenant))?,
        };
        // Nobody writes to the databases of a tenant that is gone: nothing would ever remove that.
        if !says_enough && settings.is_none() && tenant != tenants::DEFAULT {
            return Err(error::TENANT_GONE.into());
        }
        let record = record?;
        let is_registered = tenant == tenants::DEFAULT || record.is_some();
        let storage = settings.as_deref().and_then(tenants::storage_quota);
        let (keyspace, switches) = match record {
            Some(record) => keys::split_catalog(&record),
            None => (keys::initial_keyspace(tenant, database), 0),
        };
        if storage.is_some() {
            self.may_be_metered(keyspace);
        }
        Ok(Known { tenant, database, shown: Shown { keyspace, switches }, is_registered, storage })
    }

    /// A record that hardly ever changes.
    pub(in crate::data) fn assumed(&self, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Stop> {
        match self.overlay.get(key) {
            Some(own) => Ok(own.map(Cow::Borrowed)),
            None => Ok(self.snapshot.get_assumed(key)?),
        }
    }

    /// Makes the database that shows a keyspace known to background work, before the first record is
    /// written there. The databases of the first tenant always are.
    pub(in crate::data) fn register(&mut self, keyspace: KeyspaceId) -> Result<(), Stop> {
        let Some((tenant, database)) = keys::initially_of(keyspace) else { return Ok(()) };
        let known = self.known(tenant, database)?;
        if !known.is_registered {
            self.write_catalog(known);
            if known.storage.is_some() {
                self.meter_empty(tenant, keyspace);
            }
        }
        Ok(())
    }

    /// Writes what a database is now known to be.
    pub(in crate::data) fn write_catalog(&mut self, known: Known) {
        let Known { tenant, database, shown, storage, .. } = known;
        let value = [&shown.keyspace.to_be_bytes()[..], &shown.switches.to_be_bytes()];
        // The first tenant's settings are looked up only because of this.
        let is_metered = if storage.is_some() { &[1][..] } else { &[] };
        self.set(&keys::catalog(tenant, database), &[value[0], value[1], is_metered]);
        self.memo(tenant, database).set(Some(Known { is_registered: true, ..known }));
    }

    /// Makes `database` show another keyspace from now on.
    pub fn set_keyspace(
        &mut self,
        tenant: Tenant,
        database: u8,
        keyspace: KeyspaceId,
    ) -> Result<(), Stop> {
        let known = self.known(tenant, database)?;
        let switches = known.shown.switches.wrapping_add(1);
        self.write_catalog(Known { shown: Shown { keyspace, switches }, ..known });
        Ok(())
    }

    /// Databases are looked up again.
    pub(in crate::data) fn forget_databases(&self) {
        self.databases.iter().for_each(|memo| memo.set(None));
        self.usage.set(None);
    }
}
