//! Plates that a camera may take for one another: one character apart. They
//! are told to whoever looks into the audit log, and open nothing.

use zeroize::Zeroizing;

use super::{Plate, forms};

const CHARACTERS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// Characters that are read for one another.
const ALIKE: [&str; 13] = [
    "0O", "0D", "0Q", "1I", "1L", "1T", "17", "2Z", "4A", "5S", "6G", "8B", "HM",
];

/// How a plate that was read differs from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// A character looks like the other's.
    Confused,
    /// A character is another.
    Substituted,
    /// It has a character too many.
    Inserted,
    /// It lacks a character.
    Omitted,
}

impl Difference {
    /// As the audit log calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Confused => "confused",
            Self::Substituted => "substituted",
            Self::Inserted => "inserted",
            Self::Omitted => "omitted",
        }
    }
}

impl Plate {
    /// Every other plate of the country that is one character away, each once,
    /// and how this one differs from it. A few hundred at most.
    pub(crate) fn near(&self) -> Vec<(Self, Difference)> {
        let read = self.canonical.as_str();
        let mut near = Vec::new();
        let mut add = |parts: [&str; 3], difference| {
            near.extend(self.of_parts(parts).map(|plate| (plate, difference)));
        };
        for at in 0..read.len() {
            let (before, own, after) = (&read[..at], &read[at..=at], &read[at + 1..]);
            // Of a run it does not matter which is left out.
            if !before.ends_with(own) {
                add([before, "", after], Difference::Inserted);
            }
            for other in characters().filter(|other| *other != own) {
                let difference = if are_alike(own, other) {
                    Difference::Confused
                } else {
                    Difference::Substituted
                };
                add([before, other, after], difference);
            }
        }
        for at in 0..=read.len() {
            let (before, after) = read.split_at(at);
            // In a run it does not matter where one is added.
            for more in characters().filter(|more| !before.ends_with(*more)) {
                add([before, more, after], Difference::Omitted);
            }
        }
        near
    }

    /// None for what has no form of the country.
    fn of_parts(&self, parts: [&str; 3]) -> Option<Self> {
        // The exact size: growing would leave a copy behind that is not wiped.
        let size = parts.iter().map(|part| part.len()).sum();
        let mut canonical = Zeroizing::new(String::with_capacity(size));
        for part in parts {
            canonical.push_str(part);
        }
        let types = forms::types_of(self.country, &canonical);
        (!types.is_empty()).then_some(Self {
            country: self.country,
            canonical,
            types,
        })
    }
}

fn characters() -> impl Iterator<Item = &'static str> {
    (0..CHARACTERS.len()).map(|at| &CHARACTERS[at..=at])
}

fn are_alike(one: &str, other: &str) -> bool {
    ALIKE
        .iter()
        .any(|pair| pair.contains(one) && pair.contains(other))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::plate::properties::valid;

    fn plate(number: &str, country: &str) -> Plate {
        Plate::parse(number, country).expect("a plate")
    }

    fn difference(read: &Plate, registered: &Plate) -> Option<Difference> {
        let near = read.near();
        let found = near
            .iter()
            .find(|(plate, _)| plate.canonical() == registered.canonical());
        found.map(|(_, difference)| *difference)
    }

    #[test]
    fn what_cameras_take_for_one_another_is_near() {
        for (read, registered, country, wanted) in [
            ("A123BC777", "A123BC77", "RU", Some(Difference::Inserted)),
            ("A123BC77", "A123BC777", "RU", Some(Difference::Omitted)),
            ("A123BC71", "A123BC77", "RU", Some(Difference::Confused)),
            ("A123BM77", "A123BH77", "RU", Some(Difference::Confused)),
            ("A124BC77", "A123BC77", "RU", Some(Difference::Substituted)),
            ("AB0123", "ABO123", "DE", Some(Difference::Confused)),
            ("AB8123", "ABB123", "DE", Some(Difference::Confused)),
            ("A132BC77", "A123BC77", "RU", None),
            ("A123BC77", "A123BC7", "DE", Some(Difference::Inserted)),
        ] {
            let (read, registered) = (plate(read, country), plate(registered, country));
            assert_eq!(difference(&read, &registered), wanted);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn near_plates_are_plates_each_once_and_never_itself((_, country, canonical) in valid()) {
            let read = plate(&canonical, country);
            let near = read.near();
            prop_assert!(near.len() <= 700, "{}", near.len());
            let mut seen = HashSet::from([canonical]);
            for (other, _) in &near {
                prop_assert_eq!(other.country(), country);
                let again = plate(other.canonical(), country);
                prop_assert_eq!(again.canonical(), other.canonical());
                prop_assert_eq!(again.types(), other.types());
                prop_assert!(seen.insert(other.canonical().to_owned()));
                prop_assert_eq!(other.canonical.len(), other.canonical.capacity());
            }
        }

        #[test]
        fn who_is_near_is_near_from_there(
            (_, country, canonical) in valid(), which in any::<prop::sample::Index>()
        ) {
            let read = plate(&canonical, country);
            let near = read.near();
            prop_assume!(!near.is_empty());
            let (other, there) = &near[which.index(near.len())];
            let back = match there {
                Difference::Inserted => Difference::Omitted,
                Difference::Omitted => Difference::Inserted,
                same => *same,
            };
            prop_assert_eq!(difference(other, &read), Some(back));
        }
    }
}
