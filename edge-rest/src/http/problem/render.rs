//! A problem as an answer: status and headers at once, the RFC 9457 body when
//! the outermost layer adds the request id.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde::Serialize;

use super::{EventProblem, Problem};
use crate::config::BaseUrl;

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    opening_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [EventProblem],
}

impl Problem {
    /// Gives a response that carries a problem its body; others pass.
    pub(crate) fn render(response: &mut Response, base_url: &BaseUrl, request_id: &str) {
        let Some(problem) = response.extensions_mut().remove::<Self>() else {
            return;
        };
        let entry = problem.entry;
        let document = Document {
            r#type: format!("{}/problems/{}", base_url.as_str(), entry.code),
            title: entry.title,
            status: entry.status.as_u16(),
            detail: problem.detail.as_deref().unwrap_or(entry.detail),
            code: entry.code,
            request_id,
            opening_id: problem.opening_id.as_deref(),
            errors: &problem.errors,
        };
        // Strings and numbers cannot fail to serialise.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        *response.body_mut() = Body::from(body);
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.entry.status.into_response();
        let headers = response.headers_mut();
        if let Some(challenge) = self.challenge {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        self.pace.write(headers);
        response.extensions_mut().insert(self);
        response
    }
}
