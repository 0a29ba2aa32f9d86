//! Messages of the contracts as JSON under the contracts' own field names.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value,
};
use serde_json::{Map, Value as Json, json};

use crate::{error::Failure, moment};

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(propdev_proto::DESCRIPTOR_SET).ok());

pub(crate) fn of<M: prost::Message>(full_name: &str, message: &M) -> Result<Json, Failure> {
    POOL.as_ref()
        .and_then(|pool| pool.get_message_by_name(full_name))
        .and_then(|descriptor| {
            DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok()
        })
        .map(|message| object(&message))
        .ok_or_else(|| Failure::Local(format!("{full_name} is not in the contracts compiled in")))
}

/// Every field, also one that is at its default, so that scripts find the same
/// keys each time.
fn object(message: &DynamicMessage) -> Json {
    let descriptor = message.descriptor();
    if descriptor.full_name() == "google.protobuf.Timestamp" {
        return timestamp(message);
    }
    let fields = descriptor.fields().map(|field| {
        let json = if field.supports_presence() && !message.has_field(&field) {
            Json::Null
        } else {
            value(&message.get_field(&field), &field)
        };
        (field.name().to_owned(), json)
    });
    Json::Object(fields.collect::<Map<_, _>>())
}

fn timestamp(message: &DynamicMessage) -> Json {
    let number = |name| {
        message
            .get_field_by_name(name)
            .and_then(|value| value.as_i64().or(value.as_i32().map(i64::from)))
            .unwrap_or(0)
    };
    let nanos = i32::try_from(number("nanos")).unwrap_or(0);
    moment::from_proto(&prost_types::Timestamp {
        seconds: number("seconds"),
        nanos,
    })
    .map_or(Json::Null, |time| json!(time.to_string()))
}

fn value(value: &Value, field: &FieldDescriptor) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::I32(value) => json!(value),
        Value::I64(value) => json!(value),
        Value::U32(value) => json!(value),
        Value::U64(value) => json!(value),
        // The shortest decimal that reads back: 0.3, not 0.30000001192092896.
        Value::F32(value) => json!(value.to_string().parse::<f64>().ok()),
        Value::F64(value) => json!(value),
        Value::String(value) => json!(value),
        Value::Bytes(value) => json!(STANDARD.encode(value)),
        Value::EnumNumber(number) => match field.kind() {
            Kind::Enum(kind) => kind
                .get_value(*number)
                .map_or(json!(number), |value| json!(value.name())),
            _ => json!(number),
        },
        Value::Message(message) => object(message),
        Value::List(values) => {
            Json::Array(values.iter().map(|item| self::value(item, field)).collect())
        }
        Value::Map(entries) => {
            let Kind::Message(entry) = field.kind() else {
                return Json::Null;
            };
            let of = entry.map_entry_value_field();
            let text = |key: &MapKey| key.as_str().map(str::to_owned);
            let pairs = entries
                .iter()
                .filter_map(|(key, item)| Some((text(key)?, self::value(item, &of))));
            Json::Object(pairs.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use propdev_proto::{
        access::{Check, Decision, DeviceKind, Opening, Site},
        biometric::Model,
    };

    use super::*;

    #[test]
    fn fields_have_the_contracts_names_and_none_is_left_out() {
        let opening = Opening {
            opening_id: "o".into(),
            device_kind: DeviceKind::Door.into(),
            decision: Decision::Denied.into(),
            denial_code: "no_grant".into(),
            decided_at: Some(prost_types::Timestamp {
                seconds: 1_764_000_000,
                nanos: 500_000_000,
            }),
            checks: vec![Check {
                name: "grant".into(),
                passed: false,
                cause: String::new(),
            }],
            ..Opening::default()
        };
        assert_eq!(
            of("propdev.access.v1.Opening", &opening).expect("json"),
            json!({
                "opening_id": "o",
                "device_id": "",
                "device_kind": "DEVICE_KIND_DOOR",
                "decision": "DECISION_DENIED",
                "denial_code": "no_grant",
                "command": null,
                "decided_at": "2025-11-24T16:00:00.5Z",
                "means": "",
                "audit_pseudonym": "",
                "client_id": "",
                "checks": [{"name": "grant", "passed": false, "cause": ""}],
            })
        );
    }

    #[test]
    fn maps_are_objects() {
        let site = Site {
            external_ids: [("registry".to_owned(), "S-1".to_owned())].into(),
            ..Site::default()
        };
        assert_eq!(
            of("propdev.access.v1.Site", &site).expect("json")["external_ids"],
            json!({ "registry": "S-1" })
        );
    }

    #[test]
    fn floats_are_short() {
        let model = Model {
            threshold: 0.3,
            ..Model::default()
        };
        assert_eq!(
            of("propdev.biometric.v1.Model", &model).expect("json")["threshold"],
            json!(0.3)
        );
    }
}
