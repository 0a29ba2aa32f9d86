//! Errors of the token endpoint (RFC 6749 section 5.2).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use mesh::error::{is_unavailable, reason};
use tonic::Status;

use crate::http::{
    body::ReadError,
    problem::{self, Pace, Problem},
};

#[derive(Clone)]
pub(crate) struct TokenError {
    status: StatusCode,
    error: &'static str,
    description: String,
    pace: Pace,
}

/// Reason from auth-svc, status, error, description. The description comes
/// from here, so that nothing internal gets out and faces cannot be told apart.
const TABLE: &[(&str, StatusCode, &str, &str)] = &[
    (
        "INVALID_REQUEST",
        StatusCode::BAD_REQUEST,
        "invalid_request",
        "A parameter is missing, malformed or does not fit the others.",
    ),
    (
        "INVALID_CLIENT",
        StatusCode::UNAUTHORIZED,
        "invalid_client",
        "The client is unknown or its credentials are wrong.",
    ),
    (
        "INVALID_GRANT",
        StatusCode::BAD_REQUEST,
        "invalid_grant",
        "The evidence names no resident who can be told apart.",
    ),
    (
        "UNAUTHORIZED_CLIENT",
        StatusCode::BAD_REQUEST,
        "unauthorized_client",
        "The client may not ask for this.",
    ),
    (
        "UNSUPPORTED_GRANT_TYPE",
        StatusCode::BAD_REQUEST,
        "unsupported_grant_type",
        "The grant type must be client_credentials.",
    ),
    (
        "INVALID_SCOPE",
        StatusCode::BAD_REQUEST,
        "invalid_scope",
        "The scope is unknown, malformed or more than may be asked for.",
    ),
    (
        "INVALID_TARGET",
        StatusCode::BAD_REQUEST,
        "invalid_target",
        "The resource is not this API.",
    ),
    (
        "TEMPORARILY_UNAVAILABLE",
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        "The request cannot be answered at present.",
    ),
    (
        "SLOW_DOWN",
        StatusCode::TOO_MANY_REQUESTS,
        "slow_down",
        "Too many requests; try again later.",
    ),
    (
        "RATE_LIMITED",
        StatusCode::TOO_MANY_REQUESTS,
        "slow_down",
        "Too many requests; try again later.",
    ),
    (
        "SERVER_ERROR",
        StatusCode::INTERNAL_SERVER_ERROR,
        "server_error",
        "Something went wrong here.",
    ),
];

impl TokenError {
    fn of_reason(reason: &str) -> Option<Self> {
        let (_, status, error, description) = TABLE.iter().find(|row| row.0 == reason)?;
        Some(Self {
            status: *status,
            error,
            description: (*description).to_owned(),
            pace: Pace {
                retry_after: matches!(status.as_u16(), 429 | 503).then_some(1),
                rate_limit: None,
            },
        })
    }

    fn known(reason: &'static str) -> Self {
        Self::of_reason(reason).unwrap_or(Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error: "server_error",
            description: String::new(),
            pace: Pace::default(),
        })
    }

    /// Names the parameter at fault, never its value.
    pub(crate) fn invalid_request(description: impl Into<String>) -> Self {
        Self {
            description: description.into(),
            ..Self::known("INVALID_REQUEST")
        }
    }

    pub(crate) fn invalid_client() -> Self {
        Self::known("INVALID_CLIENT")
    }

    pub(crate) fn server_error() -> Self {
        Self::known("SERVER_ERROR")
    }
}

/// What the outermost layer answers in a handler's place.
pub(crate) fn failure(problem: Problem) -> TokenError {
    if problem.is(problem::UNAVAILABLE) {
        TokenError::known("TEMPORARILY_UNAVAILABLE")
    } else if problem.is(problem::RATE_LIMITED) {
        TokenError {
            pace: problem.into_pace(),
            ..TokenError::known("RATE_LIMITED")
        }
    } else if problem.is(problem::HEADERS_TOO_LARGE) {
        TokenError {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            ..TokenError::invalid_request(problem::HEADERS_TOO_LARGE.detail)
        }
    } else {
        TokenError::server_error()
    }
}

impl From<Status> for TokenError {
    fn from(status: Status) -> Self {
        let found = reason(&status);
        let known = found
            .as_ref()
            .and_then(|(reason, _)| Self::of_reason(reason));
        let mut error = known.unwrap_or_else(|| {
            Self::known(if is_unavailable(&status) {
                "TEMPORARILY_UNAVAILABLE"
            } else {
                "SERVER_ERROR"
            })
        });
        if error.status.is_server_error() {
            let reason = found.as_ref().map_or("", |(reason, _)| reason);
            tracing::warn!(code = ?status.code(), reason, "a call inside failed");
        }
        if let Some((_, metadata)) = found
            && error.pace.retry_after.is_some()
            && metadata.contains_key("retry_after")
        {
            error.pace = Pace::of_metadata(&metadata);
        }
        error
    }
}

impl From<ReadError> for TokenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge => Self {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                ..Self::invalid_request("The body is larger than 64 KiB.")
            },
            ReadError::Broken => Self::invalid_request("The body did not arrive whole."),
        }
    }
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "error": self.error,
            "error_description": self.description,
        });
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"oauth2\", charset=\"UTF-8\""),
            );
        }
        self.pace.write(headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_openapi_document_tells_the_table() {
        let config = crate::config::sample();
        let document: serde_json::Value =
            serde_json::from_slice(&crate::http::openapi::document(&config.public)).expect("JSON");
        let mut told: BTreeSet<(String, &str, &str)> = BTreeSet::new();
        for endpoint in ["token", "introspect", "revoke"] {
            let operation = &document["paths"][format!("/oauth2/{endpoint}")]["post"];
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let Some(reference) = response["$ref"].as_str() else {
                    continue;
                };
                let response = document
                    .pointer(reference.trim_start_matches('#'))
                    .expect(reference);
                let examples = &response["content"]["application/json"]["examples"];
                for example in examples
                    .as_object()
                    .into_iter()
                    .flat_map(|all| all.values())
                {
                    let text = |name: &str| example["value"][name].as_str().expect("a text");
                    told.insert((status.clone(), text("error"), text("error_description")));
                }
            }
        }
        let rows = TABLE.iter().map(|row| (row.1, row.2, row.3));
        let sizes = [
            TokenError::from(ReadError::TooLarge),
            failure(problem::HEADERS_TOO_LARGE.problem()),
        ];
        let sizes = sizes
            .iter()
            .map(|size| (size.status, size.error, size.description.as_str()));
        let table = rows
            .chain(sizes)
            .map(|(status, error, words)| (status.as_str().to_owned(), error, words));
        assert_eq!(told, table.collect::<BTreeSet<_>>());
    }
}
