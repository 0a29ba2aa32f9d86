//! Other systems' names of what is registered here.

use std::{collections::BTreeMap, fmt};

use mesh::Caller;

use crate::error::Error;

/// What can have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Object {
    Site,
    Building,
    Entrance,
    Device,
    DeviceGroup,
    Household,
    Resident,
    Holding,
    Grant,
}

impl Object {
    /// As the database holds it.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Site => 1,
            Self::Building => 2,
            Self::Entrance => 3,
            Self::Device => 4,
            Self::DeviceGroup => 5,
            Self::Household => 6,
            Self::Resident => 7,
            Self::Holding => 8,
            Self::Grant => 9,
        }
    }
}

/// Another system's name of one object.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ExternalId {
    pub(crate) system: String,
    pub(crate) id: String,
}

/// An id may lead to a person.
impl fmt::Debug for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalId")
            .field("system", &self.system)
            .finish_non_exhaustive()
    }
}

impl ExternalId {
    pub(crate) fn new(system: String, id: String) -> Result<Self, Error> {
        let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=64).contains(&system.len()) || !system.bytes().all(in_name) {
            return Err(Error::InvalidField {
                field: "external_id.system",
                detail: "must be 1 to 64 of [a-z0-9-]",
            });
        }
        let in_id = |b: u8| b.is_ascii_alphanumeric() || b"._:/-".contains(&b);
        if !(1..=128).contains(&id.len()) || !id.bytes().all(in_id) {
            return Err(Error::InvalidField {
                field: "external_id.id",
                detail: "must be 1 to 128 of [A-Za-z0-9._:/-]",
            });
        }
        Ok(Self { system, id })
    }
}

/// Those of one object, by system.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct ExternalIds(BTreeMap<String, String>);

impl fmt::Debug for ExternalIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Most systems that know one object.
const MOST: usize = 16;

impl ExternalIds {
    pub(crate) fn new(ids: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let ids = ids
            .into_iter()
            .map(|(system, id)| ExternalId::new(system, id).map(|one| (one.system, one.id)))
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        if ids.len() > MOST {
            return Err(Error::InvalidField {
                field: "external_ids",
                detail: "are of at most 16 systems",
            });
        }
        Ok(Self(ids))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn insert(&mut self, one: ExternalId) {
        self.0.insert(one.system, one.id);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = ExternalId> {
        self.0.iter().map(|(system, id)| ExternalId {
            system: system.clone(),
            id: id.clone(),
        })
    }

    pub(crate) fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }

    /// What an object has once `given` takes the place of these: a system of the operator's own
    /// speaks for itself alone.
    pub(crate) fn replaced(self, given: Self, by: &Caller) -> Result<Self, Error> {
        let Caller::System { name, .. } = by else {
            return Ok(given);
        };
        let others = |ids: &Self| {
            let mut others = ids.0.clone();
            others.remove(name);
            others
        };
        let mut after = others(&self);
        let foreign = others(&given);
        // Those of others, told back as they were read, change nothing.
        if !foreign.is_empty() && foreign != after {
            return Err(Error::InvalidField {
                field: "external_ids",
                detail: "of other systems are theirs to change",
            });
        }
        if let Some(own) = given.0.get(name) {
            after.insert(name.clone(), own.clone());
        }
        Ok(Self(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(all: &[(&str, &str)]) -> ExternalIds {
        let owned = |(system, id): &(&str, &str)| ((*system).to_owned(), (*id).to_owned());
        ExternalIds::new(all.iter().map(owned)).expect("ids")
    }

    fn caller(text: &str) -> Caller {
        text.parse().expect("an identity")
    }

    #[test]
    fn a_system_changes_its_own_ids_alone() {
        let there = ids(&[("a", "1"), ("b", "2")]);
        let registry = caller("system/registry/a");
        let replaced = |given: &[(&str, &str)], by| there.clone().replaced(ids(given), by);
        let after = replaced(&[("a", "9")], &registry).expect("its own");
        assert_eq!(after, ids(&[("a", "9"), ("b", "2")]));
        let after = replaced(&[("a", "9"), ("b", "2")], &registry).expect("told back");
        assert_eq!(after, ids(&[("a", "9"), ("b", "2")]));
        let after = replaced(&[], &registry).expect("taken away");
        assert_eq!(after, ids(&[("b", "2")]));
        assert!(replaced(&[("b", "3")], &registry).is_err());
        assert!(replaced(&[("a", "1"), ("c", "3")], &registry).is_err());
        let after = replaced(&[("b", "3")], &caller("operator/operator/x"));
        assert_eq!(after.expect("anything"), ids(&[("b", "3")]));
    }

    #[test]
    fn what_is_no_id_is_refused_and_none_is_shown() {
        let new = |system: &str, id: &str| ExternalId::new(system.into(), id.into());
        assert!(new("billing-1c", "LS/00-12.3:4").is_ok());
        for (system, id) in [("", "1"), ("Big", "1"), ("a", ""), ("a", "x y"), ("a", "ы")] {
            assert!(new(system, id).is_err(), "{system:?} {id:?}");
        }
        let shown = format!("{:?} {:?}", new("a", "marked"), ids(&[("a", "marked")]));
        assert!(!shown.contains("marked"), "{shown}");
    }
}
