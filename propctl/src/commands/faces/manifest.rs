//! The lines of a manifest, each a face.

use std::collections::HashMap;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    csv_file::{Column, Fault, Record},
    error::Failure,
    moment,
    npy_rows::NpyRows,
    vector_file,
};

pub(super) const COLUMNS: &[Column] = &[
    Column {
        name: "resident",
        required: true,
    },
    Column {
        name: "consent_reference",
        required: true,
    },
    Column {
        name: "consented_at",
        required: true,
    },
    Column {
        name: "vector",
        required: false,
    },
];

/// A line that has passed every look.
pub(super) struct Face<'r> {
    pub(super) record: &'r Record,
    /// Which row of the vectors' file.
    pub(super) row: usize,
    pub(super) resident: Uuid,
    pub(super) template: Uuid,
    pub(super) consented_at: prost_types::Timestamp,
}

pub(super) enum Vectors {
    Manifest,
    File(NpyRows),
}

impl Vectors {
    pub(super) fn of(
        &mut self,
        record: &Record,
        row: usize,
    ) -> Result<Result<Values, String>, Failure> {
        match self {
            Self::Manifest => Ok(parse_vector(record.text("vector"))),
            Self::File(rows) => rows.read(row),
        }
    }
}

pub(super) type Values = Zeroizing<Vec<u8>>;

pub(super) fn face<'r>(
    record: &'r Record,
    row: usize,
    resident: Option<Uuid>,
    ordinals: &mut HashMap<Uuid, u32>,
    faults: &mut Vec<Fault>,
) -> Option<Face<'r>> {
    let mut fault = |column, detail: String| faults.push(Fault::new(record.line, column, detail));
    if resident.is_none() {
        fault("resident", "names nobody who is registered".into());
    }
    let reference = record.text("consent_reference").chars().count();
    if !(1..=200).contains(&reference) {
        fault("consent_reference", "must be 1 to 200 characters".into());
    }
    let consented_at = match moment::parse_begin(record.text("consented_at")) {
        Ok(time) => Some(moment::to_proto(time)),
        Err(detail) => {
            fault("consented_at", format!("is {detail}"));
            None
        }
    };
    let (resident, consented_at) = (resident?, consented_at?);
    let ordinal = ordinals.entry(resident).or_default();
    *ordinal += 1;
    Some(Face {
        record,
        row,
        resident,
        template: template(resident, *ordinal),
        consented_at,
    })
}

/// UUIDv5: the same line of the same file again replaces what it had enrolled.
fn template(resident: Uuid, ordinal: u32) -> Uuid {
    let mut name = resident.as_bytes().to_vec();
    name.extend_from_slice(ordinal.to_string().as_bytes());
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &name);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    uuid::Builder::from_sha1_bytes(bytes).into_uuid()
}

fn parse_vector(text: &str) -> Result<Values, String> {
    let mut values = Zeroizing::new(Vec::new());
    for (position, number) in text.split_ascii_whitespace().enumerate() {
        let number: f32 = number
            .parse()
            .map_err(|_| format!("component {position} is no number"))?;
        values.push(number);
    }
    vector_file::to_bytes(&values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv_file;

    #[test]
    fn vectors_are_numbers_between_spaces() {
        let read = parse_vector(" 0.5 -1  2e-3 ").expect("a vector");
        let floats: Vec<f32> = read
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes(four.try_into().expect("four")))
            .collect();
        assert_eq!(floats, [0.5, -1.0, 0.002]);
        for (text, word) in [
            ("", "empty"),
            ("1 marked", "component 1"),
            ("NaN 1", "component 0"),
            ("0 0", "zeros"),
        ] {
            let fault = parse_vector(text).expect_err(word);
            assert!(fault.contains(word), "{fault}");
            assert!(!fault.contains("marked"), "{fault}");
        }
    }

    #[test]
    fn a_template_is_named_by_its_resident_and_place() {
        let (anna, boris) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(template(anna, 1), template(anna, 1));
        assert_ne!(template(anna, 1), template(anna, 2));
        assert_ne!(template(anna, 1), template(boris, 1));
        assert_eq!(template(anna, 1).get_version_num(), 5);
    }

    #[test]
    fn every_fault_of_a_line_is_told() {
        let text = "resident,consent_reference,consented_at\nx,,soon\n";
        let parsed = csv_file::parse(text.as_bytes(), COLUMNS);
        let mut faults = Vec::new();
        let none = face(&parsed.good[0], 0, None, &mut HashMap::new(), &mut faults);
        assert!(none.is_none());
        let columns: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(columns, ["resident", "consent_reference", "consented_at"]);
    }
}
