//! What the developer's billing tells, one by one and as a stream, over a certificate of its own.

use std::fs;

use devmesh::estate::{BARRIER, DOOR, PLATE};
use mesh_tests::{Mesh, on_both_databases};
use propctl::dev::{self, Names, Validity};
use propdev_proto::access::{
    CreateHouseholdRequest, DeviceKind, ExternalId, Household, ListSubscriptionsRequest,
    PaymentOutcome, PaymentState, PushPaymentRequest, SetSubscriptionRequest,
    StreamPaymentsRequest, StreamPaymentsResponse, Subscription,
    household_service_client::HouseholdServiceClient, payment_service_client::PaymentServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status, Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{audit_log::entries, clients::operator, eventually};

on_both_databases!(
    what_billing_pushes_opens_and_closes,
    a_stream_is_answered_in_order_and_each_state_for_itself,
    a_stream_that_broke_off_is_taken_up_again,
);

const BILLING: &str = "system/billing/billing-1c";

/// A channel under any identity of the mesh's own CA; unlike the mesh's it sends as it goes.
pub(crate) async fn channel_as(mesh: &Mesh, identity: &str) -> Channel {
    let layout = &mesh.layout;
    let name = uuid::Uuid::new_v4().simple().to_string();
    let folder = layout.root.join("callers").join(name);
    let day = Validity::days_from_now(1);
    dev::issue_mesh(&layout.pki(), identity, &Names::default(), day, &folder)
        .expect("a certificate");
    let files = layout.tls(&folder);
    let read = |path| fs::read(path).expect("a file");
    let identity = Identity::from_pem(read(files.certificate), read(files.private_key));
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(layout.ca())))
        .identity(identity)
        .domain_name("localhost")
        .assume_http2(true);
    let address = layout.addresses.grpc("access-svc");
    Endpoint::from_shared(format!("https://{address}"))
        .expect("an endpoint")
        .tls_config(tls)
        .expect("a configuration")
        .connect()
        .await
        .expect("a connection")
}

async fn billing(mesh: &Mesh) -> PaymentServiceClient<Channel> {
    PaymentServiceClient::new(channel_as(mesh, BILLING).await)
}

fn seconds(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

/// In 2100.
const PAID: i64 = 4_102_444_800;
/// In 2020.
const UNPAID: i64 = 1_577_836_800;

fn state(household: &str, paid_until: i64, as_of: i64) -> PaymentState {
    PaymentState {
        household_id: household.into(),
        kind: DeviceKind::Barrier.into(),
        paid_until: seconds(paid_until),
        as_of: seconds(as_of),
        ..PaymentState::default()
    }
}

/// After whatever the estate was seeded with.
async fn from_now_on(mesh: &Mesh) -> i64 {
    let latest = subscriptions(mesh, "").await;
    let as_of = latest.iter().filter_map(|state| state.as_of.as_ref());
    as_of.map(|time| time.seconds).max().expect("seeded") + 1
}

async fn subscriptions(mesh: &Mesh, household: &str) -> Vec<Subscription> {
    let request = ListSubscriptionsRequest {
        page_size: 1_000,
        household_id: household.into(),
        ..ListSubscriptionsRequest::default()
    };
    let mut client = operator(mesh).subscriptions();
    let listed = client.list_subscriptions(request).await;
    listed.expect("listed").into_inner().subscriptions
}

fn refusal(status: &Status) -> (Code, String) {
    let reason = mesh::error::reason(status).map(|(reason, _)| reason);
    (status.code(), reason.unwrap_or_default())
}

/// By billing, as the audit log has them.
async fn payments_told(mesh: &Mesh) -> usize {
    let mut told = entries(mesh, |request| request.code = "payment_set".into()).await;
    told.retain(|entry| entry["actor"] == BILLING);
    told.len()
}

async fn what_billing_pushes_opens_and_closes(mesh: Mesh) {
    let (partner, mut billing) = (mesh.partner(), billing(&mesh).await);
    let token = partner.token().await;
    let opens = async || {
        let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
        (answer.status, answer.text("code"))
    };
    let (granted, refused) = ((200, String::new()), (403, "service_unpaid".to_owned()));
    let household = mesh.estate.resident.household_id.clone();
    let now = from_now_on(&mesh).await;
    let mut push = async |state: PaymentState| {
        let request = PushPaymentRequest { state: Some(state) };
        let reply = billing.push_payment(request).await?;
        Ok::<_, Status>(reply.into_inner().outcome())
    };
    assert_eq!(opens().await, granted);
    let unpaid = state(&household, UNPAID, now);
    let applied = push(unpaid.clone()).await.expect("pushed");
    assert_eq!(applied, PaymentOutcome::Applied);
    assert_eq!(opens().await, refused);
    let late = push(state(&household, PAID, now - 1)).await;
    assert_eq!(late.expect("pushed"), PaymentOutcome::Outdated);
    assert_eq!(opens().await, refused);
    let again = push(unpaid).await.expect("pushed");
    assert_eq!(again, PaymentOutcome::Applied, "a repeat");

    // Of a time to come it would make every later one an older one.
    let ahead = push(state(&household, PAID, now + 2 * 86_400)).await;
    let ahead = ahead.expect_err("refused");
    assert_eq!(
        refusal(&ahead),
        (Code::InvalidArgument, "INVALID_FIELD".into())
    );

    let paid = state(&household, PAID, now + 1);
    push(paid.clone()).await.expect("pushed");
    assert_eq!(opens().await, granted);
    let suspended = PaymentState {
        suspended: true,
        as_of: seconds(now + 2),
        ..paid.clone()
    };
    push(suspended).await.expect("pushed");
    assert_eq!(opens().await, refused);
    let door = partner
        .open_by_face(DOOR, &token, &mesh.estate.resident.probe())
        .await;
    assert_eq!(door.status, 200, "barriers are paid for apart: {door:?}");

    let absent = uuid::Uuid::now_v7().to_string();
    let unnamed = PaymentState {
        household_id: String::new(),
        ..paid.clone()
    };
    let unknown = PaymentState {
        household_external_id: Some(ExternalId {
            system: "billing-1c".into(),
            id: "nobody".into(),
        }),
        ..unnamed.clone()
    };
    let elsewhere = PaymentState {
        site_id: absent.clone(),
        ..paid.clone()
    };
    let graceful = PaymentState {
        grace_days: 366,
        ..paid.clone()
    };
    for (wrong, code, reason) in [
        (
            state(&absent, PAID, now),
            Code::NotFound,
            "HOUSEHOLD_NOT_FOUND",
        ),
        (unknown, Code::NotFound, "HOUSEHOLD_NOT_FOUND"),
        (elsewhere, Code::NotFound, "SITE_NOT_FOUND"),
        (unnamed, Code::InvalidArgument, "INVALID_FIELD"),
        (graceful, Code::InvalidArgument, "INVALID_FIELD"),
    ] {
        let status = push(wrong).await.expect_err("refused");
        assert_eq!(refusal(&status), (code, reason.to_owned()));
    }

    // An operator's word counts, of whatever moment, if it is of the state that was read.
    let current = subscriptions(&mesh, &household).await;
    let mut current = current
        .into_iter()
        .find(|state| state.kind() == DeviceKind::Barrier)
        .expect("the barrier's");
    assert!(current.suspended);
    current.suspended = false;
    let set = async |subscription: &Subscription| {
        let request = SetSubscriptionRequest {
            subscription: Some(subscription.clone()),
        };
        let operator = operator(&mesh);
        operator.subscriptions().set_subscription(request).await
    };
    set(&current).await.expect("set");
    assert_eq!(opens().await, granted);
    let stale = set(&current).await.expect_err("a stale etag");
    assert_eq!(refusal(&stale), (Code::Aborted, "ETAG_MISMATCH".into()));
}

async fn households(mesh: &Mesh, count: usize) -> Vec<String> {
    let channel = channel_as(mesh, "system/registry/erp").await;
    let mut registry = HouseholdServiceClient::new(channel);
    let mut ids = Vec::new();
    for number in 0..count {
        let request = CreateHouseholdRequest {
            household: Some(Household {
                site_id: mesh.estate.site_id.clone(),
                unit: number.to_string(),
                external_ids: [("erp".to_owned(), format!("flat-{number}"))].into(),
                ..Household::default()
            }),
        };
        let created = registry.create_household(request).await;
        let household = created.expect("created").into_inner().household;
        ids.push(household.expect("one").household_id);
    }
    ids
}

/// A stream under way.
struct Paying {
    states: mpsc::Sender<StreamPaymentsRequest>,
    answers: Streaming<StreamPaymentsResponse>,
}

impl Paying {
    async fn begin(mesh: &Mesh) -> Self {
        let (states, told) = mpsc::channel(64);
        let mut billing = billing(mesh).await;
        // Answered before anything is told.
        let answers = billing.stream_payments(ReceiverStream::new(told)).await;
        let answers = answers.expect("a stream").into_inner();
        Self { states, answers }
    }

    async fn answer(&mut self) -> StreamPaymentsResponse {
        let answer = self.answers.message().await.expect("an answer");
        answer.expect("no end")
    }
}

async fn a_stream_is_answered_in_order_and_each_state_for_itself(mesh: Mesh) {
    const STATES: u64 = 1_000;
    let homes = households(&mesh, 8).await;
    let now = from_now_on(&mesh).await;
    let mut paying = Paying::begin(&mesh).await;
    // One alone is answered while the stream is open.
    let first = StreamPaymentsRequest {
        sequence: 7,
        state: Some(state(&homes[0], UNPAID, now)),
    };
    paying.states.send(first).await.expect("told");
    let answer = paying.answer().await;
    assert_eq!(answer.sequence, 7);
    assert_eq!(answer.outcome(), PaymentOutcome::Applied);

    let expected = |number: u64| match number % 10 {
        3 => (PaymentOutcome::Refused, "HOUSEHOLD_NOT_FOUND"),
        5 => (PaymentOutcome::Refused, "INVALID_FIELD"),
        7 => (PaymentOutcome::Outdated, ""),
        _ => (PaymentOutcome::Applied, ""),
    };
    let states = paying.states.clone();
    let names = homes.clone();
    let telling = tokio::spawn(async move {
        for number in 0..STATES {
            let at = now + 1 + i64::try_from(number).expect("small");
            let home = &names[usize::try_from(number / 10).expect("small") % names.len()];
            let state = match number % 10 {
                3 => Some(state(&uuid::Uuid::now_v7().to_string(), PAID, at)),
                5 => None,
                7 => Some(state(home, UNPAID, now - 1)),
                8 => Some(PaymentState {
                    household_id: String::new(),
                    household_external_id: Some(ExternalId {
                        system: "erp".into(),
                        id: format!("flat-{}", number / 10 % 8),
                    }),
                    ..state(home, PAID, at)
                }),
                _ => Some(state(home, PAID + at - now, at)),
            };
            let sequence = number;
            let request = StreamPaymentsRequest { sequence, state };
            states.send(request).await.expect("told");
        }
    });
    for number in 0..STATES {
        let answer = paying.answer().await;
        assert_eq!(answer.sequence, number);
        let fault = answer.fault.clone().unwrap_or_default();
        let told = (answer.outcome(), fault.reason.as_str());
        assert_eq!(told, expected(number), "{number}");
    }
    telling.await.expect("all told");
    let Paying {
        states,
        mut answers,
    } = paying;
    drop(states);
    assert!(answers.message().await.expect("an orderly end").is_none());

    // Each household's last state is the one that was told last.
    for (index, home) in homes.iter().enumerate() {
        let kept = subscriptions(&mesh, home).await;
        assert_eq!(kept.len(), 1);
        let last = (0..STATES)
            .filter(|number| usize::try_from(number / 10).expect("small") % 8 == index)
            .rfind(|number| expected(*number).0 == PaymentOutcome::Applied)
            .expect("one");
        let at = now + 1 + i64::try_from(last).expect("small");
        assert_eq!(kept[0].as_of, seconds(at));
    }
    let applied = (0..STATES).filter(|n| expected(*n).0 == PaymentOutcome::Applied);
    let told = applied.count() + 1;
    eventually("each state that counts is told once", async || {
        payments_told(&mesh).await == told
    })
    .await;
}

async fn a_stream_that_broke_off_is_taken_up_again(mesh: Mesh) {
    let homes = households(&mesh, 2).await;
    let now = from_now_on(&mesh).await;
    let request = |sequence: u64| {
        let at = now + i64::try_from(sequence).expect("small");
        let home = &homes[usize::try_from(sequence % 2).expect("small")];
        StreamPaymentsRequest {
            sequence,
            state: Some(state(home, PAID, at)),
        }
    };
    let mut paying = Paying::begin(&mesh).await;
    for sequence in 0..50 {
        paying.states.send(request(sequence)).await.expect("told");
    }
    let mut answered = 0;
    while answered < 10 {
        assert_eq!(paying.answer().await.sequence, answered);
        answered += 1;
    }
    // Whatever of the rest was stored, nobody was told.
    drop(paying);
    let mut paying = Paying::begin(&mesh).await;
    for sequence in answered..100 {
        let request = request(sequence);
        let states = paying.states.clone();
        let send = tokio::spawn(async move { states.send(request).await });
        let answer = paying.answer().await;
        send.await.expect("sent").expect("told");
        assert_eq!(answer.sequence, sequence);
        assert_ne!(answer.outcome(), PaymentOutcome::Refused);
    }
    for (home, last) in homes.iter().zip([98, 99]) {
        let kept = subscriptions(&mesh, home).await;
        assert_eq!(kept[0].as_of, seconds(now + last));
    }

    // Nobody but billing pushes.
    let channel = channel_as(&mesh, "operator/operator/olga").await;
    let mut olga = PaymentServiceClient::new(channel);
    let request = PushPaymentRequest {
        state: Some(state(&homes[0], PAID, now)),
    };
    let refused = olga.push_payment(request).await.expect_err("refused");
    assert_eq!(refused.code(), Code::PermissionDenied);
}
