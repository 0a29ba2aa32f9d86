//! One event, or `{"events": [...]}` with up to 1,000.
//!
//! Members that the contract does not name are ignored inside an event and
//! beside `events`, since partners' events grow; an event's own members beside
//! `events` are a fault, since nobody can say which of the two was meant. An
//! optional member that is null counts as absent.

use http::HeaderMap;
use propdev_proto::access::{
    BodyFault, CommandResult, CommandStatus, CredentialOpening, EventFault,
};

use crate::{
    http::{
        body::{self, malformed},
        json::{Json, Object},
        problem,
    },
    syntax::{is_partner_id, parse_time, to_proto},
};

const MAX_EVENTS: usize = 1_000;

pub(crate) const COMMAND_FIELDS: &[&str] =
    &["command_id", "opening_id", "status", "at", "event_id"];

/// Events that could be read, and what is wrong with the others. Names
/// credentials: without `Debug`.
pub(crate) struct Batch<T> {
    pub(crate) events: Vec<T>,
    pub(crate) faults: Vec<EventFault>,
}

pub(crate) fn batch<T>(
    headers: &HeaderMap,
    bytes: &[u8],
    fields: &[&str],
    read: impl Fn(Object) -> Result<T, String>,
) -> Result<Batch<T>, BodyFault> {
    let mut object = body::object(headers, bytes)?;
    let items = match object.take("events") {
        None => vec![Json::Object(object)],
        Some(_) if fields.iter().any(|field| object.get(field).is_some()) => {
            return Err(malformed(
                "events stands beside the members of a single event.",
            ));
        }
        Some(Json::Array(items)) => items,
        Some(_) => return Err(malformed("events is not an array.")),
    };
    if items.len() > MAX_EVENTS {
        return Err(body::fault(
            problem::PAYLOAD_TOO_LARGE,
            "events holds more than 1,000 events.",
        ));
    }
    let mut batch = Batch {
        events: Vec::with_capacity(items.len()),
        faults: Vec::new(),
    };
    for (index, item) in (0_u32..).zip(items) {
        let event = match item {
            Json::Object(event) => read(event),
            _ => Err("The event is not an object.".into()),
        };
        match event {
            Ok(event) => batch.events.push(event),
            Err(detail) => batch.faults.push(EventFault { index, detail }),
        }
    }
    Ok(batch)
}

/// With what a device was opened.
#[derive(Clone, Copy)]
pub(crate) struct Opened {
    id_field: &'static str,
}

impl Opened {
    pub(crate) const BY_KEY: Self = Self { id_field: "key_id" };
    pub(crate) const BY_FOB: Self = Self { id_field: "fob_id" };

    pub(crate) fn fields(self) -> [&'static str; 4] {
        [self.id_field, "opened_at", "device_id", "event_id"]
    }
}

pub(crate) fn credential_opening(
    mut event: Object,
    opened: Opened,
) -> Result<CredentialOpening, String> {
    Ok(CredentialOpening {
        credential_id: required(partner_id(&mut event, opened.id_field)?, opened.id_field)?,
        opened_at: Some(time(&mut event, "opened_at")?),
        device_id: partner_id(&mut event, "device_id")?.unwrap_or_default(),
        event_id: partner_id(&mut event, "event_id")?.unwrap_or_default(),
    })
}

pub(crate) fn command_result(mut event: Object) -> Result<CommandResult, String> {
    let status = match required(text(&mut event, "status")?, "status")?.as_str() {
        "opened" => CommandStatus::Opened,
        "failed" => CommandStatus::Failed,
        _ => return Err("status is neither opened nor failed.".into()),
    };
    Ok(CommandResult {
        command_id: uuid(&mut event, "command_id")?,
        opening_id: uuid(&mut event, "opening_id")?,
        status: status.into(),
        at: Some(time(&mut event, "at")?),
        event_id: partner_id(&mut event, "event_id")?.unwrap_or_default(),
    })
}

fn text(event: &mut Object, name: &str) -> Result<Option<String>, String> {
    if matches!(event.get(name), Some(Json::Null)) {
        return Ok(None);
    }
    event.text(name, name)
}

fn required(text: Option<String>, name: &str) -> Result<String, String> {
    text.ok_or_else(|| format!("{name} is missing."))
}

fn partner_id(event: &mut Object, name: &str) -> Result<Option<String>, String> {
    let text = text(event, name)?;
    if text.as_ref().is_some_and(|text| !is_partner_id(text)) {
        return Err(format!("{name} is not 1 to 128 of A-Z a-z 0-9 . _ : -"));
    }
    Ok(text)
}

fn uuid(event: &mut Object, name: &str) -> Result<String, String> {
    let text = required(text(event, name)?, name)?;
    uuid::Uuid::parse_str(&text)
        .map(|id| id.hyphenated().to_string())
        .map_err(|_| format!("{name} is not a UUID."))
}

fn time(event: &mut Object, name: &str) -> Result<prost_types::Timestamp, String> {
    let text = required(text(event, name)?, name)?;
    parse_time(&text)
        .map(to_proto)
        .ok_or_else(|| format!("{name} is not an RFC 3339 time."))
}
