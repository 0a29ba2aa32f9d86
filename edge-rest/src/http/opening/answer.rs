//! What became of an opening, in the contract's words.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use propdev_proto::access::{Command, CommandStatus, Decision, OpenResponse, Opening};
use serde_json::{Map, Value, json};

use crate::{
    http::problem::{self, Entry, Problem},
    syntax::from_proto,
};

/// A decision is 200 only when the command reached the partner, as it has when
/// the partner's confirmation, of success or failure, overtakes its answer.
pub(crate) fn opened(answer: OpenResponse) -> Result<Response, Problem> {
    let opening = answer.opening.ok_or_else(|| problem::INTERNAL.problem())?;
    let mut response = match refusal(&opening) {
        Some(entry) => entry
            .problem()
            .with_opening(opening.opening_id)
            .into_response(),
        None => {
            let mut document = describe(&opening);
            document.insert("device_id".into(), opening.device_id.into());
            success(document)
        }
    };
    if answer.replayed {
        response.headers_mut().insert(
            HeaderName::from_static("idempotent-replayed"),
            HeaderValue::from_static("true"),
        );
    }
    Ok(response)
}

pub(crate) fn outcome(opening: Option<Opening>) -> Result<Response, Problem> {
    let opening = opening.ok_or_else(|| problem::INTERNAL.problem())?;
    let mut document = describe(&opening);
    document.insert("device_id".into(), opening.device_id.into());
    Ok(success(document))
}

fn refusal(opening: &Opening) -> Option<&'static Entry> {
    if opening.decision() != Decision::Granted {
        return Some(Entry::of_denial(&opening.denial_code));
    }
    match opening
        .command
        .as_ref()
        .map_or(CommandStatus::Unspecified, Command::status)
    {
        CommandStatus::Delivered | CommandStatus::Opened | CommandStatus::Failed => None,
        CommandStatus::Rejected => Some(problem::PARTNER_REJECTED),
        CommandStatus::Expired => Some(problem::UNAVAILABLE),
        CommandStatus::Pending | CommandStatus::Unknown | CommandStatus::Unspecified => {
            Some(problem::PARTNER_TIMEOUT)
        }
    }
}

/// Never who it was.
fn describe(opening: &Opening) -> Map<String, Value> {
    let mut document = Map::new();
    document.insert("opening_id".into(), opening.opening_id.clone().into());
    let granted = opening.decision() == Decision::Granted;
    document.insert(
        "decision".into(),
        if granted { "granted" } else { "denied" }.into(),
    );
    if let Some(command) = &opening.command {
        document.insert(
            "command".into(),
            json!({
                "status": status_name(command.status()),
                "id": command.command_id,
                "expires_at": time(command.expires_at),
            }),
        );
    }
    document.insert("decided_at".into(), time(opening.decided_at));
    document
}

fn status_name(status: CommandStatus) -> &'static str {
    match status {
        CommandStatus::Pending => "pending",
        CommandStatus::Delivered => "delivered",
        CommandStatus::Opened => "opened",
        CommandStatus::Failed => "failed",
        CommandStatus::Rejected => "rejected",
        CommandStatus::Expired => "expired",
        CommandStatus::Unknown | CommandStatus::Unspecified => "unknown",
    }
}

fn time(time: Option<prost_types::Timestamp>) -> Value {
    time.and_then(from_proto)
        .map_or(Value::Null, |time| time.to_string().into())
}

fn success(document: Map<String, Value>) -> Response {
    (
        StatusCode::OK,
        [(header::CONTENT_TYPE, "application/json")],
        Value::Object(document).to_string(),
    )
        .into_response()
}
