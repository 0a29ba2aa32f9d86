//! What keeps commands from where they must not go.

use super::*;

#[tokio::test]
async fn private_addresses_are_not_dialled_unless_configured() {
    let world = world(false, |_, _| Reply::Status(200)).await;
    let guarded = Egress::new(EgressConfig::default(), world.registry.clone());
    assert_eq!(guarded.send(&command(SOON)).await.outcome, Outcome::Expired);
    assert_eq!(world.partner.tokens.load(SeqCst), 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let world = world(false, |_, _| Reply::Redirect).await;
    assert_eq!(
        world.egress.send(&command(LATE)).await,
        sent(Outcome::Rejected, 307, 1)
    );
    assert_eq!(world.partner.calls.load(SeqCst), 1);
}

#[tokio::test]
async fn a_partner_with_a_ca_of_its_own_is_known_by_no_other() {
    let world = world(false, |_, _| Reply::Status(200)).await;
    let stranger = super::world(false, |_, _| Reply::Status(200)).await;
    // Another's, and the system's.
    for ca in [stranger.registry.ca.clone(), String::new()] {
        let registry = Registry {
            port: world.registry.port,
            gateway_port: world.registry.port,
            ca,
            minimal: false,
            reads: AtomicU32::new(0),
        };
        let sent = egress(Arc::new(registry)).send(&command(SOON)).await;
        assert_eq!((sent.outcome, sent.tries), (Outcome::Expired, 0));
    }
    assert_eq!(world.partner.tokens.load(SeqCst), 0);
    assert_eq!(
        world.egress.send(&command(LATE)).await.outcome,
        Outcome::Delivered
    );
}

#[tokio::test]
async fn a_gateway_that_hangs_is_left_in_peace_until_it_answers() {
    let hangs = Arc::new(AtomicBool::new(false));
    let world = world(false, {
        let hangs = hangs.clone();
        move |_, _| {
            if hangs.load(SeqCst) {
                Reply::Hang
            } else {
                Reply::Status(200)
            }
        }
    })
    .await;
    let delivered = async || world.egress.send(&command(LATE)).await.outcome == Outcome::Delivered;
    assert!(delivered().await);
    hangs.store(true, SeqCst);
    for command_number in 1.. {
        let sent = world.egress.send(&command(BRIEF)).await;
        // For as long as it might have been sent, the breaker was open.
        if sent.tries == 0 && world.partner.calls.load(SeqCst) > FAILURES {
            assert_eq!(sent.outcome, Outcome::Expired);
            break;
        }
        assert_ne!(sent.outcome, Outcome::Delivered);
        assert!(command_number < 100, "every one of them was sent");
    }
    hangs.store(false, SeqCst);
    assert!(delivered().await);
}

/// Well below the breaker's pause.
const BRIEF: Duration = Duration::from_millis(100);
/// In a row, after which it opens.
const FAILURES: u32 = 5;
