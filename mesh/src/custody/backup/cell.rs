//! One value of a row as a backup holds it: tagged with its type, so that what
//! SQLite gave PostgreSQL takes, and the other way round.

use base64::{Engine, engine::general_purpose::STANDARD};
use sea_orm::{Value, sea_query::ArrayType};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

/// Has no `Debug`: what is in a row is nobody's log's business.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Cell {
    #[serde(rename = "bool")]
    Bool(Option<bool>),
    #[serde(rename = "i16")]
    I16(Option<i16>),
    #[serde(rename = "i32")]
    I32(Option<i32>),
    #[serde(rename = "i64")]
    I64(Option<i64>),
    /// By its bits: decimal text need not come back as the same number.
    #[serde(rename = "f32")]
    F32(Option<u32>),
    #[serde(rename = "f64")]
    F64(Option<u64>),
    #[serde(rename = "text")]
    Text(Option<String>),
    #[serde(rename = "bytes")]
    Bytes(Option<Blob>),
    #[serde(rename = "uuid")]
    Uuid(Option<Uuid>),
}

#[derive(Clone, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD
            .decode(text)
            .map(Self)
            .map_err(|_| D::Error::custom("no base64"))
    }
}

impl Cell {
    /// None for a type that no table of ours has.
    pub fn from_value(value: Value) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Self::Bool(value),
            Value::SmallInt(value) => Self::I16(value),
            Value::Int(value) => Self::I32(value),
            Value::BigInt(value) => Self::I64(value),
            Value::Float(value) => Self::F32(value.map(f32::to_bits)),
            Value::Double(value) => Self::F64(value.map(f64::to_bits)),
            Value::String(value) => Self::Text(value),
            Value::Bytes(value) => Self::Bytes(value.map(Blob)),
            Value::Uuid(value) => Self::Uuid(value),
            _ => return None,
        })
    }

    pub fn to_value(&self) -> Value {
        self.clone().into_value()
    }

    pub fn into_value(self) -> Value {
        match self {
            Self::Bool(value) => Value::Bool(value),
            Self::I16(value) => Value::SmallInt(value),
            Self::I32(value) => Value::Int(value),
            Self::I64(value) => Value::BigInt(value),
            Self::F32(bits) => Value::Float(bits.map(f32::from_bits)),
            Self::F64(bits) => Value::Double(bits.map(f64::from_bits)),
            Self::Text(value) => Value::String(value),
            Self::Bytes(value) => Value::Bytes(value.map(|blob| blob.0)),
            Self::Uuid(value) => Value::Uuid(value),
        }
    }

    /// Whether a column of that type takes it.
    pub fn fits(&self, column: &ArrayType) -> bool {
        matches!(
            (self, column),
            (Self::Bool(_), ArrayType::Bool)
                | (Self::I16(_), ArrayType::SmallInt)
                | (Self::I32(_), ArrayType::Int)
                | (Self::I64(_), ArrayType::BigInt)
                | (Self::F32(_), ArrayType::Float)
                | (Self::F64(_), ArrayType::Double)
                | (Self::Text(_), ArrayType::String)
                | (Self::Bytes(_), ArrayType::Bytes)
                | (Self::Uuid(_), ArrayType::Uuid)
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<Option<bool>>().prop_map(Value::Bool),
            any::<Option<i16>>().prop_map(Value::SmallInt),
            any::<Option<i32>>().prop_map(Value::Int),
            any::<Option<i64>>().prop_map(Value::BigInt),
            any::<Option<u32>>().prop_map(|bits| Value::Float(bits.map(f32::from_bits))),
            any::<Option<u64>>().prop_map(|bits| Value::Double(bits.map(f64::from_bits))),
            any::<Option<String>>().prop_map(Value::String),
            any::<Option<Vec<u8>>>().prop_map(Value::Bytes),
            any::<Option<u128>>().prop_map(|id| Value::Uuid(id.map(Uuid::from_u128))),
        ]
    }

    proptest! {
        #[test]
        fn a_value_comes_back_from_its_line(value in value()) {
            let cell = Cell::from_value(value).expect("a type of ours");
            let line = serde_json::to_string(&cell).expect("a line");
            prop_assert!(!line.contains('\n'));
            let read: Cell = serde_json::from_str(&line).expect("a cell");
            prop_assert!(read == cell, "{}", line);
            let again = Cell::from_value(read.into_value()).expect("a type of ours");
            prop_assert!(again == cell, "{}", line);
        }

        #[test]
        fn any_text_is_read_without_a_panic(line in "\\PC*") {
            let _ = serde_json::from_str::<Cell>(&line);
        }
    }

    #[test]
    fn a_type_is_part_of_the_value() {
        let line = serde_json::to_string(&Cell::I16(None)).expect("a line");
        assert_eq!(line, r#"{"i16":null}"#);
        let read: Cell = serde_json::from_str(&line).expect("a cell");
        assert!(read.into_value() == Value::SmallInt(None));
        assert!(serde_json::from_str::<Cell>(r#"{"i16":70000}"#).is_err());
        assert!(serde_json::from_str::<Cell>(r#"{"bytes":"?"}"#).is_err());
        assert!(serde_json::from_str::<Cell>(r#"{"u8":1}"#).is_err());
        assert!(Cell::from_value(Value::TinyInt(Some(1))).is_none());
        assert!(!Cell::I16(None).fits(&ArrayType::Int));
    }
}
