//! Asks each service all that the doctor wants to know of it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};
use mesh::{Clock, SystemClock};
use propdev_proto::{
    access::{ListErasuresRequest, erasure_service_client::ErasureServiceClient},
    biometric::{GetStatusRequest, biometric_service_client::BiometricServiceClient},
    mesh::{
        Backup, DiagnoseRequest, DiagnoseResponse, GetKeyStatusRequest, GetKeyStatusResponse,
        ListBackupsRequest, custody_service_client::CustodyServiceClient,
        diagnosis_service_client::DiagnosisServiceClient,
    },
};
use tonic::{Code, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};

use crate::{
    certificate::{self, Lifetime},
    commands::erasure::ReceiptKeys,
    connection::{ACCESS, BIOMETRIC, EDGE, Line, Session},
    error::{Failure, describe},
};

/// Erasures whose receipts are looked at: the newest, which know the greatest
/// numbers.
const ERASURES: u32 = 100;

/// An answer to one question.
#[derive(Debug)]
pub(super) enum Told<T> {
    Yes(T),
    /// Not asked, or asked of a service that does not answer such a question.
    Silent,
    Refused(String),
}

impl<T> Told<T> {
    fn of(reply: Result<Response<T>, Status>) -> Self {
        match reply {
            Ok(reply) => Self::Yes(reply.into_inner()),
            Err(status) if status.code() == Code::Unimplemented => Self::Silent,
            Err(status) => Self::Refused(describe(&status)),
        }
    }

    fn map<U>(self, change: impl FnOnce(T) -> U) -> Told<U> {
        match self {
            Self::Yes(told) => Told::Yes(change(told)),
            Self::Silent => Told::Silent,
            Self::Refused(why) => Told::Refused(why),
        }
    }
}

/// How far a clock is ahead of this machine's; somewhere in between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    pub(super) least: SignedDuration,
    pub(super) most: SignedDuration,
}

impl Ahead {
    /// Of an answer that was dated while it was waited for. A date has whole
    /// seconds, the rest of the last one may have passed.
    fn of(date: Timestamp, sent: Timestamp, received: Timestamp) -> Self {
        Self {
            least: date.duration_since(received),
            most: date.duration_since(sent) + SignedDuration::from_secs(1),
        }
    }
}

pub(super) struct Facts {
    pub(super) service: &'static str,
    pub(super) certificate: Result<Lifetime, String>,
    /// Whether it is ready; an error where it does not answer.
    pub(super) ready: Result<bool, String>,
    pub(super) ahead: Option<Ahead>,
    pub(super) diagnosis: Told<DiagnoseResponse>,
    pub(super) keys: Told<GetKeyStatusResponse>,
    pub(super) backups: Told<Vec<Backup>>,
    /// Rows that the index leaves out, where there is an index.
    pub(super) unreadable_templates: Told<u64>,
}

impl Facts {
    fn unasked(service: &'static str) -> Self {
        Self {
            service,
            certificate: Err(String::new()),
            ready: Err(String::new()),
            ahead: None,
            diagnosis: Told::Silent,
            keys: Told::Silent,
            backups: Told::Silent,
            unreadable_templates: Told::Silent,
        }
    }

    /// Whether it keeps a store with keys and backups.
    pub(super) fn stores(&self) -> bool {
        self.service != EDGE
    }
}

pub(super) async fn service(
    session: &Session,
    service: &'static str,
    endpoint: &str,
) -> Result<Facts, Failure> {
    let line = session.line(service)?;
    let mut facts = Facts::unasked(service);
    facts.certificate = certificate::of_server(session.credentials(), service, endpoint).await;
    (facts.ready, facts.ahead) = health(line.clone()).await;
    if facts.ready.is_err() {
        return Ok(facts);
    }
    let mut diagnosis = DiagnosisServiceClient::new(line.clone());
    facts.diagnosis = match diagnosis.diagnose(DiagnoseRequest {}).await {
        // A release that does not know the question refuses everybody.
        Err(status) if status.code() == Code::PermissionDenied => Told::Silent,
        reply => Told::of(reply),
    };
    if facts.stores() {
        let mut custody = CustodyServiceClient::new(line.clone());
        facts.keys = Told::of(custody.get_key_status(GetKeyStatusRequest {}).await);
        facts.backups =
            Told::of(custody.list_backups(ListBackupsRequest {}).await).map(|reply| reply.backups);
    }
    if service == BIOMETRIC {
        let mut biometric = BiometricServiceClient::new(line);
        facts.unreadable_templates = Told::of(biometric.get_status(GetStatusRequest {}).await)
            .map(|status| status.corrupt_rows);
    }
    Ok(facts)
}

async fn health(line: Line) -> (Result<bool, String>, Option<Ahead>) {
    let mut health = HealthClient::new(line);
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let sent = SystemClock.now();
    match health.check(request).await {
        Ok(reply) => {
            let ahead = date(&reply).map(|date| Ahead::of(date, sent, SystemClock.now()));
            let ready = reply.get_ref().status() == ServingStatus::Serving;
            (Ok(ready), ahead)
        }
        Err(status) => (Err(describe(&status)), None),
    }
}

/// Every HTTP answer bears one (RFC 9110 section 6.6.1).
fn date(reply: &Response<HealthCheckResponse>) -> Option<Timestamp> {
    let date = reply.metadata().get("date")?.to_str().ok()?;
    DateTimeParser::new().parse_timestamp(date).ok()
}

/// What the receipts of the newest erasures say of the ledgers.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// The greatest ledger number that a receipt of a service bears.
    pub(super) numbers: BTreeMap<&'static str, u64>,
    /// Why receipts count for nothing.
    pub(super) faults: Vec<String>,
}

pub(super) async fn receipts(session: &Session, all: &[Facts]) -> Told<Receipts> {
    let answers = |facts: &Facts| facts.service == ACCESS && facts.ready.is_ok();
    if !all.iter().any(answers) {
        return Told::Silent;
    }
    let Ok(line) = session.access() else {
        return Told::Silent;
    };
    let request = ListErasuresRequest {
        page_size: ERASURES,
        page_token: String::new(),
        ..ListErasuresRequest::default()
    };
    let listed = ErasureServiceClient::new(line).list_erasures(request).await;
    let erasures = match Told::of(listed) {
        Told::Yes(reply) => reply.erasures,
        Told::Silent => return Told::Silent,
        Told::Refused(why) => return Told::Refused(why),
    };
    let mut keys = ReceiptKeys::new(session);
    let mut known = Receipts::default();
    for erasure in &erasures {
        for receipt in &erasure.receipts {
            match keys.verify(receipt, &erasure.pseudonym).await {
                Ok(receipt) => {
                    let number = receipt.ledger_number().unwrap_or(0);
                    let greatest = known.numbers.entry(receipt.service()).or_default();
                    *greatest = number.max(*greatest);
                }
                Err((_, Failure::Outcome { message, .. })) => known.faults.push(message),
                // A service that does not answer is told of elsewhere.
                Err(_) => {}
            }
        }
    }
    Told::Yes(known)
}

#[cfg(test)]
impl Facts {
    /// Of a service with which all is well.
    pub(super) fn sound(service: &'static str, now: Timestamp) -> Self {
        use propdev_proto::mesh::KeyEpoch;

        let day = SignedDuration::from_hours(24);
        let yesterday = crate::moment::to_proto(now - day);
        Self {
            certificate: Ok(Lifetime {
                from: now - day,
                until: now + day,
            }),
            ready: Ok(true),
            ahead: Some(Ahead::of(now, now, now)),
            diagnosis: Told::Yes(DiagnoseResponse {
                version: env!("CARGO_PKG_VERSION").into(),
                corrupt_rows: Some(0),
                ledger_number: Some(7),
            }),
            keys: Told::Yes(GetKeyStatusResponse {
                service: service.into(),
                region: "ru-moscow".into(),
                deployment: "d".into(),
                epochs: vec![KeyEpoch {
                    id: 3,
                    created_at: Some(yesterday),
                    references: 10,
                    current: true,
                    missing: false,
                }],
                managed: true,
                ..GetKeyStatusResponse::default()
            }),
            backups: Told::Yes(vec![Backup {
                verified_at: Some(yesterday),
                created_at: Some(yesterday),
                ..Backup::default()
            }]),
            unreadable_templates: Told::Yes(0),
            ..Self::unasked(service)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_date_is_read() {
        let mut reply = Response::new(HealthCheckResponse::default());
        assert_eq!(date(&reply), None);
        let value = "Tue, 24 Nov 2026 06:00:00 GMT".parse().expect("metadata");
        reply.metadata_mut().insert("date", value);
        let wanted: Timestamp = "2026-11-24T06:00:00Z".parse().expect("a time");
        assert_eq!(date(&reply), Some(wanted));
    }

    #[test]
    fn a_clock_that_may_be_right_is_not_ahead_for_sure() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let (sent, received) = (at("2026-11-24T06:00:00.2Z"), at("2026-11-24T06:00:00.9Z"));
        let right = Ahead::of(at("2026-11-24T06:00:00Z"), sent, received);
        assert!(right.least.is_negative() && !right.most.is_negative());
        let fast = Ahead::of(at("2026-11-24T06:01:00Z"), sent, received);
        assert!(fast.least > SignedDuration::from_secs(58));
    }
}
