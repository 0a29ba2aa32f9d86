//! The database of access-svc. sea-orm's types stop here.

mod audit;
mod building;
#[cfg(feature = "bulk")]
pub mod bulk;
mod consent;
mod custody;
mod device;
mod device_group;
#[expect(unreachable_pub, reason = "sea-orm derives pub items")]
mod entity;
mod entrance;
mod erasure;
mod event;
mod evidence;
mod external_id;
mod feed;
mod grant;
mod guest;
mod holding;
mod household;
mod import;
mod log;
mod lookup;
pub(crate) mod migration;
mod near_miss;
mod opening;
mod partner;
mod passage;
mod place;
mod resident;
mod site;
mod subscription;
#[cfg(test)]
mod testing;
mod together;

pub(crate) use audit::{AuthEvent, PassageChange};
pub(crate) use building::Building;
pub(crate) use consent::{Consent, NewConsent, Outrun, Withdrawal};
pub(crate) use custody::Records;
pub(crate) use device::{DeviceChange, DeviceFilter};
pub(crate) use device_group::{DeviceGroup, DeviceGroupChange};
pub(crate) use entrance::Entrance;
pub(crate) use erasure::Whom;
pub(crate) use event::NewEvent;
pub(crate) use evidence::{Probe, Seen};
pub(crate) use external_id::{NewExternalIds, ObjectId, Owner};
pub(crate) use feed::{Feed, Filter, Span};
pub(crate) use grant::{GrantChange, GrantFilter, StoredGrant};
pub(crate) use guest::{Guest, GuestRight, NewGuest, Target};
pub(crate) use holding::{Holder, Holding, HoldingChange, NewHolding};
pub(crate) use household::{Household, HouseholdChange, Membership};
pub(crate) use import::{DeviceAt, ImportedPerson, NewObjects, NewRight, NewState, Used};
pub(crate) use log::{
    Batch, Checkpoint, ENTRY_KEY, EntryFilter, MonthKey, NewEntry, Place, Sealer, StoredEntry,
};
pub(crate) use lookup::Sought;
use mesh::{
    crypto::Key,
    db::{Db, lease::Lease},
    keyring::{Keyring, WrappedKey},
};
pub(crate) use opening::{Commit, Committed, Idempotency};
pub(crate) use place::Change;
pub(crate) use resident::{NewPerson, Resident, ResidentChange, ResidentKey, ToldResident};
pub(crate) use site::Site;
pub(crate) use subscription::{NewPayment, Rule, StoredSubscription, SubscriptionKey};
pub(crate) use together::{Reads, each_for_itself, padded, read_together};
use uuid::Uuid;

use crate::error::Error;

/// Keys that outlive an epoch, wrapped in the database.
#[derive(Clone)]
pub(crate) struct NamedKeys {
    /// Pairwise pseudonyms in `sub`.
    pub(crate) pseudonym: Key,
    /// Idempotency keys, body fingerprints, event identities.
    pub(crate) fingerprint: Key,
    /// Entries of the audit log, until they have their place in the tree.
    pub(crate) entry: Key,
}

#[derive(Clone)]
pub(crate) struct Store {
    db: Db,
    keyring: Keyring,
    keys: NamedKeys,
    months: log::Months,
    commits: opening::Commits,
    outcomes: opening::Outcomes,
    devices: device::Devices,
    holders: holding::Holders,
    known: opening::KnownReads,
}

/// Rows that go into one statement: SQLite takes 32,766 parameters in one.
const ROWS: usize = 2_000;

/// A page of a list, by id.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    pub(crate) after: Option<Uuid>,
    pub(crate) limit: u64,
}

impl Store {
    pub(crate) fn new(db: Db, keyring: Keyring, keys: NamedKeys) -> Self {
        Self {
            commits: opening::commits(db.clone()),
            outcomes: opening::outcomes(db.clone()),
            devices: device::devices(db.clone()),
            holders: holding::holders(db.clone()),
            known: opening::known(db.clone()),
            db,
            keyring,
            keys,
            months: log::Months::default(),
        }
    }

    /// For what is done by one replica at a time.
    pub(crate) fn lease(&self, name: &str) -> Lease {
        Lease::new(self.db.clone(), name)
    }

    pub(crate) fn keys(&self) -> &NamedKeys {
        &self.keys
    }

    fn unwrap(&self, epoch: i64, wrapped: &[u8], owner: Uuid) -> Result<Key, Error> {
        let wrapped = WrappedKey {
            epoch,
            sealed: wrapped.to_vec(),
        };
        Ok(self.keyring.unwrap(&wrapped, owner.as_bytes())?)
    }
}

/// Binds a ciphertext to its column and row.
fn context(column: &str, row: Uuid) -> Vec<u8> {
    let mut context = column.as_bytes().to_vec();
    context.push(0);
    context.extend_from_slice(row.as_bytes());
    context
}
