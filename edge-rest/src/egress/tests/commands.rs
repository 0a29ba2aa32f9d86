//! What becomes of a command, by what its partner answers.

use super::*;

#[tokio::test]
async fn a_command_is_delivered_and_says_no_more_than_it_must() {
    let world = world(false, |_, _| Reply::Status(204)).await;
    assert_eq!(
        world.egress.send(&command(LATE)).await,
        sent(Outcome::Delivered, 204, 1)
    );
    let seen = world.partner.seen.lock().expect("a lock");
    let (headers, body) = &seen[0];
    assert_eq!(headers["authorization"], "Bearer t1");
    assert_eq!(
        headers["idempotency-key"],
        "0198b6d2-6f5c-7000-8000-000000000002"
    );
    assert_eq!(
        *body,
        serde_json::json!({
            "device_id": "door-1",
            "command_id": "0198b6d2-6f5c-7000-8000-000000000002",
            "opening_id": "0198b6d2-6f5c-7000-8000-000000000003",
            "issued_at": "2026-11-24T06:00:00Z",
            "expires_at": "2026-11-24T06:00:00Z",
        })
    );
}

#[tokio::test]
async fn minimal_mode_sends_the_device_id_alone_and_never_again() {
    let world = world(true, |_, _| Reply::Status(503)).await;
    assert_eq!(
        world.egress.send(&command(LATE)).await,
        sent(Outcome::Rejected, 503, 1)
    );
    let seen = world.partner.seen.lock().expect("a lock");
    assert!(!seen[0].0.contains_key("idempotency-key"));
    assert_eq!(seen[0].1, serde_json::json!({"device_id": "door-1"}));
}

#[tokio::test]
async fn one_401_is_tried_once_with_a_new_token() {
    let once = world(false, |_, headers| {
        Reply::Status(if headers["authorization"] == "Bearer t1" {
            401
        } else {
            200
        })
    })
    .await;
    assert_eq!(
        once.egress.send(&command(LATE)).await,
        sent(Outcome::Delivered, 200, 2)
    );
    let always = world(false, |_, _| Reply::Status(401)).await;
    assert_eq!(
        always.egress.send(&command(LATE)).await,
        sent(Outcome::Rejected, 401, 2)
    );
    assert_eq!(always.partner.tokens.load(SeqCst), 2);
}

#[tokio::test]
async fn with_a_key_503_is_tried_again_until_the_expiry() {
    let passing = world(false, |call, _| {
        Reply::Status(if call < 3 { 503 } else { 202 })
    })
    .await;
    assert_eq!(
        passing.egress.send(&command(LATE)).await,
        sent(Outcome::Delivered, 202, 3)
    );
    let lasting = world(false, |_, _| Reply::Status(429)).await;
    let result = lasting.egress.send(&command(SOON)).await;
    assert_eq!(
        (result.outcome, result.partner_status),
        (Outcome::Expired, 429)
    );
    assert!(result.tries > 1);
}

#[tokio::test]
async fn other_answers_are_final() {
    for (status, outcome) in [
        (200, Outcome::Delivered),
        (302, Outcome::Rejected),
        (400, Outcome::Rejected),
        (404, Outcome::Rejected),
        (409, Outcome::Rejected),
        (500, Outcome::Unknown),
        (502, Outcome::Unknown),
        (504, Outcome::Unknown),
    ] {
        let world = world(false, move |_, _| Reply::Status(status)).await;
        assert_eq!(
            world.egress.send(&command(LATE)).await,
            sent(outcome, status, 1)
        );
    }
}

#[tokio::test]
async fn a_gateway_that_hangs_leaves_an_unknown_outcome() {
    let world = world(false, |_, _| Reply::Hang).await;
    assert_eq!(
        world.egress.send(&command(SOON)).await,
        sent(Outcome::Unknown, 0, 1)
    );
    assert_eq!(world.partner.calls.load(SeqCst), 1);
}

#[tokio::test]
async fn a_partner_that_cannot_be_reached_lets_the_command_expire() {
    let world = world(false, |_, _| Reply::Status(200)).await;
    let port = closed_port();
    let registry = Arc::new(Registry {
        port,
        gateway_port: port,
        ca: world.registry.ca.clone(),
        minimal: false,
        reads: AtomicU32::new(0),
    });
    let egress = egress(registry);
    let sent = timeout(AT_ITS_EXPIRY, egress.send(&command(SOON))).await;
    assert_eq!(sent.expect("in time").outcome, Outcome::Expired);
    let expired = command(Duration::ZERO);
    assert_eq!(
        world.egress.send(&expired).await,
        Sent::none(Outcome::Expired)
    );
    assert_eq!(world.partner.calls.load(SeqCst), 0);
}

#[tokio::test]
async fn a_gateway_that_refuses_connections_is_tried_until_the_expiry() {
    let mut world = world(false, |_, _| Reply::Status(200)).await;
    let registry = Registry {
        port: world.registry.port,
        gateway_port: closed_port(),
        ca: world.registry.ca.clone(),
        minimal: true,
        reads: AtomicU32::new(0),
    };
    world.egress = egress(Arc::new(registry));
    let result = world.egress.send(&command(SOON)).await;
    assert_eq!(
        (result.outcome, result.partner_status),
        (Outcome::Expired, 0)
    );
    assert!(
        result.tries > 1,
        "a refused connection did nothing, in minimal mode too"
    );
    assert_eq!(world.partner.tokens.load(SeqCst), 1);
}

#[tokio::test]
async fn a_thousand_commands_share_one_token_and_one_reading_of_settings() {
    const A_WHILE: Duration = Duration::from_secs(60);
    let world = world(false, |_, _| Reply::Status(200)).await;
    let egress = &world.egress;
    let results = futures::future::join_all(
        (0..1_000).map(|_| async move { egress.send(&command(A_WHILE)).await }),
    )
    .await;
    assert!(
        results
            .iter()
            .all(|result| result.outcome == Outcome::Delivered)
    );
    assert_eq!(world.partner.tokens.load(SeqCst), 1);
    assert_eq!(world.registry.reads.load(SeqCst), 1);
    let mut newer = command(LATE);
    newer.settings_version = 2;
    world.egress.send(&newer).await;
    assert_eq!(world.registry.reads.load(SeqCst), 2);
}
