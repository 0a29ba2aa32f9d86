//! What bounds a command: its expiry, and the places at its partner.

use super::*;

const A_MINUTE: Duration = Duration::from_secs(60);

fn with_places(world: &World, places: u16) -> Egress {
    let config = EgressConfig {
        allow_private_addresses_for_development: true,
        concurrency_per_partner: places.try_into().expect("not zero"),
        ..EgressConfig::default()
    };
    Egress::new(config, world.registry.clone())
}

#[tokio::test]
async fn an_auth_server_that_hangs_lets_the_command_expire() {
    let world = world(false, |_, _| Reply::Status(200)).await;
    world.partner.auth_hangs.store(true, SeqCst);
    let sent = timeout(AT_ITS_EXPIRY, world.egress.send(&command(SOON))).await;
    assert_eq!(sent.expect("in time"), Sent::none(Outcome::Expired));
    assert_eq!(world.partner.calls.load(SeqCst), 0);
}

#[tokio::test]
async fn a_command_expires_while_it_waits_for_a_place() {
    let world = world(false, |_, _| Reply::Hang).await;
    let egress = with_places(&world, 1);
    let first = command(A_MINUTE);
    let second = async {
        while world.partner.calls.load(SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        egress.send(&command(SOON)).await
    };
    tokio::select! {
        early = egress.send(&first) => assert_eq!(early.tries, 0, "it hangs"),
        late = second => assert_eq!(late, Sent::none(Outcome::Expired)),
    }
    assert_eq!(world.partner.calls.load(SeqCst), 1);
}

#[tokio::test]
async fn commands_under_way_are_never_more_than_places() {
    let world = world(false, |_, _| Reply::Together).await;
    let egress = &with_places(&world, PLACES);
    let results = futures::future::join_all(
        (0..4 * PLACES).map(|_| async move { egress.send(&command(A_MINUTE)).await }),
    )
    .await;
    assert!(
        results
            .iter()
            .all(|result| result.outcome == Outcome::Delivered)
    );
    assert_eq!(world.partner.most_under_way.load(SeqCst), u32::from(PLACES));
}

#[tokio::test]
async fn commands_and_their_token_share_a_connection() {
    let world = world(false, |_, _| Reply::Status(200)).await;
    for _ in 0..20 {
        assert_eq!(
            world.egress.send(&command(LATE)).await.outcome,
            Outcome::Delivered
        );
    }
    assert_eq!(world.partner.connections.load(SeqCst), 1);
}
