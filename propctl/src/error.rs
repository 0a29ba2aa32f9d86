//! What went wrong, in a line or two for people and an exit code for scripts.

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Said of a call that may have reached the service and must not be repeated blindly.
const UNCERTAIN: &str = "it may have been done all the same: list before repeating it";

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Arguments, configuration or a local file.
    Usage(String),
    /// This machine, not the arguments.
    Local(String),
    /// A service answered with an error, or did not answer.
    Call {
        status: Box<Status>,
        site: Option<Box<CallSite>>,
    },
    /// The service answered, and the answer is bad news.
    Outcome { message: String, exit_code: u8 },
}

/// The call that failed.
#[derive(Debug)]
pub(crate) struct CallSite {
    pub(crate) service: &'static str,
    pub(crate) endpoint: String,
    pub(crate) path: String,
    /// Who the operator's certificate says is calling.
    pub(crate) caller: String,
    /// Who may make this call.
    pub(crate) wanted: Vec<String>,
    pub(crate) idempotent: bool,
    pub(crate) request_id: String,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Call {
            status: Box::new(status),
            site: None,
        }
    }
}

impl Failure {
    pub(crate) const REFUSED: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const UNREACHABLE: u8 = 3;
    pub(crate) const DENIED: u8 = 4;
    pub(crate) const NOT_FOUND: u8 = 5;

    /// A reply lacks what its contract promises.
    pub(crate) fn incomplete(what: &str) -> Self {
        Self::Outcome {
            message: format!("the service's answer lacks {what}"),
            exit_code: Self::REFUSED,
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Local(_) => Self::USAGE,
            Self::Outcome { exit_code, .. } => *exit_code,
            // The same file is too large at any time.
            Self::Call { status, .. } if is_too_large(status) => Self::REFUSED,
            Self::Call { status, .. } if mesh::error::is_unavailable(status) => Self::UNREACHABLE,
            Self::Call { status, .. } => match status.code() {
                Code::PermissionDenied | Code::Unauthenticated => Self::DENIED,
                Code::NotFound => Self::NOT_FOUND,
                _ => Self::REFUSED,
            },
        }
    }

    /// What failed, then a hint where there is one.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Usage(message) | Self::Local(message) | Self::Outcome { message, .. } => {
                vec![message.clone()]
            }
            Self::Call { status, site } => {
                let what = describe(status);
                match site {
                    None => vec![what],
                    Some(site) => std::iter::once(format!("{}: {what}", site.name()))
                        .chain(site.hint(status).map(|hint| format!("hint: {hint}")))
                        .collect(),
                }
            }
        }
    }
}

impl CallSite {
    /// `access-svc SiteService/CreateSite`.
    fn name(&self) -> String {
        let method = self
            .path
            .rsplit_once('.')
            .map_or(&*self.path, |(_, method)| method);
        format!("{} {method}", self.service)
    }

    fn hint(&self, status: &Status) -> Option<String> {
        match status.code() {
            Code::PermissionDenied => Some(format!(
                "your certificate is {}; this call wants {}",
                self.caller,
                self.wanted.join(" or ")
            )),
            Code::Unauthenticated => Some(format!(
                "{} did not accept the certificate of {}",
                self.service, self.caller
            )),
            Code::Unavailable if !self.idempotent && !mesh::client::never_sent(status) => {
                Some(UNCERTAIN.into())
            }
            Code::Unavailable => Some(format!(
                "is {} running at {}, and do both sides trust each other's CA? \
                 --verbose tells the cause",
                self.service, self.endpoint
            )),
            Code::DeadlineExceeded if self.idempotent => Some(format!(
                "{} at {} is slow; repeating is safe",
                self.service, self.endpoint
            )),
            Code::DeadlineExceeded => Some(UNCERTAIN.into()),
            Code::ResourceExhausted if is_too_large(status) => {
                Some("divide the file, and import its parts one after another".into())
            }
            Code::ResourceExhausted => Some(format!(
                "{} has too much to do; try again in a moment",
                self.service
            )),
            Code::Internal | Code::Unknown | Code::DataLoss => Some(format!(
                "the log of {} tells more under request id {}",
                self.service, self.request_id
            )),
            Code::Unimplemented => Some(format!(
                "{} at {} is of another version",
                self.service, self.endpoint
            )),
            _ => None,
        }
    }
}

/// `NOT_FOUND SITE_NOT_FOUND: no such site (name: too long)`.
pub(crate) fn describe(status: &Status) -> String {
    let mut text = code_name(status.code()).to_owned();
    if let Some((reason, _)) = mesh::error::reason(status) {
        text.push(' ');
        text.push_str(&reason);
    }
    if !status.message().is_empty() {
        text.push_str(": ");
        text.push_str(status.message());
    }
    if let Some(bad) = status.get_details_bad_request() {
        let fields: Vec<String> = bad
            .field_violations
            .iter()
            .map(|violation| format!("{}: {}", violation.field, violation.description))
            .collect();
        if !fields.is_empty() {
            text.push_str(&format!(" ({})", fields.join("; ")));
        }
    }
    text
}

fn is_too_large(status: &Status) -> bool {
    mesh::error::reason(status).is_some_and(|(reason, _)| reason == "IMPORT_TOO_LARGE")
}

/// As the gRPC specification writes it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(status: Status) -> Failure {
        Failure::Call {
            status: Box::new(status),
            site: Some(Box::new(CallSite {
                service: "access-svc",
                endpoint: "https://127.0.0.1:7443".into(),
                path: "/propdev.access.v1.SiteService/CreateSite".into(),
                caller: "operator/viewer/anna".into(),
                wanted: vec!["operator/operator".into(), "system/registry".into()],
                idempotent: false,
                request_id: "r1".into(),
            })),
        }
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        for (status, code) in [
            (Status::invalid_argument("x"), 1),
            (Status::already_exists("x"), 1),
            (Status::internal("x"), 1),
            (Status::unavailable("x"), 3),
            (Status::deadline_exceeded("x"), 3),
            (Status::permission_denied("x"), 4),
            (Status::unauthenticated("x"), 4),
            (Status::not_found("x"), 5),
            (Status::resource_exhausted("x"), 3),
            (
                mesh::error::status(Code::ResourceExhausted, "IMPORT_TOO_LARGE", "x"),
                1,
            ),
        ] {
            assert_eq!(failed(status.clone()).exit_code(), code, "{status:?}");
        }
        assert_eq!(Failure::Usage(String::new()).exit_code(), 2);
    }

    #[test]
    fn the_call_the_code_and_the_reason_are_told() {
        let status = mesh::error::status(Code::NotFound, "SITE_NOT_FOUND", "no site of this id");
        assert_eq!(
            failed(status).lines(),
            ["access-svc SiteService/CreateSite: NOT_FOUND SITE_NOT_FOUND: no site of this id"]
        );
    }

    #[test]
    fn a_denied_caller_learns_who_may() {
        let lines = failed(Status::permission_denied("not allowed")).lines();
        assert_eq!(
            lines[1],
            "hint: your certificate is operator/viewer/anna; \
             this call wants operator/operator or system/registry"
        );
    }

    #[test]
    fn what_may_have_been_done_is_not_repeated_blindly() {
        let mut failure = failed(Status::unavailable("access-svc cannot be reached"));
        assert!(failure.lines()[1].contains(UNCERTAIN));
        if let Failure::Call {
            site: Some(site), ..
        } = &mut failure
        {
            site.idempotent = true;
        }
        assert!(failure.lines()[1].contains("https://127.0.0.1:7443"));
    }
}
