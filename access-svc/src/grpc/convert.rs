//! What several services translate alike.

use std::collections::HashMap;

use jiff::Timestamp;
use mesh::{Caller, clock::from_proto};
use propdev_proto::access::{DeviceKind as KindMessage, ExternalId as ExternalIdMessage};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    app::By,
    domain::{
        device::DeviceKind,
        external_id::{ExternalId, ExternalIds},
        token::Presented,
    },
    error::Error,
    store::Page,
};

/// Who calls, as the audit names them: put there by the server's layer.
pub(super) fn actor<T>(request: &tonic::Request<T>) -> String {
    request
        .extensions()
        .get::<Caller>()
        .map_or_else(String::new, Caller::to_string)
}

/// Who calls, where a rule looks at it.
pub(super) fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Error> {
    let caller = request.extensions().get::<Caller>();
    caller.cloned().ok_or(Error::InsufficientScope)
}

/// Whether the caller may see names and what else is personal.
pub(super) fn sees_persons<T>(request: &tonic::Request<T>) -> bool {
    let caller = request.extensions().get::<Caller>();
    caller.is_some_and(|caller| caller.has_role("privacy"))
}

pub(super) fn fault(field: &'static str, detail: &'static str) -> Error {
    Error::InvalidField { field, detail }
}

pub(super) fn id(field: &'static str, text: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(text).map_err(|_| fault(field, "is not a UUID"))
}

pub(super) fn ids(field: &'static str, texts: &[String]) -> Result<Vec<Uuid>, Error> {
    texts.iter().map(|text| id(field, text)).collect()
}

/// None for the empty text.
pub(super) fn optional_id(field: &'static str, text: &str) -> Result<Option<Uuid>, Error> {
    if text.is_empty() {
        Ok(None)
    } else {
        id(field, text).map(Some)
    }
}

pub(super) fn external_id(message: ExternalIdMessage) -> Result<ExternalId, Error> {
    ExternalId::new(message.system, message.id)
}

pub(super) fn external_ids(map: HashMap<String, String>) -> Result<ExternalIds, Error> {
    ExternalIds::new(map)
}

pub(super) fn external_ids_message(ids: ExternalIds) -> HashMap<String, String> {
    ids.into_map().into_iter().collect()
}

/// By our id or by another system's, of which a request gives one.
pub(super) fn by(
    field: &'static str,
    text: &str,
    external_id: Option<ExternalIdMessage>,
) -> Result<By, Error> {
    match (text, external_id) {
        ("", Some(message)) => Ok(By::ExternalId(self::external_id(message)?)),
        ("", None) => Err(fault(field, "or external_id is required")),
        (text, None) => Ok(By::Id(id(field, text)?)),
        (_, Some(_)) => Err(fault(field, "and external_id exclude each other")),
    }
}

pub(super) fn presented(token: String, certificate_sha256: Vec<u8>) -> Presented {
    Presented {
        token: Zeroizing::new(token),
        certificate_sha256,
    }
}

pub(super) fn optional_text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

pub(super) fn timestamp(time: Timestamp) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    })
}

pub(super) fn optional_time(
    field: &'static str,
    time: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Error> {
    time.map(|time| from_proto(time.seconds, time.nanos))
        .transpose()
        .map_err(|_| fault(field, "is out of range"))
}

pub(super) fn time(
    field: &'static str,
    time: Option<prost_types::Timestamp>,
) -> Result<Timestamp, Error> {
    optional_time(field, time)?.ok_or_else(|| fault(field, "is required"))
}

pub(super) fn kind(message: KindMessage) -> Result<DeviceKind, Error> {
    optional_kind(message).ok_or_else(|| fault("kind", "is required"))
}

pub(super) fn optional_kind(message: KindMessage) -> Option<DeviceKind> {
    match message {
        KindMessage::Unspecified => None,
        KindMessage::Door => Some(DeviceKind::Door),
        KindMessage::Barrier => Some(DeviceKind::Barrier),
    }
}

pub(super) fn kind_message(kind: DeviceKind) -> i32 {
    match kind {
        DeviceKind::Door => KindMessage::Door,
        DeviceKind::Barrier => KindMessage::Barrier,
    }
    .into()
}

/// Where a stream is to go on; none for the empty text.
pub(super) fn cursor(text: &str) -> Result<Option<i64>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse::<i64>().ok().filter(|number| *number >= 0);
    number
        .map(Some)
        .ok_or_else(|| fault("cursor", "is none that an answer gave"))
}

/// One more row than the page holds tells whether there is a next page.
pub(super) fn page(size: u32, token: &str) -> Result<Page, Error> {
    let size = match size {
        0 => 100,
        size => size.min(1_000),
    };
    Ok(Page {
        after: optional_id("page_token", token)?,
        limit: u64::from(size) + 1,
    })
}

/// Cuts the rows to the page; the token of the next one, empty on the last.
pub(super) fn next_page<T>(rows: &mut Vec<T>, page: Page, id: impl Fn(&T) -> Uuid) -> String {
    if (rows.len() as u64) < page.limit {
        return String::new();
    }
    rows.pop();
    rows.last()
        .map_or_else(String::new, |row| id(row).to_string())
}
