use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::store::{
    Resident,
    testing::{Place, act, now, place},
};

const DOOR: DeviceKind = DeviceKind::Door;

fn payment(paid_until: Timestamp, as_of: Timestamp) -> Payment {
    Payment {
        paid: Subscription {
            paid_until,
            grace_days: 0,
            suspended: false,
        },
        as_of,
    }
}

fn told(household: Uuid, site: Option<Uuid>, payment: Payment) -> NewPayment {
    NewPayment {
        household,
        site,
        kind: DOOR,
        payment,
        rule: Rule::NotNewer,
        telling: act(),
    }
}

impl Place {
    async fn put(&self, told: Vec<NewPayment>) -> Vec<Put> {
        self.store.put_payments(told).await.expect("written")
    }

    async fn outcome(&self, told: NewPayment) -> Outcome {
        let put = self.put(vec![told]).await.remove(0);
        put.expect("taken").1
    }

    async fn entries(&self) -> usize {
        let rows = entity::audit_entry::Entity::find().all(&self.db.read).await;
        rows.expect("entries").len()
    }

    async fn only(&self) -> StoredSubscription {
        let listed = self.store.list_subscriptions(None, None, 10).await;
        let mut listed = listed.expect("listed");
        assert_eq!(listed.len(), 1);
        listed.remove(0)
    }
}

#[tokio::test]
async fn an_older_state_changes_nothing_and_a_repeated_one_is_told_once() {
    let place = place().await;
    let home = place.home(Uuid::new_v4(), &[]).await;
    let hour = SignedDuration::from_hours(1);
    let (until, as_of) = (now() + hour, now());
    let put = |paid_until, as_of| told(home, None, payment(paid_until, as_of));
    let before = place.entries().await;
    assert_eq!(place.outcome(put(until, as_of)).await, Outcome::Applied);
    assert_eq!(place.outcome(put(until, as_of)).await, Outcome::Repeated);
    let older = put(until + hour, as_of - hour);
    assert_eq!(place.outcome(older).await, Outcome::Outdated);
    assert_eq!(place.entries().await, before + 1);
    let state = place.only().await;
    assert_eq!(state.version, Version::FIRST);
    assert_eq!(
        to_micros(state.payment.paid.paid_until),
        to_micros(until),
        "as it was"
    );
    let newer = put(until + hour, as_of + hour);
    assert_eq!(place.outcome(newer).await, Outcome::Applied);
    assert_eq!(place.only().await.version, Version(2));
    assert_eq!(place.entries().await, before + 2);
}

#[tokio::test]
async fn of_many_states_each_stands_alone_and_in_its_order() {
    let place = place().await;
    let site = Uuid::new_v4();
    let home = place.home(site, &[]).await;
    let absent = Uuid::new_v4();
    let hour = SignedDuration::from_hours(1);
    let (until, as_of) = (now() + hour, now());
    let put = place
        .put(vec![
            told(home, None, payment(until, as_of)),
            told(absent, None, payment(until, as_of)),
            told(home, Some(absent), payment(until, as_of)),
            told(home, None, payment(until + hour, as_of + hour)),
            told(home, None, payment(until, as_of)),
        ])
        .await;
    let outcomes: Vec<Result<Outcome, Noun>> = put
        .into_iter()
        .map(|result| match result {
            Ok((_, outcome)) => Ok(outcome),
            Err(Error::NotFound(noun)) => Err(noun),
            Err(error) => panic!("{error}"),
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            Ok(Outcome::Applied),
            Err(Noun::Household),
            Err(Noun::Site),
            Ok(Outcome::Applied),
            Ok(Outcome::Outdated),
        ]
    );
    let state = place.only().await;
    assert_eq!((state.site, state.version), (site, Version(2)));
    let stored = to_micros(state.payment.as_of);
    assert_eq!(stored, to_micros(as_of + hour));
}

#[tokio::test]
async fn an_operators_word_counts_over_the_state_that_was_read() {
    let place = place().await;
    let home = place.home(Uuid::new_v4(), &[]).await;
    let hour = SignedDuration::from_hours(1);
    let until = now() + hour;
    place
        .put(vec![told(home, None, payment(until, now()))])
        .await;
    let read = place.only().await.version.etag();
    let order = |etag: &str| NewPayment {
        rule: Rule::Any(IfMatch::of(etag.to_owned())),
        ..told(home, None, payment(until, now() - hour))
    };
    assert_eq!(place.outcome(order(&read)).await, Outcome::Applied);
    let refused = place.put(vec![order(&read)]).await.remove(0);
    assert!(matches!(refused, Err(Error::EtagMismatch)));
    let other = place.home(Uuid::new_v4(), &[]).await;
    let absent = NewPayment {
        household: other,
        ..order(&read)
    };
    let refused = place.put(vec![absent]).await.remove(0);
    assert!(matches!(refused, Err(Error::EtagMismatch)));
}

#[tokio::test]
async fn a_resident_is_paid_for_by_every_household_and_a_guest_by_the_host() {
    let place = place().await;
    let (site, elsewhere) = (Uuid::new_v4(), Uuid::new_v4());
    let (resident, guest) = (place.resident().await, place.resident().await);
    let first = place.home(site, &[resident.id]).await;
    let second = place.home(site, &[resident.id]).await;
    let foreign = place.home(elsewhere, &[resident.id]).await;
    let paid = payment(now(), now());
    let all = [first, second, foreign];
    place
        .put(all.map(|home| told(home, None, paid)).into())
        .await;
    let guest = Resident {
        host: Some(first),
        ..guest
    };
    let count = async |resident: &Resident, kind| {
        let found = subscriptions_of(&place.db, &[(resident, site, kind)]).await;
        found.expect("asked")[0].len()
    };
    assert_eq!(count(&resident, DOOR).await, 2);
    assert_eq!(count(&guest, DOOR).await, 1);
    assert_eq!(count(&resident, DeviceKind::Barrier).await, 0);
}

#[tokio::test]
async fn pages_cut_through_a_household() {
    let place = place().await;
    let mut expected = Vec::new();
    for _ in 0..3 {
        let home = place.home(Uuid::new_v4(), &[]).await;
        for kind in [DOOR, DeviceKind::Barrier] {
            let new = told(home, None, payment(now(), now()));
            let put = place.put(vec![NewPayment { kind, ..new }]).await;
            let (state, _) = put.into_iter().next().expect("one").expect("taken");
            expected.push(state.key());
        }
    }
    expected.sort();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = place.store.list_subscriptions(None, after, 1).await;
        let Some(state) = page.expect("a page").pop() else {
            break;
        };
        after = Some(state.key());
        listed.push(state.key());
    }
    assert_eq!(listed, expected);
    let of_one = place
        .store
        .list_subscriptions(Some(expected[0].0), None, 10)
        .await;
    assert_eq!(of_one.expect("listed").len(), 2);
}
