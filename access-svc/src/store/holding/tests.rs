use super::*;
use crate::store::testing::{Place, act, key_of, now, place, plate};

async fn found(place: &Place, sites: &[Uuid]) -> Option<Uuid> {
    let later = now() + jiff::SignedDuration::from_secs(1);
    let holder = place.store.vehicle_holder(&plate(), sites, later).await;
    holder.expect("asked").map(|resident| resident.id)
}

#[tokio::test]
async fn a_vehicle_leads_to_its_longest_holder_of_these_sites() {
    let place = place().await;
    let (mut residents, mut sites, mut holdings) = (vec![], vec![], vec![]);
    for _ in 0..3 {
        let resident = place.resident().await.id;
        holdings.push(place.hold(resident, NewHolding::Vehicle(plate())).await);
        sites.extend(place.store.resident_sites(resident).await.expect("sites"));
        residents.push(resident);
    }
    assert_eq!(found(&place, &sites).await, Some(residents[0]));
    assert_eq!(found(&place, &sites[1..]).await, Some(residents[1]));
    assert_eq!(found(&place, &[Uuid::new_v4()]).await, None);
    // One who no longer holds it, and one who is being erased.
    let ended = place.store.end_holding(holdings[0], now(), act()).await;
    ended.expect("ended");
    assert_eq!(found(&place, &sites).await, Some(residents[1]));
    let erasing = entity::resident::ActiveModel {
        id: Set(residents[1]),
        erasing: Set(true),
        ..Default::default()
    };
    entity::resident::Entity::update(erasing)
        .exec(&place.db.read)
        .await
        .expect("erasing");
    assert_eq!(found(&place, &sites).await, Some(residents[2]));
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
