//! gRPC statuses with a stable reason (`google.rpc.ErrorInfo`), and how a
//! caller reads it back. Unknown reasons degrade to the code.

use std::collections::HashMap;

use propdev_proto::propdev::mesh::v1::{FieldFault, Refusal};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// `ErrorInfo.domain` of all our reasons.
pub const DOMAIN: &str = "propdev";

/// A status whose reason outlives any wording of the message.
pub fn status(code: Code, reason: &str, message: impl Into<String>) -> Status {
    status_with(code, reason, message, [])
}

/// The same with metadata such as an opening's id.
pub fn status_with<const N: usize>(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    metadata: [(&str, String); N],
) -> Status {
    let metadata: HashMap<String, String> = metadata
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    Status::with_error_details(
        code,
        message,
        ErrorDetails::with_error_info(reason, DOMAIN, metadata),
    )
}

/// The reason a status carries and its metadata; none where it has none of ours.
pub fn reason(status: &Status) -> Option<(String, HashMap<String, String>)> {
    status
        .get_details_error_info()
        .filter(|info| info.domain == DOMAIN)
        .map(|info| (info.reason, info.metadata))
}

/// A status as it stands in an answer that holds several.
pub fn refusal(status: &Status) -> Refusal {
    let (reason, metadata) = reason(status).unwrap_or_default();
    let violations = status.get_details_bad_request();
    let violations = violations.map(|bad| bad.field_violations);
    Refusal {
        code: status.code().into(),
        reason,
        metadata,
        faults: violations
            .unwrap_or_default()
            .into_iter()
            .map(|violation| FieldFault {
                field: violation.field,
                detail: violation.description,
            })
            .collect(),
    }
}

/// The status that a refusal stands for.
pub fn of_refusal(refusal: Refusal) -> Status {
    let code = Code::from(refusal.code);
    if refusal.reason.is_empty() {
        return Status::new(code, "refused");
    }
    let mut details = ErrorDetails::with_error_info(refusal.reason, DOMAIN, refusal.metadata);
    if !refusal.faults.is_empty() {
        let violations = refusal.faults.into_iter();
        let violations: Vec<_> = violations
            .map(|fault| FieldViolation::new(fault.field, fault.detail))
            .collect();
        details.set_bad_request(violations);
    }
    Status::with_error_details(code, "refused", details)
}

/// Whether a dependency could not be asked, as against having answered no.
pub fn is_unavailable(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_survives_the_wire_form() {
        let sent = status_with(
            Code::NotFound,
            "DEVICE_NOT_FOUND",
            "no such device",
            [("opening_id", "x".into())],
        );
        let (reason, metadata) = reason(&sent).expect("a reason");
        assert_eq!(reason, "DEVICE_NOT_FOUND");
        assert_eq!(metadata["opening_id"], "x");
        assert!(super::reason(&Status::internal("plain")).is_none());
    }

    #[test]
    fn a_refusal_keeps_its_reason() {
        let limited = status_with(
            Code::ResourceExhausted,
            "RATE_LIMITED",
            "slowly",
            [("retry_after", "7".into())],
        );
        let status = of_refusal(refusal(&limited));
        assert_eq!(status.code(), Code::ResourceExhausted);
        let (reason, metadata) = reason(&status).expect("a reason");
        assert_eq!(reason, "RATE_LIMITED");
        assert_eq!(metadata["retry_after"], "7");
        let mut details = ErrorDetails::with_error_info("INVALID_EVENT", DOMAIN, []);
        details.set_bad_request(vec![FieldViolation::new("events[1]", "at is missing")]);
        let faulty = Status::with_error_details(Code::InvalidArgument, "no", details);
        let bad = of_refusal(refusal(&faulty)).get_details_bad_request();
        let bad = bad.expect("violations").field_violations;
        assert_eq!(bad.len(), 1);
        assert_eq!(bad[0].field, "events[1]");
        assert_eq!(bad[0].description, "at is missing");
        let plain = of_refusal(refusal(&Status::internal("plain")));
        assert_eq!(plain.code(), Code::Internal);
        assert!(super::reason(&plain).is_none());
    }
}
