use jiff::SignedDuration;
use sea_orm::PaginatorTrait;

use super::*;
use crate::{
    domain::{
        erasure::{Order, Reason},
        etag::{IfMatch, Version},
    },
    store::testing::{Place, act, now, place, plate, stranger},
};

const AN_HOUR: SignedDuration = SignedDuration::from_hours(1);

impl Place {
    async fn group(&self, site: Uuid) -> Uuid {
        let id = Uuid::now_v7();
        self.write(move |txn| {
            async move {
                entity::device_group::Entity::insert(entity::device_group::ActiveModel {
                    id: Set(id),
                    site_id: Set(site),
                    name: Set("g".into()),
                    version: Set(1),
                    created_at: Set(0),
                })
                .exec_without_returning(txn)
                .await?;
                Ok(())
            }
            .boxed()
        })
        .await;
        id
    }

    async fn invite(
        &self,
        household: Uuid,
        group: Uuid,
        ends_at: Timestamp,
    ) -> Result<Resident, Error> {
        let resident = Resident {
            host: Some(household),
            guest_until: Some(ends_at),
            ..stranger()
        };
        let new = NewGuest {
            resident: resident.clone(),
            household,
            ends_at,
            name: Zeroizing::new("Gleb Example".into()),
            vehicle: Some((plate(), act())),
            rights: vec![GuestRight {
                grant: Uuid::now_v7(),
                target: Target::Group(group),
                telling: act(),
            }],
            windows: vec![],
        };
        self.store.insert_guest(new, now(), act()).await?;
        Ok(resident)
    }

    /// The ends of grants and holdings.
    async fn ends(&self, guest: &Resident) -> (Vec<Option<i64>>, Vec<Option<i64>>) {
        use entity::{grant, holding};
        let grants = grant::Entity::find().filter(grant::Column::ResidentId.eq(guest.id));
        let grants = grants.all(&self.db.read).await.expect("grants");
        let holdings = holding::Entity::find().filter(holding::Column::ResidentId.eq(guest.id));
        let holdings = holdings.all(&self.db.read).await.expect("holdings");
        (
            grants.into_iter().map(|row| row.ends_at).collect(),
            holdings.into_iter().map(|row| row.held_to).collect(),
        )
    }

    async fn begin_end(&self, guest: &Resident, at: Timestamp) -> bool {
        let order = Order {
            reason: Reason::RetentionEnded,
            requested_by: "svc/access-svc".into(),
        };
        let begun = self.store.begin_guests_erasure(guest.id, order, at).await;
        begun.expect("asked").is_some()
    }
}

#[tokio::test]
async fn a_guest_comes_whole_or_not_at_all() {
    let place = place().await;
    let (home, other) = (place.site().await, place.site().await);
    let household = place.household(home).await;
    let end = now() + AN_HOUR;
    let foreign = place.group(other).await;
    let refused = place.invite(household, foreign, end).await;
    assert!(matches!(
        refused,
        Err(Error::InvalidField {
            field: "targets",
            ..
        })
    ));
    let refused = place.invite(household, Uuid::now_v7(), end).await;
    assert!(matches!(refused, Err(Error::NotFound(Noun::DeviceGroup))));
    let people = entity::resident::Entity::find().count(&place.db.read).await;
    assert_eq!(people.expect("a count"), 0);

    let group = place.group(home).await;
    let guest = place.invite(household, group, end).await.expect("a guest");
    let told = place.store.guest(guest.id, now(), true).await;
    let told = told.expect("asked").expect("a guest");
    assert_eq!(told.name.expect("a name").as_str(), "Gleb Example");
    assert_eq!(told.resident.host, Some(household));
    let end = Some(to_micros(end));
    assert_eq!(place.ends(&guest).await, (vec![end], vec![end]));
    assert_eq!(place.holder(&[home], now()).await, Some(guest.id));
    let sites = place.store.galleries(guest.id).await.expect("asked");
    assert_eq!(sites.expect("some").sites, [home]);
    let vehicle = entity::holding::Entity::find().one(&place.db.read).await;
    let vehicle = vehicle.expect("asked").expect("a vehicle").id.to_string();
    let queue = place.store.queued_entries(100).await.expect("entries");
    let named = |payload: &[u8]| String::from_utf8_lossy(payload).contains(&vehicle);
    let told = queue.entries.iter().filter(|(_, payload)| named(payload));
    assert_eq!(told.count(), 1, "the audit log names the vehicle");
}

#[tokio::test]
async fn an_end_moves_with_what_ends_with_it() {
    let place = place().await;
    let home = place.site().await;
    let household = place.household(home).await;
    let group = place.group(home).await;
    let (end, later) = (now() + AN_HOUR, now() + AN_HOUR * 5);
    let guest = place.invite(household, group, end).await.expect("a guest");
    let extend = |etag: &str, at| {
        let if_match = IfMatch::of(etag.to_owned());
        place
            .store
            .extend_guest(guest.id, if_match, later, at, act())
    };
    let other = extend("\"9\"", now()).await;
    assert!(matches!(other, Err(Error::EtagMismatch)));
    // Too late.
    let gone = extend("", end).await;
    assert!(matches!(gone, Err(Error::NotFound(Noun::Guest))));
    extend(&Version::FIRST.etag(), now())
        .await
        .expect("extended");
    let moved = Some(to_micros(later));
    assert_eq!(place.ends(&guest).await, (vec![moved], vec![moved]));
    // The first end has no meaning any more.
    assert!(!place.begin_end(&guest, end).await);
    let ended = place.store.ended_guests(end, 10).await.expect("asked");
    assert_eq!(ended, Vec::<Uuid>::new());
}

#[tokio::test]
async fn at_the_end_all_rights_are_over_and_the_erasure_begins_once() {
    let place = place().await;
    let home = place.site().await;
    let household = place.household(home).await;
    let group = place.group(home).await;
    let end = now() + AN_HOUR;
    let guest = place.invite(household, group, end).await.expect("a guest");
    let kept = place.invite(household, group, end).await.expect("a guest");
    let at = now();
    assert_eq!(place.holder(&[home], at).await, Some(guest.id));
    let end_it = || place.store.end_guest(guest.id, at, act());
    assert!(end_it().await.expect("ended"));
    assert!(!end_it().await.expect("ended"));
    let ended = Some(to_micros(at));
    assert_eq!(place.ends(&guest).await, (vec![ended], vec![ended]));
    assert_eq!(place.holder(&[home], at).await, Some(kept.id));
    assert!(
        place
            .store
            .guest(guest.id, at, false)
            .await
            .expect("asked")
            .is_none()
    );
    assert_eq!(
        place.store.ended_guests(at, 10).await.expect("asked"),
        [guest.id]
    );

    assert!(place.begin_end(&guest, at).await);
    // Given back as it is, whoever comes next.
    assert!(place.begin_end(&guest, at).await);
    assert_eq!(
        place.store.ended_guests(at, 10).await.expect("asked"),
        Vec::<Uuid>::new()
    );
    assert_eq!(
        place.store.unfinished_erasures().await.expect("asked"),
        [guest.id]
    );
    assert_eq!(
        place.store.ended_guests(end, 10).await.expect("asked"),
        [kept.id]
    );
}
