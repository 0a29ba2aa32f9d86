//! How commands name what is registered, and say what is to change of it: other systems' ids,
//! the state that was read, the fields.

use std::collections::HashMap;

use clap::Args;
use propdev_proto::access::ExternalId;
use prost_types::FieldMask;

use crate::error::Failure;

/// Ids that a new object has in other systems.
#[derive(Args)]
pub(crate) struct ExternalIds {
    /// Its id in another system, as SYSTEM=ID; may be repeated
    #[arg(long = "external-id", value_name = "SYSTEM=ID", value_parser = parse_external_id)]
    external_ids: Vec<(String, String)>,
}

impl ExternalIds {
    pub(crate) fn into_map(self) -> HashMap<String, String> {
        self.external_ids.into_iter().collect()
    }
}

#[derive(Args)]
pub(crate) struct ChangedExternalIds {
    /// In place of all its ids in other systems, as SYSTEM=ID; may be repeated
    #[arg(long = "external-id", value_name = "SYSTEM=ID", value_parser = parse_external_id)]
    external_ids: Vec<(String, String)>,
    /// Take all its ids in other systems away
    #[arg(long, conflicts_with = "external_ids")]
    no_external_ids: bool,
}

impl ChangedExternalIds {
    pub(crate) fn changed(self) -> Option<HashMap<String, String>> {
        let given = !self.external_ids.is_empty() || self.no_external_ids;
        given.then(|| self.external_ids.into_iter().collect())
    }
}

/// The state from which on something is changed.
#[derive(Args)]
pub(crate) struct Etag {
    /// Only if it is still as it was read: the etag that get or list told
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) etag: String,
}

/// By our id, or by another system's as SYSTEM=ID.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) external_id: Option<ExternalId>,
}

pub(crate) fn parse_named(text: &str) -> Result<Named, String> {
    if text.contains('=') {
        let (system, id) = parse_external_id(text)?;
        return Ok(Named {
            id: String::new(),
            external_id: Some(ExternalId { system, id }),
        });
    }
    Ok(Named {
        id: text.to_owned(),
        external_id: None,
    })
}

fn parse_external_id(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((system, id)) if !system.is_empty() && !id.is_empty() => {
            Ok((system.to_owned(), id.to_owned()))
        }
        _ => Err("not SYSTEM=ID such as billing-1c=LS-12".into()),
    }
}

/// Fields of an update, as they are named in the mask.
#[derive(Default)]
pub(crate) struct Changes(Vec<String>);

impl Changes {
    /// The value for the message; a field without one is not changed.
    pub(crate) fn take<T: Default>(&mut self, field: &str, value: Option<T>) -> T {
        if value.is_some() {
            self.0.push(field.to_owned());
        }
        value.unwrap_or_default()
    }

    pub(crate) fn mask(self) -> Result<Option<FieldMask>, Failure> {
        if self.0.is_empty() {
            return Err(Failure::Usage("say what is to change; see --help".into()));
        }
        Ok(Some(FieldMask { paths: self.0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_named_by_either_id() {
        let ours = parse_named("5b0e").expect("an id");
        assert_eq!((ours.id.as_str(), ours.external_id), ("5b0e", None));
        let theirs = parse_named("billing-1c=LS/12").expect("an id");
        let id = theirs.external_id.expect("an external id");
        assert_eq!(
            (id.system.as_str(), id.id.as_str()),
            ("billing-1c", "LS/12")
        );
        assert_eq!(theirs.id, "");
        for wrong in ["=1", "billing=", "="] {
            assert!(parse_named(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_is_given_is_in_the_mask() {
        let mut changes = Changes::default();
        assert_eq!(changes.take("name", Some("North".to_owned())), "North");
        assert_eq!(changes.take::<String>("unit", None), "");
        let mask = changes.mask().expect("a mask").expect("a mask");
        assert_eq!(mask.paths, ["name"]);
        assert!(Changes::default().mask().is_err());
    }
}
