//! JSON as the edge takes it: no member twice, objects only where objects are
//! meant. serde's derived structs would take an array for an object, and
//! `serde_json::Value` would keep the last of two members and say nothing.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// May hold a face, a plate or a secret: without `Debug`.
pub(crate) enum Json {
    Null,
    Bool,
    Number(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Object),
}

pub(crate) struct Object(Vec<(String, Json)>);

impl Json {
    /// The fault says what is wrong and repeats nothing of the text.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        serde_json::from_slice(bytes).map_err(|error| {
            if error.to_string().starts_with(REPEATED) {
                "The body names a member twice."
            } else {
                "The body is not JSON."
            }
        })
    }
}

const REPEATED: &str = "repeated member";

impl Object {
    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.swap_remove(at).1)
    }

    pub(crate) fn has_other_than(&self, names: &[&str]) -> bool {
        self.0.iter().any(|(key, _)| !names.contains(&key.as_str()))
    }

    /// A text, or none when the member is absent. `path` names it in the fault.
    pub(crate) fn text(&mut self, name: &str, path: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Text(text)) if text.contains('\0') => {
                Err(format!("{path} holds a zero character."))
            }
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{path} is not a string.")),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, Json>()? {
            if !names.insert(key.clone()) {
                return Err(A::Error::custom(REPEATED));
            }
            members.push((key, value));
        }
        Ok(Json::Object(Object(members)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn faults_are_told_apart_and_repeat_nothing() {
        assert_eq!(
            Json::parse(br#"{"a":1,"a":2}"#).err(),
            Some("The body names a member twice.")
        );
        assert_eq!(
            Json::parse(br#"{"b":{"a":1,"a":2}}"#).err(),
            Some("The body names a member twice.")
        );
        for bad in [
            &b"{"[..],
            b"",
            b"{\"a\":NaN}",
            b"{\"a\":1e999}",
            b"\"\xff\"",
            b"{} {}",
        ] {
            assert_eq!(Json::parse(bad).err(), Some("The body is not JSON."));
        }
        let deep = "[".repeat(100_000);
        assert!(Json::parse(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Json::parse(&bytes);
        }
    }
}
