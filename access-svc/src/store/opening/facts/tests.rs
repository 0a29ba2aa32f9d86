use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use sea_orm::{ActiveValue::Set, QueryOrder};

use super::*;
use crate::{
    domain::{
        etag::Version,
        external_id::{ExternalIds, Object},
        grant::{Holder, Target},
        payment::Payment,
    },
    store::{
        NewPayment, ObjectId, Owner, Rule, StoredGrant,
        testing::{Place, act, now, place},
    },
};

/// Tosses coins, the same ones for the same seed.
struct Coins(u64);

impl Coins {
    fn one_of(&mut self, many: u64) -> bool {
        // Knuth's generator: its high bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33).is_multiple_of(many)
    }
}

/// Who has what, as the tests know it.
#[derive(Default)]
struct Registry {
    devices: Vec<Device>,
    residents: Vec<Resident>,
    members: BTreeSet<(Uuid, Uuid)>,
    grouped: BTreeSet<(Uuid, Uuid)>,
    /// With their ends, each of which is another one.
    grants: Vec<(Holder, Target, Timestamp)>,
    paid: BTreeMap<(Uuid, Uuid, i16), Timestamp>,
}

type Rights = (BTreeSet<Timestamp>, BTreeSet<Timestamp>);

impl Registry {
    fn rights(&self, resident: &Resident, device: &Device) -> Rights {
        let is_member = |household: Uuid| self.members.contains(&(household, resident.id));
        let holds = |holder: &Holder| match *holder {
            Holder::Resident(id) => id == resident.id,
            Holder::Household(id) => resident.host.is_none() && is_member(id),
        };
        let is_on = |target: &Target| match *target {
            Target::Device(uid) => uid == device.uid,
            Target::Group(id) => self.grouped.contains(&(id, device.uid)),
        };
        let grants = self.grants.iter();
        let grants = grants.filter(|(holder, target, _)| holds(holder) && is_on(target));
        let paid = self.paid.iter().filter(|((household, site, kind), _)| {
            (is_member(*household) || resident.host == Some(*household))
                && *site == device.site
                && *kind == device.kind.code()
        });
        (
            grants.map(|(.., end)| *end).collect(),
            paid.map(|(_, until)| *until).collect(),
        )
    }
}

impl Place {
    async fn all_devices(&self) -> Vec<Device> {
        let rows = entity::device::Entity::find()
            .order_by_asc(entity::device::Column::Uid)
            .all(&self.db.read)
            .await;
        rows.expect("asked").into_iter().map(Device::from).collect()
    }

    async fn grant(&self, holder: Holder, target: Target, ends_at: Timestamp) {
        let grant = StoredGrant {
            id: Uuid::now_v7(),
            holder,
            target,
            windows: vec![],
            ends_at: Some(ends_at),
            version: Version::FIRST,
        };
        let of = ObjectId {
            object: Object::Grant,
            id: grant.id,
        };
        let names = self
            .store
            .new_external_ids(of, &Owner::Nobody, &ExternalIds::default());
        let names = names.expect("ready");
        let inserted = self.store.insert_grant(grant, names, 0, act()).await;
        inserted.expect("a grant");
    }

    /// Rights thrown at random over a few sites.
    async fn registry(&self, coins: &mut Coins) -> Registry {
        let mut registry = Registry::default();
        let (partner, mut homes, mut targets) = (self.partner().await, Vec::new(), Vec::new());
        let mut sites = Vec::new();
        for _ in 0..3 {
            let site = self.site().await;
            let doors = [
                self.door(partner, site).await,
                self.door(partner, site).await,
            ];
            let within: Vec<Uuid> = doors.into_iter().filter(|_| coins.one_of(2)).collect();
            let group = self.group_of(site, &within).await;
            registry
                .grouped
                .extend(within.into_iter().map(|uid| (group, uid)));
            targets.extend(doors.map(Target::Device));
            targets.push(Target::Group(group));
            sites.push(site);
        }
        registry.devices = self.all_devices().await;
        for _ in 0..5 {
            registry.residents.push(self.resident_at(sites[0]).await);
        }
        for site in &sites {
            let members = registry.residents.iter().map(|resident| resident.id);
            let members: Vec<Uuid> = members.filter(|_| coins.one_of(3)).collect();
            let home = self.home(*site, &members).await;
            let members = members.into_iter().map(|id| (home, id));
            registry.members.extend(members);
            homes.push(home);
        }
        for home in &homes {
            let host = Some(*home);
            let guest = self.resident_at(sites[0]).await;
            registry.residents.push(Resident { host, ..guest });
        }
        let mut later = now();
        let mut next = || {
            later += SignedDuration::from_hours(1);
            later
        };
        let own = registry
            .residents
            .iter()
            .map(|one| Holder::Resident(one.id));
        let shared = homes.iter().map(|home| Holder::Household(*home));
        for holder in own.chain(shared) {
            for target in targets.iter().filter(|_| coins.one_of(4)) {
                let end = next();
                self.grant(holder, *target, end).await;
                registry.grants.push((holder, *target, end));
            }
        }
        let mut told = Vec::new();
        for household in &homes {
            for site in &sites {
                for kind in [DeviceKind::Door, DeviceKind::Barrier] {
                    if coins.one_of(2) {
                        let paid = Subscription {
                            paid_until: next(),
                            grace_days: 0,
                            suspended: false,
                        };
                        let of = (*household, *site, kind.code());
                        registry.paid.insert(of, paid.paid_until);
                        told.push(NewPayment {
                            household: *household,
                            site: Some(*site),
                            kind,
                            payment: Payment { paid, as_of: now() },
                            rule: Rule::NotNewer,
                            telling: act(),
                        });
                    }
                }
            }
        }
        let put = self.store.put_payments(told).await.expect("written");
        assert!(put.iter().all(Result::is_ok));
        registry
    }
}

fn rights(known: &Known) -> Rights {
    let ends = known.grants.iter().filter_map(|grant| grant.ends_at);
    let until = known.subscriptions.iter().map(|paid| paid.paid_until);
    (ends.collect(), until.collect())
}

#[tokio::test]
async fn each_of_a_group_has_its_own_rights_and_nobody_elses() {
    // The same for whoever looks into a failure.
    for seed in 1..=4 {
        let (place, mut coins) = (place().await, Coins(seed));
        let registry = place.registry(&mut coins).await;
        let micros = |(ends, until): Rights| {
            let micros = |times: BTreeSet<Timestamp>| -> BTreeSet<i64> {
                times.into_iter().map(mesh::clock::to_micros).collect()
            };
            (micros(ends), micros(until))
        };
        let mut asked = Vec::new();
        for device in &registry.devices {
            asked.push((device, None));
            asked.extend(registry.residents.iter().map(|one| (device, Some(one))));
        }
        // As one group, whatever its size, and as each that comes alone.
        let group = asked.iter().map(|(device, resident)| {
            Arc::new(Asked {
                device: device.uid,
                site: device.site,
                kind: device.kind,
                resident: resident.cloned(),
            })
        });
        let together = read_all(place.db.clone(), group.collect()).await;
        let together = together.expect("read");
        let submitted = join_all(
            asked
                .iter()
                .map(|(device, resident)| place.store.known(device, *resident)),
        );
        let submitted = submitted.await;
        assert_eq!(together.len(), asked.len());
        let mut some = 0;
        for (((device, resident), known), submitted) in asked.iter().zip(together).zip(submitted) {
            let known = known.expect("a device");
            let submitted = submitted.expect("read").expect("a device");
            let alone = place.store.known(device, *resident).await;
            let alone = alone.expect("read").expect("a device");
            let wanted = resident.map(|one| registry.rights(one, device));
            let wanted = micros(wanted.unwrap_or_default());
            some += wanted.0.len().min(wanted.1.len());
            for known in [known, submitted, alone] {
                assert_eq!(known.device.uid, device.uid);
                assert_eq!(micros(rights(&known)), wanted, "seed {seed}: {resident:?}");
                assert_eq!(known.grants.len(), wanted.0.len(), "each once");
                assert_eq!(known.subscriptions.len(), wanted.1.len(), "each once");
            }
        }
        assert!(some > 0, "seed {seed} gives nobody anything");
    }
}

#[tokio::test]
async fn what_is_ordered_after_the_device_was_read_counts() {
    let place = place().await;
    let (partner, site, other) = (
        place.partner().await,
        place.site().await,
        place.site().await,
    );
    let (door, elsewhere) = (
        place.door(partner, site).await,
        place.door(partner, other).await,
    );
    let devices = place.all_devices().await;
    let read = |uid: Uuid| devices.iter().find(|one| one.uid == uid).expect("a device");
    let known = async |uid: Uuid| {
        let known = place.store.known(read(uid), None).await;
        known.expect("read")
    };
    let before = known(door).await.expect("a device");
    assert!(!before.site.lockdown && !before.device.disabled);
    let lockdown = entity::site::ActiveModel {
        id: Set(site),
        lockdown: Set(true),
        ..Default::default()
    };
    let updated = entity::site::Entity::update(lockdown).exec(&place.db.read);
    updated.await.expect("a lockdown");
    let disabled = entity::device::ActiveModel {
        uid: Set(door),
        disabled: Set(true),
        ..Default::default()
    };
    let updated = entity::device::Entity::update(disabled).exec(&place.db.read);
    updated.await.expect("disabled");
    let (here, there) = tokio::join!(known(door), known(elsewhere));
    let (here, there) = (here.expect("a device"), there.expect("a device"));
    assert!(here.site.lockdown && here.device.disabled);
    assert!(!there.site.lockdown && !there.device.disabled);
    let gone = entity::device::Entity::delete_by_id(door).exec(&place.db.read);
    gone.await.expect("deleted");
    assert!(known(door).await.is_none(), "gone meanwhile");
}
