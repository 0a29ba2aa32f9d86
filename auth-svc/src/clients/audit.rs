//! An audit event as access-svc takes it, which is also how the outbox keeps it.

use propdev_proto::access::{AuthEvent, AuthEventKind};
use prost::Message;
use uuid::Uuid;

use crate::domain::audit::{Event, Kind};

pub(crate) fn encode_event(event: &Event) -> Vec<u8> {
    AuthEvent {
        event_id: event.id.to_string(),
        at: Some(prost_types::Timestamp {
            seconds: event.at.as_second(),
            nanos: event.at.subsec_nanosecond(),
        }),
        kind: match event.kind {
            Kind::TokenIssued => AuthEventKind::TokenIssued,
            Kind::TokenRefused => AuthEventKind::TokenRefused,
            Kind::TokenRevoked => AuthEventKind::TokenRevoked,
            Kind::AuthenticationFailed => AuthEventKind::AuthenticationFailed,
            Kind::RateLimited => AuthEventKind::RateLimited,
            Kind::ClientChanged => AuthEventKind::ClientChanged,
            Kind::SigningKeyChanged => AuthEventKind::SigningKeyChanged,
            Kind::Custody => AuthEventKind::Custody,
        }
        .into(),
        client_id: event.client_id.clone().unwrap_or_default(),
        partner_id: event.partner.map_or_else(String::new, |id| id.to_string()),
        code: event.code.into(),
        cause: event.cause.into(),
        means: event.means.into(),
        device_id: event.device_id.clone().unwrap_or_default(),
        jti: event.jti.as_ref().map_or_else(String::new, Uuid::to_string),
        audit_pseudonym: event.audit_pseudonym.clone().unwrap_or_default(),
        count: event.count,
        actor: event.actor.clone().unwrap_or_default(),
        request_id: event.request_id.clone(),
        site_id: String::new(),
        subject: event.subject.clone().unwrap_or_default(),
    }
    .encode_to_vec()
}
