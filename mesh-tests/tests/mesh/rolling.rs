//! Replicas restarted one after the other while calls go on.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use devmesh::{
    estate::{BARRIER, KEY, PLATE},
    operator::Operator,
};
use mesh_tests::{Fleet, Partner, REPLICATED};
use propdev_proto::access::ListEventsRequest;
use serde_json::json;

use crate::eventually;

const KEY_EVENTS: &str = "/v1/webhooks/intercom/key-openings";
const CALLERS: usize = 4;
/// Rounds of every caller before a replica ends, and after it is back.
const ROUNDS: usize = 5;

/// A token, an opening and an event, over and over on a connection of its own;
/// each must be answered well. Tells the events that were.
async fn call(
    caller: usize,
    partner: Partner,
    rounds: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
) -> Vec<String> {
    let mut events = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let token = partner.token().await;
        let opened = partner.open_by_plate(BARRIER, &token, PLATE).await;
        assert_eq!(opened.status, 200, "{opened:?}");
        let id = format!("{caller}-{}", events.len());
        let event = json!({"key_id": KEY, "opened_at": "2026-11-24T06:00:00Z", "event_id": id});
        let told = partner.post(KEY_EVENTS, &token, Some(&event)).await;
        assert_eq!(told.status, 202, "{told:?}");
        assert_eq!(told.body["accepted"], 1, "{told:?}");
        events.push(id);
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_call_and_loses_no_event() {
    let mut fleet = Fleet::start().await;
    let ended = Arc::new(AtomicBool::new(false));
    let rounds: Vec<Arc<AtomicUsize>> = (0..CALLERS).map(|_| Arc::default()).collect();
    let calls: Vec<_> = rounds
        .iter()
        .enumerate()
        .map(|(caller, rounds)| {
            let (rounds, ended) = (rounds.clone(), ended.clone());
            tokio::spawn(call(caller, fleet.partner(), rounds, ended))
        })
        .collect();
    // A caller that failed ends the wait, and is told of below.
    let all_go_on = async |what: &str| {
        let so_far: Vec<usize> = rounds.iter().map(|r| r.load(Ordering::Relaxed)).collect();
        eventually(what, async || {
            calls.iter().any(|call| call.is_finished())
                || rounds
                    .iter()
                    .zip(&so_far)
                    .all(|(rounds, before)| rounds.load(Ordering::Relaxed) >= before + ROUNDS)
        })
        .await;
    };
    for service in REPLICATED {
        for replica in 0..2 {
            // Whatever dialled it before is through once all have gone on.
            fleet.take_out(service, replica);
            all_go_on(service).await;
            fleet.restart(service, replica).await;
            all_go_on(service).await;
        }
    }
    ended.store(true, Ordering::Relaxed);
    let mut told = 0;
    for call in calls {
        told += call.await.expect("no failed call").len();
    }

    let commands = fleet.sim.commands().await.expect("commands");
    assert_eq!(commands.len(), told, "a command for each opening");
    let ids: BTreeSet<String> = commands
        .iter()
        .map(|c| c["command_id"].to_string())
        .collect();
    assert_eq!(ids.len(), told);
    let fine = |c: &serde_json::Value| c["late"] == false && c["duplicate"] == false;
    assert!(commands.iter().all(fine));
    assert_eq!(stored(&fleet).await, told, "each event once");
}

async fn stored(fleet: &Fleet) -> usize {
    let operator = Operator::connect(&fleet.layout, "operator").expect("an operator");
    let (mut stored, mut page_token) = (0, String::new());
    loop {
        let request = ListEventsRequest {
            page_token,
            ..ListEventsRequest::default()
        };
        let answer = operator.events().list_events(request).await;
        let answer = answer.expect("events").into_inner();
        stored += answer.events.len();
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            return stored;
        }
    }
}
