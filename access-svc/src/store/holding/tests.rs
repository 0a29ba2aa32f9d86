use jiff::SignedDuration;
use sea_orm::ActiveValue::Set;

use super::*;
use crate::store::testing::{Place, act, key_of, now, place, plate};

impl Place {
    async fn holds(
        &self,
        resident: Uuid,
        new: NewHolding,
        held: Held,
        names: &ExternalIds,
    ) -> Result<Holding, Error> {
        let key = self.store.resident_key(resident).await?.expect("a key");
        self.store
            .insert_holding(resident, &key, new, held, names, act())
            .await
    }

    async fn corrects(
        &self,
        holding: &Holding,
        span: SpanChange,
        if_match: IfMatch,
    ) -> Result<Holding, Error> {
        let key = self.store.resident_key(holding.resident).await?;
        let change = HoldingChange {
            span,
            external_ids: None,
        };
        self.store
            .update_holding(holding.id, &key.expect("a key"), change, if_match, act())
            .await
    }
}

fn exists(result: &Result<Holding, Error>) -> bool {
    matches!(result, Err(Error::Exists(Noun::Holding)))
}

#[tokio::test]
async fn one_person_holds_a_key_at_a_time() {
    let place = place().await;
    let (partner, site) = (place.partner().await, Uuid::new_v4());
    let (first, second) = (place.resident().await.id, place.resident().await.id);
    let day = |days: i64| now() + SignedDuration::from_hours(24 * days);
    let (from, to) = (day(-10), day(-5));
    let nothing = ExternalIds::default();
    let held = Held { from, to: Some(to) };
    let key = || key_of(partner, site);
    let earlier = place.holds(first, key(), held, &nothing).await;
    let earlier = earlier.expect("the first holder");

    let overlapping = [
        Held { from, to: None },
        Held {
            from: day(-20),
            to: None,
        },
        Held {
            from: day(-20),
            to: Some(day(-9)),
        },
        Held {
            from: day(-6),
            to: Some(day(-4)),
        },
        Held {
            from: day(-8),
            to: Some(day(-7)),
        },
    ];
    for held in overlapping {
        let refused = place.holds(second, key(), held, &nothing).await;
        assert!(exists(&refused), "{held:?}");
    }
    // Another rotation's hash is as good.
    place.keyring.add_epoch(now()).await.expect("an epoch");
    let refused = place.holds(second, key(), held, &nothing).await;
    assert!(exists(&refused));

    let later = Held { from: to, to: None };
    let later = place.holds(second, key(), later, &nothing).await;
    let later = later.expect("whoever comes after");
    let another = place.partner().await;
    let of_another = place
        .holds(first, key_of(another, site), held, &nothing)
        .await;
    of_another.expect("the same id at another partner");

    // A correction meets the same rule.
    let longer = SpanChange {
        to: Some(None),
        ..SpanChange::default()
    };
    let refused = place.corrects(&earlier, longer, IfMatch::default()).await;
    assert!(exists(&refused));
    let ended = place.store.end_holding(later.id, to, act()).await;
    ended.expect("ended before it began");
    let corrected = place.corrects(&earlier, longer, IfMatch::default()).await;
    let corrected = corrected.expect("nobody else's now");
    assert_eq!(corrected.held.to, None);
    assert_eq!(corrected.version, Version(2));
}

#[tokio::test]
async fn a_vehicle_may_be_several_peoples() {
    let place = place().await;
    let nothing = ExternalIds::default();
    let mut holders = vec![];
    for _ in 0..2 {
        let site = place.site().await;
        let resident = place.resident_at(site).await.id;
        let vehicle = NewHolding::Vehicle(plate());
        let held = Held {
            from: now() - SignedDuration::from_hours(1),
            to: None,
        };
        let held = place.holds(resident, vehicle, held, &nothing).await;
        held.expect("a holding");
        holders.push((site, resident));
    }
    for (site, resident) in holders {
        assert_eq!(place.holder(&[site], now()).await, Some(resident));
    }
}

#[tokio::test]
async fn a_resident_holds_a_vehicle_once_at_a_time() {
    let place = place().await;
    let resident = place.resident().await.id;
    let day = |days: i64| now() + SignedDuration::from_hours(24 * days);
    let (from, to) = (day(-10), day(-5));
    let nothing = ExternalIds::default();
    let vehicle = || NewHolding::Vehicle(plate());
    let held = Held { from, to: Some(to) };
    let earlier = place.holds(resident, vehicle(), held, &nothing).await;
    let earlier = earlier.expect("held");
    let overlapping = Held {
        from: day(-6),
        to: None,
    };
    let twin = place.holds(resident, vehicle(), overlapping, &nothing);
    assert!(exists(&twin.await));
    // Another rotation's hash is as good.
    place.keyring.add_epoch(now()).await.expect("an epoch");
    let twin = place.holds(resident, vehicle(), held, &nothing).await;
    assert!(exists(&twin));

    let other = Plate::parse("B456CE77", "RU").expect("a plate");
    let other = NewHolding::Vehicle(other);
    let other = place.holds(resident, other, held, &nothing).await;
    other.expect("another vehicle");
    let since = Held { from: to, to: None };
    let later = place.holds(resident, vehicle(), since, &nothing).await;
    later.expect("the same at another time");
    let longer = SpanChange {
        to: Some(None),
        ..SpanChange::default()
    };
    let refused = place.corrects(&earlier, longer, IfMatch::default()).await;
    assert!(exists(&refused));
}

#[tokio::test]
async fn what_an_older_release_let_somebody_hold_twice_can_be_cut() {
    use entity::holding::{Column, Entity};
    let place = place().await;
    let resident = place.resident().await.id;
    let today = from_micros(to_micros(now()));
    let day = |days: i64| today + SignedDuration::from_hours(24 * days);
    let nothing = ExternalIds::default();
    let mut twins = vec![];
    for (from, to) in [(day(-20), day(-10)), (day(-10), day(10))] {
        let (vehicle, held) = (NewHolding::Vehicle(plate()), Held { from, to: Some(to) });
        let twin = place.holds(resident, vehicle, held, &nothing).await;
        twins.push(twin.expect("held"));
    }
    let (earlier, overlapping) = (twins[0].id, to_micros(day(5)));
    place
        .write(move |txn| {
            async move {
                Entity::update_many()
                    .col_expr(Column::HeldTo, Expr::value(overlapping))
                    .filter(Column::Id.eq(earlier))
                    .exec(txn)
                    .await?;
                Ok(())
            }
            .boxed()
        })
        .await;
    let until = |to| SpanChange {
        to: Some(Some(to)),
        ..SpanChange::default()
    };
    let longer = place
        .corrects(&twins[0], until(day(6)), IfMatch::default())
        .await;
    assert!(exists(&longer));
    for to in [day(5), day(1), day(-10)] {
        let cut = place
            .corrects(&twins[0], until(to), IfMatch::default())
            .await;
        assert_eq!(cut.expect("cut").held.to, Some(to));
    }
    let again = place
        .corrects(&twins[0], until(day(-9)), IfMatch::default())
        .await;
    assert!(exists(&again));
}

#[tokio::test]
async fn only_the_holding_that_was_read_is_corrected() {
    let place = place().await;
    let resident = place.resident().await.id;
    let hour = SignedDuration::from_hours(1);
    let held = Held {
        from: now() - hour,
        to: Some(now() + hour),
    };
    let vehicle = NewHolding::Vehicle(plate());
    let names = ExternalIds::new([("a".to_owned(), "1".to_owned())]).expect("ids");
    let holding = place.holds(resident, vehicle, held, &names).await;
    let holding = holding.expect("a holding");
    let read = IfMatch::of(holding.version.etag());
    let backwards = SpanChange {
        from: Some(now() + hour * 2),
        to: None,
    };
    let refused = place.corrects(&holding, backwards, read.clone()).await;
    assert!(matches!(
        refused,
        Err(Error::InvalidField {
            field: "held_to",
            ..
        })
    ));
    let open = SpanChange {
        to: Some(None),
        ..SpanChange::default()
    };
    let corrected = place.corrects(&holding, open, read.clone()).await;
    assert_eq!(corrected.expect("corrected").version, Version(2));
    let stale = place.corrects(&holding, open, read).await;
    assert!(matches!(stale, Err(Error::EtagMismatch)));

    let ended = place.store.end_holding(holding.id, now(), act()).await;
    let ended = ended.expect("ended");
    assert_eq!(ended.version, Version(3));
    let again = place
        .store
        .end_holding(holding.id, now() + hour, act())
        .await;
    assert_eq!(again.expect("as it was").held, ended.held);
    let of = ObjectId {
        object: Object::Holding,
        id: holding.id,
    };
    let named = place.store.external_ids_of(of).await;
    assert_eq!(named.expect("asked"), names);
}

#[tokio::test]
async fn what_ends_later_ends_now_when_it_is_ended() {
    let place = place().await;
    let site = place.site().await;
    let resident = place.resident_at(site).await.id;
    let hour = SignedDuration::from_hours(1);
    let held = Held {
        from: now() - hour,
        to: Some(now() + hour),
    };
    let vehicle = NewHolding::Vehicle(plate());
    let nothing = ExternalIds::default();
    let holding = place.holds(resident, vehicle, held, &nothing).await;
    let holding = holding.expect("a holding");
    let at = now();
    let later = at + hour / 2;
    assert_eq!(place.holder(&[site], later).await, Some(resident));
    let ended = place.store.end_holding(holding.id, at, act()).await;
    assert_eq!(
        ended.expect("ended").held.to.map(to_micros),
        Some(to_micros(at))
    );
    assert_eq!(place.holder(&[site], later).await, None);
}

#[tokio::test]
async fn a_vehicle_leads_to_its_longest_holder_of_these_sites() {
    let place = place().await;
    let (mut residents, mut sites, mut holdings) = (vec![], vec![], vec![]);
    for _ in 0..4 {
        let site = place.site().await;
        let resident = place.resident_at(site).await.id;
        holdings.push(place.hold(resident, NewHolding::Vehicle(plate())).await);
        sites.push(site);
        residents.push(resident);
    }
    let later = now() + SignedDuration::from_secs(1);
    assert_eq!(place.holder(&sites, later).await, Some(residents[0]));
    assert_eq!(place.holder(&sites[1..], later).await, Some(residents[1]));
    assert_eq!(place.holder(&[Uuid::new_v4()], later).await, None);
    // One who no longer holds it, one who is being erased, and a guest at whose end it goes.
    let ended = place.store.end_holding(holdings[0], now(), act()).await;
    ended.expect("ended");
    assert_eq!(place.holder(&sites, later).await, Some(residents[1]));
    let erasing = entity::resident::ActiveModel {
        id: Set(residents[1]),
        erasing: Set(true),
        ..Default::default()
    };
    let guest = entity::resident::ActiveModel {
        id: Set(residents[2]),
        guest_until: Set(Some(to_micros(later))),
        ..Default::default()
    };
    for changed in [erasing, guest] {
        entity::resident::Entity::update(changed)
            .exec(&place.db.read)
            .await
            .expect("changed");
    }
    let sooner = later - SignedDuration::from_millis(1);
    assert_eq!(place.holder(&sites, sooner).await, Some(residents[2]));
    assert_eq!(place.holder(&sites, later).await, Some(residents[3]));
}

#[tokio::test]
async fn vehicles_looked_for_together_lead_each_to_its_own_holder() {
    let place = place().await;
    let other = Plate::parse("B456CE77", "RU").expect("a plate");
    let unknown = Plate::parse("C789KM77", "RU").expect("a plate");
    let (mut sites, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let site = place.site().await;
        for plate in [plate(), other.clone()] {
            let resident = place.resident_at(site).await.id;
            place
                .hold(resident, NewHolding::Vehicle(plate.clone()))
                .await;
            asked.push((plate, vec![site], Some(resident)));
        }
        asked.push((unknown.clone(), vec![site], None));
        sites.push(site);
    }
    let longest = asked[1].2;
    asked.push((other, sites, longest));
    let (later, sooner) = (
        now() + SignedDuration::from_secs(1),
        now() - SignedDuration::from_hours(1),
    );
    let (store, asked) = (&place.store, &asked);
    let ask = |(plate, sites, holder): &(Plate, Vec<Uuid>, Option<Uuid>), at, there| {
        let (plate, sites) = (plate.clone(), sites.clone());
        let wanted = holder.filter(|_| there);
        async move {
            let found = store.vehicle_holder(&plate, &sites, at).await;
            let found = found.expect("asked");
            assert_eq!(found.as_ref().map(|holder| holder.resident.id), wanted);
            if let Some(holder) = found {
                let key = store.resident_key(holder.resident.id).await.expect("asked");
                assert!(key.expect("a key").0.expose() == holder.key.0.expose());
            }
        }
    };
    // Each counts from its own moment, whoever it goes with.
    let now_and_then = asked
        .iter()
        .flat_map(|one| [ask(one, later, true), ask(one, sooner, false)]);
    futures::future::join_all(now_and_then).await;
}

#[tokio::test]
async fn a_credential_leads_to_holders_at_the_sites_it_is_sought_for() {
    let place = place().await;
    let (partner, resident) = (place.partner().await, place.resident().await.id);
    let (here, there) = (Uuid::new_v4(), Uuid::new_v4());
    let key = key_of(partner, here);
    let holding = place.hold(resident, key).await;
    let sought = || Sought::credential(partner, CredentialKind::Key, "key-1");
    let (here, there, both) = ([here], [there], [there, here]);
    let found = place
        .store
        .credential_holdings(&[
            (sought(), here.as_slice()),
            (sought(), there.as_slice()),
            (sought(), both.as_slice()),
        ])
        .await;
    let found: Vec<Vec<Uuid>> = found
        .expect("asked")
        .into_iter()
        .map(|held| held.into_iter().map(|holding| holding.id).collect())
        .collect();
    assert_eq!(found, [vec![holding], vec![], vec![holding]]);
}
