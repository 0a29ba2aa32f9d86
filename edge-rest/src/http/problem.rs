//! Every error of `/v1` and of unknown routes, in one table: code, status and
//! words, and how a status from inside becomes one of them. Words come from
//! here, never from inside.

mod render;

use std::collections::HashMap;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use mesh::{error::reason, limit::Limited};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// One row of the table.
pub(crate) struct Entry {
    pub(crate) code: &'static str,
    status: StatusCode,
    title: &'static str,
    pub(crate) detail: &'static str,
}

macro_rules! table {
    ($($name:ident $status:ident $code:literal $title:literal $detail:literal;)+) => {
        $(pub(crate) const $name: &Entry = &Entry {
            code: $code,
            status: StatusCode::$status,
            title: $title,
            detail: $detail,
        };)+
        const TABLE: &[&Entry] = &[$($name),+];
    };
}

table! {
    MALFORMED_REQUEST BAD_REQUEST "malformed_request" "Malformed request"
        "The request cannot be read.";
    CONFLICTING_SUBJECT BAD_REQUEST "conflicting_subject" "Two subjects"
        "The token names a subject, so the body must carry no evidence.";
    EVIDENCE_REQUIRED BAD_REQUEST "evidence_required" "Evidence required"
        "The token speaks for the client alone, so the body must carry a face or a plate.";
    INVALID_TOKEN UNAUTHORIZED "invalid_token" "Invalid token"
        "The access token is missing, malformed, expired, revoked or not meant for this API.";
    TOKEN_ALREADY_USED UNAUTHORIZED "token_already_used" "Token already used"
        "A subject token is good for one opening; this one has had it.";
    INVALID_SIGNATURE UNAUTHORIZED "invalid_signature" "Invalid signature"
        "The webhook's signature is missing, wrong or stale.";
    INSUFFICIENT_SCOPE FORBIDDEN "insufficient_scope" "Insufficient scope"
        "The token or the client does not allow this.";
    SUBJECT_NOT_RECOGNIZED FORBIDDEN "subject_not_recognized" "Subject not recognized"
        "The evidence names no resident who can be told apart.";
    LOCKDOWN FORBIDDEN "lockdown" "Lockdown"
        "The site or the device is locked down.";
    DEVICE_DISABLED FORBIDDEN "device_disabled" "Device disabled"
        "The device is switched off.";
    RESIDENT_SUSPENDED FORBIDDEN "resident_suspended" "Resident suspended"
        "The resident may not open anything at present.";
    NO_GRANT FORBIDDEN "no_grant" "No grant"
        "The resident has no right to this device by this means.";
    OUTSIDE_SCHEDULE FORBIDDEN "outside_schedule" "Outside the schedule"
        "The resident's right does not cover this time.";
    SERVICE_UNPAID FORBIDDEN "service_unpaid" "Service unpaid"
        "The service is not paid for.";
    DEVICE_NOT_FOUND NOT_FOUND "device_not_found" "Device not found"
        "There is no such device.";
    OPENING_NOT_FOUND NOT_FOUND "opening_not_found" "Opening not found"
        "There is no such opening.";
    COMMAND_NOT_FOUND NOT_FOUND "command_not_found" "Command not found"
        "There is no such command.";
    NOT_FOUND NOT_FOUND "not_found" "Not found"
        "There is nothing at this path.";
    METHOD_NOT_ALLOWED METHOD_NOT_ALLOWED "method_not_allowed" "Method not allowed"
        "This path takes the methods named in Allow.";
    IN_PROGRESS CONFLICT "in_progress" "In progress"
        "The first request with this Idempotency-Key is still running.";
    PAYLOAD_TOO_LARGE PAYLOAD_TOO_LARGE "payload_too_large" "Payload too large"
        "The body is larger than this path takes.";
    UNSUPPORTED_MEDIA_TYPE UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" "Unsupported media type"
        "The body must be application/json, not encoded further.";
    INVALID_FACE_VECTOR UNPROCESSABLE_ENTITY "invalid_face_vector" "Invalid face vector"
        "The vector has the wrong length, is zero or holds what is no finite number.";
    UNKNOWN_FACE_MODEL UNPROCESSABLE_ENTITY "unknown_face_model" "Unknown face model"
        "The embedding model is not one that is known here.";
    INVALID_PLATE UNPROCESSABLE_ENTITY "invalid_plate" "Invalid plate"
        "The number is no plate of that country.";
    IDEMPOTENCY_MISMATCH UNPROCESSABLE_ENTITY "idempotency_mismatch" "Idempotency mismatch"
        "The Idempotency-Key was used with another body.";
    INVALID_EVENT UNPROCESSABLE_ENTITY "invalid_event" "Invalid event"
        "At least one event cannot be taken, so none was stored.";
    RATE_LIMITED TOO_MANY_REQUESTS "rate_limited" "Rate limited"
        "Too many requests; try again later.";
    HEADERS_TOO_LARGE REQUEST_HEADER_FIELDS_TOO_LARGE "headers_too_large" "Headers too large"
        "The headers are larger than 32 KiB together.";
    INTERNAL INTERNAL_SERVER_ERROR "internal" "Internal error"
        "Something went wrong here.";
    PARTNER_REJECTED BAD_GATEWAY "partner_rejected" "Partner rejected"
        "The partner's gateway refused the command.";
    UNAVAILABLE SERVICE_UNAVAILABLE "unavailable" "Unavailable"
        "This cannot be answered at present, and nothing was opened. Try again later.";
    PARTNER_TIMEOUT GATEWAY_TIMEOUT "partner_timeout" "Partner timeout"
        "The outcome is unknown. The command expires by itself and is not sent again.";
}

const RETRY_AFTER_S: u32 = 1;

impl Entry {
    /// The reason of an `ErrorInfo` that means this row.
    pub(crate) fn reason(&self) -> String {
        self.code.to_ascii_uppercase()
    }

    pub(crate) fn problem(&'static self) -> Problem {
        let challenge = (self.status == StatusCode::UNAUTHORIZED).then_some(
            if self.code == INVALID_SIGNATURE.code {
                "Bearer"
            } else {
                "Bearer error=\"invalid_token\""
            },
        );
        Problem {
            entry: self,
            detail: None,
            opening_id: None,
            errors: Vec::new(),
            challenge,
            pace: Pace {
                retry_after: matches!(self.status.as_u16(), 429 | 503).then_some(RETRY_AFTER_S),
                rate_limit: None,
            },
        }
    }

    fn of_reason(reason: &str) -> Option<&'static Self> {
        TABLE
            .iter()
            .copied()
            .find(|entry| entry.code.eq_ignore_ascii_case(reason))
    }

    /// The code of a refusal as access-svc tells it.
    pub(crate) fn of_denial(code: &str) -> &'static Self {
        TABLE
            .iter()
            .copied()
            .find(|entry| entry.code == code && entry.status == StatusCode::FORBIDDEN)
            .unwrap_or_else(|| {
                tracing::error!("a refusal of an unknown code");
                INSUFFICIENT_SCOPE
            })
    }
}

/// What stands in a 422 about a bad event.
#[derive(Clone, serde::Serialize)]
pub(crate) struct EventProblem {
    index: u32,
    code: &'static str,
    detail: String,
}

/// An error on its way out. It becomes a body in the outermost layer, which
/// knows the request id.
#[derive(Clone)]
pub(crate) struct Problem {
    entry: &'static Entry,
    detail: Option<String>,
    opening_id: Option<String>,
    errors: Vec<EventProblem>,
    challenge: Option<&'static str>,
    pace: Pace,
}

/// When to try again, and at what rate.
#[derive(Clone, Default)]
pub(crate) struct Pace {
    pub(crate) retry_after: Option<u32>,
    pub(crate) rate_limit: Option<Box<[Option<HeaderValue>; 2]>>,
}

impl Pace {
    /// As auth-svc and access-svc tell it with a refusal.
    pub(crate) fn of_metadata(metadata: &HashMap<String, String>) -> Self {
        let read = |key| HeaderValue::from_str(metadata.get(key)?).ok();
        Self {
            retry_after: metadata.get("retry_after").and_then(|s| s.parse().ok()),
            rate_limit: Some(Box::new(["ratelimit", "ratelimit_policy"].map(read))),
        }
    }

    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let values = self.rate_limit.iter().flat_map(|values| values.iter());
        for (name, value) in ["ratelimit", "ratelimit-policy"].into_iter().zip(values) {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
}

impl Problem {
    /// RFC 6750 section 3.1: without a token there is no error to name.
    pub(crate) fn unauthenticated(token_sent: bool) -> Self {
        let mut problem = INVALID_TOKEN.problem();
        if !token_sent {
            problem.challenge = Some("Bearer");
        }
        problem
    }

    /// For who asks too fast, told by the edge itself.
    pub(crate) fn limited(limited: &Limited) -> Self {
        let value = |text: String| HeaderValue::try_from(text).ok();
        let mut problem = RATE_LIMITED.problem();
        problem.pace = Pace {
            retry_after: u32::try_from(limited.retry_after()).ok(),
            rate_limit: Some(Box::new([value(limited.header()), value(limited.policy())])),
        };
        problem
    }

    pub(crate) fn into_pace(self) -> Pace {
        self.pace
    }

    pub(crate) fn with_detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    pub(crate) fn with_opening(mut self, opening_id: String) -> Self {
        self.opening_id = Some(opening_id);
        self
    }

    pub(crate) fn is(&self, entry: &Entry) -> bool {
        self.entry.code == entry.code
    }

    pub(crate) fn has_reason(&self, reason: &str) -> bool {
        self.entry.code.eq_ignore_ascii_case(reason)
    }

    /// What a failed call inside means to the partner.
    pub(crate) fn of_status(status: &Status) -> Self {
        let found = reason(status);
        let entry = match &found {
            Some((reason, _)) => Entry::of_reason(reason).unwrap_or_else(|| degrade(status.code())),
            // The mesh itself refuses without a reason: a fault of ours.
            None if status.code() == Code::PermissionDenied => INTERNAL,
            // No reason of ours either: the edge asked for nonsense.
            None if status.code() == Code::InvalidArgument => INTERNAL,
            None => degrade(status.code()),
        };
        if entry.status.is_server_error() {
            let reason = found.as_ref().map_or("", |(reason, _)| reason);
            tracing::warn!(code = ?status.code(), reason, "a call inside failed");
        }
        let mut problem = entry.problem();
        if let Some((_, mut metadata)) = found {
            problem.opening_id = metadata.remove("opening_id");
            if metadata.contains_key("retry_after") {
                problem.pace = Pace::of_metadata(&metadata);
            }
        }
        if problem.is(INVALID_EVENT) {
            problem.errors = event_problems(status);
        }
        problem
    }
}

/// An unknown reason still has a code that everyone knows.
fn degrade(code: Code) -> &'static Entry {
    match code {
        Code::Unauthenticated => INVALID_TOKEN,
        Code::PermissionDenied => INSUFFICIENT_SCOPE,
        Code::NotFound => NOT_FOUND,
        Code::InvalidArgument => MALFORMED_REQUEST,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled => {
            UNAVAILABLE
        }
        _ => INTERNAL,
    }
}

/// Field violations `events[<index>]`, in order.
fn event_problems(status: &Status) -> Vec<EventProblem> {
    let mut problems: Vec<EventProblem> = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|violation| {
            let index = violation
                .field
                .strip_prefix("events[")?
                .strip_suffix(']')?
                .parse()
                .ok()?;
            Some(EventProblem {
                index,
                code: INVALID_EVENT.code,
                detail: violation.description,
            })
        })
        .collect();
    problems.sort_by_key(|problem| problem.index);
    problems
}

#[cfg(test)]
mod tests;
