//! The databases of all tenants, some at a time.

use std::ops::ControlFlow;

use crate::data::Tenant;
use crate::data::keys::{self, KeyspaceId};
use crate::limits::DATABASES;
use crate::store::{ReadError, Scan, Snapshot};

/// A keyspace that a database shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Whose it is.
    pub tenant: Tenant,
    /// The keyspace.
    pub keyspace: KeyspaceId,
}

/// Goes through the databases of all tenants: those of the first one, then those that have a record in
/// the catalog because something was written there, and from the front again.
#[derive(Debug, Default, Clone)]
pub struct Tour {
    /// The tenant and database to go on with, unless from the front.
    at: Option<(Tenant, u8)>,
}

impl Tour {
    /// The next `limit` keyspaces, beside those of the first tenant at the front, and where to go on.
    pub fn next(
        &self,
        snapshot: &dyn Snapshot,
        limit: usize,
    ) -> Result<(Vec<Space>, Tour), ReadError> {
        let found = match self.at {
            Some(_) => Ok(Vec::new()),
            None => first_spaces(snapshot),
        };
        let (tenant, database) = self.at.unwrap_or((1, 0));
        let (begin, end) = keys::catalogs_from(tenant, database);
        let scan = Scan { begin: &begin, end: &end, limit, reverse: false };
        let (mut others, mut next) = (Vec::new(), None);
        snapshot.scan(scan, &mut |key, record| {
            let (tenant, database) = keys::split_catalog_key(key);
            others.push(Space { tenant, keyspace: keys::split_catalog(record).0 });
            next = Some((tenant, database + 1));
            ControlFlow::Continue(())
        })?;
        let at = next.filter(|_| others.len() == limit);
        let mut found = found?;
        found.extend(others);
        Ok((found, Tour { at }))
    }
}

/// The keyspaces of the first tenant's databases.
fn first_spaces(snapshot: &dyn Snapshot) -> Result<Vec<Space>, ReadError> {
    let mut found = Vec::new();
    let mut pending = Ok(());
    for database in 0..DATABASES {
        match snapshot.get(&keys::catalog(0, database)) {
            Ok(record) => {
                let initial = || keys::initial_keyspace(0, database);
                let keyspace = record.map_or_else(initial, |record| keys::split_catalog(&record).0);
                found.push(Space { tenant: 0, keyspace });
            }
            Err(ReadError::Pending) => pending = Err(ReadError::Pending),
            Err(failed) => return Err(failed),
        }
    }
    pending.map(|()| found)
}
