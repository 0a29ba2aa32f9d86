//! A store on SQLite, for the tests of stores.

use std::collections::BTreeMap;

use audit_log::{Entry, Kind};
use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use mesh::{
    Clock, SystemClock,
    config::{DatabaseConfig, KeyringConfig},
    crypto::Key,
    db::{self, Db},
    keyring::Keyring,
    shutdown::Shutdown,
};
use sea_orm::{ActiveValue::Set, DatabaseTransaction, EntityTrait};
use tempfile::TempDir;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Household, NamedKeys, NewHolding, NewPerson, Records, Resident, Store, entity,
    migration::Migrator,
};
use crate::{
    domain::{
        entry,
        etag::Version,
        event::CredentialKind,
        external_id::ExternalIds,
        holding::Held,
        partner::{Credentials, Partner},
        plate::Plate,
    },
    error::Error,
};

pub(super) struct Place {
    pub(super) store: Store,
    pub(super) records: Records,
    pub(super) keyring: Keyring,
    pub(super) db: Db,
    pub(super) folder: TempDir,
}

pub(super) async fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = KeyringConfig::at(folder.path().join("keyring.json"));
    let keyring = Keyring::open_or_create("access-svc", &keys, &SystemClock)
        .await
        .expect("a keyring");
    let config = DatabaseConfig {
        url: format!("sqlite://{}", folder.path().join("x.db").display()),
        max_connections: 2,
        allow_plaintext_for_development: false,
    };
    let db = db::open::<Migrator>(&config, Shutdown::new())
        .await
        .expect("a store");
    let named = || Key::random().expect("a key");
    let keys = NamedKeys {
        pseudonym: named(),
        fingerprint: named(),
        entry: named(),
    };
    Place {
        store: Store::new(db.clone(), keyring.clone(), keys),
        records: Records::new(db.clone(), keyring.clone()),
        keyring,
        db,
        folder,
    }
}

pub(super) fn now() -> Timestamp {
    SystemClock.now()
}

/// What the audit log says of something that was done.
pub(super) fn act() -> Entry {
    entry::act(Kind::Act, "done", now())
}

/// Nobody registered.
pub(super) fn stranger() -> Resident {
    Resident {
        id: Uuid::now_v7(),
        subject: Uuid::new_v4(),
        audit_pseudonym: Uuid::new_v4(),
        suspended: false,
        host: None,
        guest_until: None,
        version: Version::FIRST,
    }
}

/// From now on.
pub(super) fn since() -> Held {
    Held {
        from: now(),
        to: None,
    }
}

pub(super) fn plate() -> Plate {
    Plate::parse("A123BC77", "RU").expect("a plate")
}

pub(super) fn key_of(partner: Uuid, site: Uuid) -> NewHolding {
    NewHolding::Credential {
        partner,
        kind: CredentialKind::Key,
        id: Zeroizing::new("key-1".into()),
        site,
    }
}

impl Place {
    pub(super) async fn resident(&self) -> Resident {
        let site = self.site().await;
        self.resident_at(site).await
    }

    pub(super) async fn resident_at(&self, site: Uuid) -> Resident {
        let resident = stranger();
        let new = NewPerson {
            resident: resident.clone(),
            name: Zeroizing::new("Anna Example".to_owned()),
            sites: [site].into(),
            joined: BTreeMap::new(),
            external_ids: ExternalIds::default(),
        };
        let inserted = self.store.insert_resident(new, 0, act()).await;
        inserted.expect("a resident");
        resident
    }

    pub(super) async fn site(&self) -> Uuid {
        let id = Uuid::now_v7();
        let row = entity::site::ActiveModel {
            id: Set(id),
            name: Set("s".into()),
            lockdown: Set(false),
            free_passage: Set(false),
            version: Set(1),
            created_at: Set(0),
        };
        let inserted = self.write(move |txn| {
            async move {
                let row = entity::site::Entity::insert(row);
                row.exec_without_returning(txn).await?;
                Ok(())
            }
            .boxed()
        });
        inserted.await;
        id
    }

    pub(super) async fn household(&self, site: Uuid) -> Uuid {
        let household = Household {
            id: Uuid::now_v7(),
            site,
            building: None,
            unit: "12".into(),
            version: Version::FIRST,
        };
        let id = household.id;
        let none = ExternalIds::default();
        let inserted = self.store.insert_household(household, none, 0, act()).await;
        inserted.expect("a household");
        id
    }

    /// A row that no function of the store writes by itself.
    pub(super) async fn write<F>(&self, work: F)
    where
        F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<(), Error>>
            + Send
            + 'static,
    {
        self.db.writer.write(work).await.expect("written");
    }

    /// The holding's id.
    pub(super) async fn hold(&self, resident: Uuid, new: NewHolding) -> Uuid {
        let key = self.store.resident_key(resident).await.expect("asked");
        let key = key.expect("a key");
        let holding = self
            .store
            .insert_holding(resident, &key, new, since(), &ExternalIds::default(), act())
            .await;
        holding.expect("a holding").id
    }

    /// Whom the vehicle leads to at these sites.
    pub(super) async fn holder(&self, sites: &[Uuid], at: Timestamp) -> Option<Uuid> {
        let holder = self.store.vehicle_holder(&plate(), sites, at).await;
        holder.expect("asked").map(|holder| holder.resident.id)
    }

    pub(super) async fn partner(&self) -> Uuid {
        let id = Uuid::now_v7();
        let partner = Partner {
            id,
            name: "p".into(),
            token_url: "https://p.example/token".into(),
            api_base: "https://p.example".into(),
            door_path: String::new(),
            barrier_path: String::new(),
            minimal: false,
            ca_pem: String::new(),
            settings_version: 1,
        };
        let credentials = || Credentials {
            client_id: "c".into(),
            client_secret: Zeroizing::new("s".into()),
        };
        self.store
            .insert_partner(partner, credentials(), credentials(), 0, act())
            .await
            .expect("a partner");
        id
    }

    /// A household with these members.
    pub(super) async fn home(&self, site: Uuid, members: &[Uuid]) -> Uuid {
        use entity::{household, household_member};
        let id = Uuid::now_v7();
        household::Entity::insert(household::ActiveModel {
            id: Set(id),
            site_id: Set(site),
            building_id: Set(None),
            unit: Set(String::new()),
            version: Set(1),
            created_at: Set(0),
        })
        .exec_without_returning(&self.db.read)
        .await
        .expect("a household");
        for member in members {
            household_member::Entity::insert(household_member::ActiveModel {
                household_id: Set(id),
                resident_id: Set(*member),
            })
            .exec_without_returning(&self.db.read)
            .await
            .expect("a member");
        }
        id
    }

    /// A door; our id of it.
    pub(super) async fn door(&self, partner: Uuid, site: Uuid) -> Uuid {
        use entity::device::{ActiveModel, Entity};
        let uid = Uuid::now_v7();
        Entity::insert(ActiveModel {
            uid: Set(uid),
            partner_id: Set(partner),
            device_id: Set(uid.to_string()),
            site_id: Set(site),
            entrance_id: Set(None),
            kind: Set(1),
            name: Set("door".into()),
            time_zone: Set("UTC".into()),
            disabled: Set(false),
            lockdown: Set(false),
            free_passage: Set(false),
            version: Set(1),
            created_at: Set(0),
        })
        .exec_without_returning(&self.db.read)
        .await
        .expect("a device");
        uid
    }

    /// A group with these devices.
    pub(super) async fn group_of(&self, site: Uuid, devices: &[Uuid]) -> Uuid {
        use entity::{device_group, device_group_member};
        let id = Uuid::now_v7();
        device_group::Entity::insert(device_group::ActiveModel {
            id: Set(id),
            site_id: Set(site),
            name: Set("group".into()),
            version: Set(1),
            created_at: Set(0),
        })
        .exec_without_returning(&self.db.read)
        .await
        .expect("a group");
        for device in devices {
            device_group_member::Entity::insert(device_group_member::ActiveModel {
                group_id: Set(id),
                device_uid: Set(*device),
            })
            .exec_without_returning(&self.db.read)
            .await
            .expect("a member");
        }
        id
    }
}
