//! Which fields an update changes (AIP-134).

use std::collections::BTreeSet;

use prost_types::FieldMask;

use crate::error::Error;

/// The fields to change, among those that can be.
pub(super) struct Mask(BTreeSet<&'static str>);

impl Mask {
    /// `updatable` tells of each field whether the message sets it, which counts where there is
    /// no mask.
    pub(super) fn of(
        mask: Option<FieldMask>,
        updatable: &[(&'static str, bool)],
    ) -> Result<Self, Error> {
        let given = mask.map(|mask| mask.paths).unwrap_or_default();
        let fault = |detail| Error::InvalidField {
            field: "update_mask",
            detail,
        };
        let fields: BTreeSet<&'static str> = if given.is_empty() {
            let set = updatable.iter().filter(|(_, set)| *set);
            set.map(|(name, _)| *name).collect()
        } else {
            given
                .iter()
                .map(|path| {
                    let field = updatable.iter().find(|(name, _)| name == path);
                    field
                        .map(|(name, _)| *name)
                        .ok_or_else(|| fault("names a field that is absent or never changes"))
                })
                .collect::<Result<_, _>>()?
        };
        if fields.is_empty() {
            return Err(fault("names nothing, and no field is set"));
        }
        Ok(Self(fields))
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.0.contains(field)
    }

    /// The value where the field is to change.
    pub(super) fn take<T>(&self, field: &str, value: T) -> Option<T> {
        self.has(field).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(paths: &[&str], name_is_set: bool) -> Result<Mask, Error> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        Mask::of(
            Some(FieldMask { paths }),
            &[("name", name_is_set), ("external_ids", false)],
        )
    }

    #[test]
    fn a_mask_chooses_and_without_one_what_is_set_does() {
        let both = mask(&["name", "external_ids"], false).expect("a mask");
        assert!(both.has("name") && both.has("external_ids"));
        let one = mask(&["external_ids"], true).expect("a mask");
        assert_eq!(one.take("name", 1), None);
        assert_eq!(one.take("external_ids", 1), Some(1));
        let implied = mask(&[], true).expect("a mask");
        assert!(implied.has("name") && !implied.has("external_ids"));
        for wrong in [
            mask(&["site_id"], true),
            mask(&["*"], true),
            mask(&[], false),
        ] {
            assert!(matches!(
                wrong,
                Err(Error::InvalidField {
                    field: "update_mask",
                    ..
                })
            ));
        }
    }
}
