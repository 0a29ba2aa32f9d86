//! Filling the registry past its calls: for benchmarks, where a million
//! residents one by one would take hours.

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use mesh::{
    Clock,
    clock::{SystemClock, to_micros},
    crypto::Key,
    db::{self, Db},
    keyring::{Keyring, KeyringError},
    shutdown::Shutdown,
};
use sea_orm::{ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::{Sought, context, entity, holding, resident};
use crate::{
    Config, SERVICE,
    domain::{
        device::DeviceKind,
        etag::Version,
        event::{CredentialKind, HoldingKind},
        plate::Plate,
    },
    error::{Error, Noun},
};

/// Residents in one transaction; SQLite takes 32,766 values in a statement.
const TOGETHER: usize = 1_000;
const PAID_FOR: SignedDuration = SignedDuration::from_hours(24 * 30);
const HELD_SINCE: SignedDuration = SignedDuration::from_hours(24);

/// A device of a partner.
pub struct Place {
    pub partner: Uuid,
    pub device_id: String,
}

/// Who lives at the device's site, may open it and has paid; and what is held.
pub struct Inhabitant {
    pub plate: Option<Plate>,
    pub key: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum FillError {
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    Database(#[from] db::OpenError),
    #[error(transparent)]
    Store(#[from] Error),
}

/// Adds the residents to the store of a service that does not run.
pub async fn fill(
    config: &Config,
    place: &Place,
    inhabitants: impl Iterator<Item = Inhabitant>,
) -> Result<(), FillError> {
    let shutdown = Shutdown::new();
    let keyring = Keyring::open_or_create(SERVICE, &config.keyring, &SystemClock).await?;
    let database =
        db::open::<super::migration::Migrator>(&config.database, shutdown.clone()).await?;
    add(&database, &keyring, place, inhabitants).await?;
    shutdown.cancel();
    Ok(())
}

async fn add(
    database: &Db,
    keyring: &Keyring,
    place: &Place,
    inhabitants: impl Iterator<Item = Inhabitant>,
) -> Result<(), Error> {
    let device = entity::device::Entity::find()
        .filter(entity::device::Column::PartnerId.eq(place.partner))
        .filter(entity::device::Column::DeviceId.eq(place.device_id.as_str()))
        .one(&database.read)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    let now = SystemClock.now();
    let mut inhabitants = inhabitants.peekable();
    while inhabitants.peek().is_some() {
        let mut rows = Rows::default();
        for one in inhabitants.by_ref().take(TOGETHER) {
            rows.add(keyring, &device, one, now)?;
        }
        database
            .writer
            .write(move |txn| insert(txn, rows).boxed())
            .await?;
    }
    Ok(())
}

#[derive(Default)]
struct Rows {
    residents: Vec<entity::resident::ActiveModel>,
    sites: Vec<entity::resident_site::ActiveModel>,
    households: Vec<entity::household::ActiveModel>,
    members: Vec<entity::household_member::ActiveModel>,
    holdings: Vec<entity::holding::ActiveModel>,
    grants: Vec<entity::grant::ActiveModel>,
    subscriptions: Vec<entity::subscription::ActiveModel>,
}

impl Rows {
    fn add(
        &mut self,
        keyring: &Keyring,
        device: &entity::device::Model,
        one: Inhabitant,
        now: Timestamp,
    ) -> Result<(), Error> {
        let id = Uuid::now_v7();
        let (key, wrapped) = keyring.new_data_key(id.as_bytes())?;
        self.residents.push(entity::resident::ActiveModel {
            id: Set(id),
            subject_id: Set(Uuid::new_v4()),
            audit_pseudonym: Set(Uuid::new_v4()),
            epoch: Set(wrapped.epoch),
            wrapped_key: Set(wrapped.sealed),
            name_sealed: Set(key.seal(b"Resident Example", &context(resident::NAME, id))?),
            suspended: Set(false),
            erasing: Set(false),
            host_household_id: Set(None),
            guest_until: Set(None),
            galleries_pending: Set(false),
            version: Set(Version::FIRST.0),
            created_at: Set(to_micros(now)),
        });
        self.sites.push(entity::resident_site::ActiveModel {
            resident_id: Set(id),
            site_id: Set(device.site_id),
        });
        if let Some(plate) = &one.plate {
            let held = (HoldingKind::Vehicle, None, Sought::plate(plate));
            self.hold(keyring, (id, &key), held, now)?;
        }
        if let Some(name) = &one.key {
            let sought = Sought::credential(device.partner_id, CredentialKind::Key, name);
            let held = (HoldingKind::Key, Some(device.site_id), sought);
            self.hold(keyring, (id, &key), held, now)?;
        }
        self.grants.push(entity::grant::ActiveModel {
            id: Set(Uuid::now_v7()),
            resident_id: Set(Some(id)),
            household_id: Set(None),
            device_uid: Set(Some(device.uid)),
            group_id: Set(None),
            windows: Set("[]".into()),
            ends_at: Set(None),
            version: Set(Version::FIRST.0),
            created_at: Set(to_micros(now)),
        });
        let household = Uuid::now_v7();
        self.households.push(entity::household::ActiveModel {
            id: Set(household),
            site_id: Set(device.site_id),
            building_id: Set(None),
            unit: Set(String::new()),
            version: Set(Version::FIRST.0),
            created_at: Set(to_micros(now)),
        });
        self.members.push(entity::household_member::ActiveModel {
            household_id: Set(household),
            resident_id: Set(id),
        });
        for kind in [DeviceKind::Door, DeviceKind::Barrier] {
            self.subscriptions.push(entity::subscription::ActiveModel {
                household_id: Set(household),
                site_id: Set(device.site_id),
                kind: Set(kind.code()),
                paid_until: Set(to_micros(now + PAID_FOR)),
                grace_days: Set(3),
                suspended: Set(false),
                as_of: Set(to_micros(now)),
                version: Set(Version::FIRST.0),
            });
        }
        Ok(())
    }

    fn hold(
        &mut self,
        keyring: &Keyring,
        (resident, key): (Uuid, &Key),
        (kind, site, sought): (HoldingKind, Option<Uuid>, Sought),
        now: Timestamp,
    ) -> Result<(), Error> {
        let id = Uuid::now_v7();
        let epoch = keyring.current();
        self.holdings.push(entity::holding::ActiveModel {
            id: Set(id),
            resident_id: Set(resident),
            kind: Set(kind.code()),
            site_id: Set(site),
            lookup: Set(sought.hash(&epoch)),
            lookup_epoch: Set(epoch.id),
            sealed: Set(key.seal(sought.bytes(), &context(holding::VALUE, id))?),
            held_from: Set(to_micros(now - HELD_SINCE)),
            held_to: Set(None),
            version: Set(Version::FIRST.0),
        });
        Ok(())
    }
}

async fn insert(txn: &DatabaseTransaction, rows: Rows) -> Result<(), Error> {
    entity::resident::Entity::insert_many(rows.residents)
        .exec_without_returning(txn)
        .await?;
    entity::resident_site::Entity::insert_many(rows.sites)
        .exec_without_returning(txn)
        .await?;
    entity::household::Entity::insert_many(rows.households)
        .exec_without_returning(txn)
        .await?;
    entity::household_member::Entity::insert_many(rows.members)
        .exec_without_returning(txn)
        .await?;
    entity::holding::Entity::insert_many(rows.holdings)
        .exec_without_returning(txn)
        .await?;
    entity::grant::Entity::insert_many(rows.grants)
        .exec_without_returning(txn)
        .await?;
    entity::subscription::Entity::insert_many(rows.subscriptions)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{device::Device, external_id::ExternalIds, passage::Passage},
        store::testing,
    };

    #[tokio::test]
    async fn the_service_reads_what_was_filled_in() {
        let store = testing::place().await;
        let device = Device {
            uid: Uuid::now_v7(),
            partner: store.partner().await,
            id: "barrier-1".into(),
            site: store.site().await,
            entrance: None,
            kind: DeviceKind::Barrier,
            name: "barrier".into(),
            time_zone: "Europe/Moscow".into(),
            disabled: false,
            passage: Passage {
                lockdown: false,
                free: false,
            },
            version: Version::FIRST,
        };
        let none = ExternalIds::default();
        let inserted = store
            .store
            .insert_device(device.clone(), &none, 0, testing::act());
        inserted.await.expect("a device");
        let place = Place {
            partner: device.partner,
            device_id: device.id.clone(),
        };
        let people = (0..TOGETHER + 1).map(|number| Inhabitant {
            plate: Plate::parse(
                &format!("A{:03}BC{}", 1 + number % 999, 77 + number / 999),
                "",
            )
            .ok(),
            key: Some(format!("key-{number}")),
        });
        add(&store.db, &store.keyring, &place, people)
            .await
            .expect("filled");

        // The last one, of a second transaction.
        let plate = Plate::parse("A002BC78", "").expect("a plate");
        let holder = store
            .store
            .vehicle_holder(&plate, &[device.site], testing::now())
            .await;
        let holder = holder.expect("looked for").expect("somebody").resident;
        let sought = Sought::credential(device.partner, CredentialKind::Key, "key-1000");
        let held = store
            .store
            .credential_holdings(&[(sought, [device.site].as_slice())])
            .await
            .expect("looked for");
        assert_eq!(held[0][0].resident, holder.id);
        let key = store.store.resident_key(holder.id).await.expect("read");
        assert!(key.is_some());
        let known = store.store.known(&device, Some(&holder)).await;
        let known = known.expect("read").expect("a device");
        assert_eq!(known.grants.len(), 1);
        let mut paid = known.subscriptions.iter();
        assert!(paid.any(|paid| paid.paid_until > testing::now()));
    }
}
