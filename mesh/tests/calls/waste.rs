//! Nothing is done for nobody: work ends with its caller, and a service that
//! is down is not asked ever more often.

use futures::future::join_all;

use super::*;

const CALLER: &str = "operator/operator/x";
const ASKED: usize = 500;

/// Ten a second over ten seconds, and a fifth of the calls; twice, should the
/// test take longer than that.
const RETRIES: usize = 2 * (10 * 10 + ASKED / 5);

#[tokio::test]
async fn work_ends_when_its_caller_has_gone() {
    let mesh = Running::start().await;
    let mut client = mesh.client(CALLER);
    let call = tokio::spawn(async move { client.create_site(site("sleep")).await });
    while mesh.calls() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    call.abort();
    // Its deadline would end it too, a second later.
    let ended = tokio::time::timeout(Duration::from_secs(4), mesh.service.ended.notified());
    assert!(ended.await.is_ok(), "it is still at work");
}

#[tokio::test]
async fn a_service_that_answers_unavailable_is_asked_little_more_than_it_was_meant_to_be() {
    let mesh = Running::start().await;
    let client = mesh.client(CALLER);
    for _ in 0..ASKED / 50 {
        let calls = (0..50).map(|_| {
            let mut client = client.clone();
            async move { client.set_lockdown(SetLockdownRequest::default()).await }
        });
        for answer in join_all(calls).await {
            assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
        }
    }
    // Without a budget it would be three times as many.
    let calls = mesh.calls();
    assert!((ASKED + 1..=ASKED + RETRIES).contains(&calls), "{calls}");
}

#[tokio::test]
async fn a_service_that_is_down_is_dialled_little_more_than_it_was_meant_to_be() {
    let mesh = Running::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let dialled = Arc::new(AtomicUsize::new(0));
    let count = dialled.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let client = mesh.client_at(address, mesh.authority.credentials(CALLER));
    for _ in 0..ASKED / 50 {
        let calls = (0..50).map(|_| {
            let mut client = client.clone();
            async move { client.create_site(site("x")).await }
        });
        for answer in join_all(calls).await {
            let refused = answer.unwrap_err();
            assert_eq!(refused.code(), Code::Unavailable);
            assert!(never_sent(&refused));
        }
    }
    let dialled = dialled.load(Ordering::SeqCst);
    assert!((1..=ASKED + RETRIES).contains(&dialled), "{dialled}");
    assert_eq!(mesh.calls(), 0);
}
