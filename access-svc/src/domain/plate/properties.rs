use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::string_regex;

use super::forms::{FORMS, Form};
use super::{Plate, PlateError};

/// A canonical plate of a row of the table, and the row.
pub(super) fn valid() -> impl Strategy<Value = (&'static Form, &'static str, String)> {
    select(FORMS.iter().collect::<Vec<_>>()).prop_flat_map(|form| {
        let countries = match form.country {
            "" => vec!["AM", "UZ", "DE", "GE", "TJ"],
            own => vec![own],
        };
        let number = string_regex(&form.pattern()).expect("a form");
        (Just(form), select(countries), number)
    })
}

/// Some other way to write it.
fn variant(country: &'static str, canonical: String) -> impl Strategy<Value = String> {
    let separators = select(vec![
        "", "", " ", "-", "\u{A0}", "\u{2013}", "\u{2212}", "\u{3000}",
    ]);
    let length = canonical.len();
    (
        prop::collection::vec((any::<bool>(), 0..3u8, separators), length),
        select(vec!["", "RUS", " rus", "-Rus", "\u{A0}ＲＵＳ"]),
    )
        .prop_map(move |(how, badge)| {
            let mut written = String::new();
            for (character, (lower, alphabet, separator)) in canonical.chars().zip(how) {
                let character = match alphabet {
                    0 => character,
                    1 => cyrillic(character),
                    _ => full_width(character),
                };
                if lower {
                    written.extend(character.to_lowercase());
                } else {
                    written.push(character);
                }
                written.push_str(separator);
            }
            if country == "RU" {
                written.push_str(badge);
            }
            written
        })
}

fn cyrillic(character: char) -> char {
    "ABEKMHOPCTYX"
        .chars()
        .zip("АВЕКМНОРСТУХ".chars())
        .find_map(|(latin, cyrillic)| (latin == character).then_some(cyrillic))
        .unwrap_or(character)
}

fn full_width(character: char) -> char {
    char::from_u32(character as u32 + 0xFEE0).unwrap_or(character)
}

/// Anything, and much that is nearly a plate.
fn anything() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[A-ZА-Яa-zа-я0-9 \\-]{0,14}",
        "[ABCDEHKMOPTXYKG0-9]{4,10}",
        "\\PC{0,40}",
    ]
}

fn any_country() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec!["", "RU", "ru", "BY", "KZ", "KG", "AM", "DE"]).prop_map(String::from),
        any::<String>(),
    ]
}

/// The fields again; none: not the bytes of a plate.
fn decode(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        let (field, rest) = rest.split_at_checked(length.into())?;
        fields.push(String::from_utf8(field.to_vec()).ok()?);
        bytes = rest;
    }
    Some(fields)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_generated_plate_has_its_type_and_group((form, country, canonical) in valid()) {
        let plate = Plate::parse(&canonical, country).expect("valid");
        prop_assert_eq!(plate.canonical(), canonical);
        prop_assert_eq!(plate.country(), country);
        prop_assert!(plate.types().contains(form.kind));
        // Whichever of its types registered it.
        for kind in plate.types().iter() {
            let row = FORMS.iter().find(|form| form.kind == kind).expect("a row");
            prop_assert_eq!(row.group, plate.group());
        }
    }

    #[test]
    fn every_spelling_is_the_same_plate(
        (country, canonical, written) in valid().prop_flat_map(|(_, country, canonical)| {
            (Just(country), Just(canonical.clone()), variant(country, canonical))
        })
    ) {
        let registered = Plate::parse(&canonical, country).expect("valid");
        let read = Plate::parse(&written, &country.to_lowercase()).expect("a variant");
        prop_assert_eq!(read.canonical(), canonical);
        prop_assert_eq!(read.lookup_bytes(), registered.lookup_bytes());
        prop_assert_eq!(read.group(), registered.group());
        prop_assert_eq!(read.types(), registered.types());
    }

    #[test]
    fn canonical_is_idempotent(written in anything(), country in any_country()) {
        if let Ok(once) = Plate::parse(&written, &country) {
            let twice = Plate::parse(once.canonical(), once.country()).expect("canonical");
            prop_assert_eq!(twice.canonical(), once.canonical());
            prop_assert_eq!(twice.lookup_bytes(), once.lookup_bytes());
            prop_assert!((4..=10).contains(&once.canonical().len()));
        }
    }

    #[test]
    fn a_plate_never_matches_a_longer_one(
        (_, country, canonical) in valid(), more in "[A-Z0-9]{1,3}", before in any::<bool>()
    ) {
        // The badge is no part of the plate.
        prop_assume!(more != "RUS");
        let longer = if before { more + &canonical } else { canonical.clone() + &more };
        let plate = Plate::parse(&canonical, country).expect("valid");
        match Plate::parse(&longer, country) {
            Ok(other) => prop_assert_ne!(other.lookup_bytes(), plate.lookup_bytes()),
            Err(error) => prop_assert_eq!(error, PlateError::UnknownForm),
        }
    }

    #[test]
    fn lookup_bytes_tell_plates_apart(one in valid(), other in valid()) {
        let (_, country, canonical) = one;
        let plate = Plate::parse(&canonical, country).expect("valid");
        let bytes = plate.lookup_bytes();
        // They can be read back, so no two plates share them.
        let expected = vec!["plate/1".to_owned(), country.to_owned(), canonical.clone()];
        prop_assert_eq!(decode(&bytes), Some(expected));
        // Nothing was copied to grow.
        prop_assert_eq!(bytes.len(), bytes.capacity());
        let second = Plate::parse(&other.2, other.1).expect("valid");
        prop_assert_eq!(
            second.lookup_bytes() == bytes,
            (other.1, other.2) == (country, canonical)
        );
    }

    #[test]
    fn one_character_more_or_less_alike_is_another_plate(
        (_, country, canonical) in valid(), at in any::<prop::sample::Index>(), by in "[A-Z0-9]"
    ) {
        let at = at.index(canonical.len());
        let mut other = canonical.clone();
        other.replace_range(at..=at, &by);
        prop_assume!(other != canonical);
        let plate = Plate::parse(&canonical, country).expect("valid");
        if let Ok(other) = Plate::parse(&other, country) {
            prop_assert_ne!(other.lookup_bytes(), plate.lookup_bytes());
        }
    }

    #[test]
    fn arbitrary_text_is_an_answer(number in anything(), country in any_country()) {
        let _ = Plate::parse(&number, &country);
    }

    #[test]
    fn errors_and_debug_never_tell(number in anything(), (_, country, canonical) in valid()) {
        for written in [number, canonical] {
            let (shown, fixed) = match Plate::parse(&written, country) {
                Ok(plate) => (format!("{plate:?}"), format!("Plate({country}, redacted)")),
                Err(error) => (format!("{error} {error:?}"), of_errors(error)),
            };
            // The same words whatever the plate is.
            prop_assert_eq!(&shown, &fixed);
            // Without a digit it may be a word of the message itself.
            if written.chars().count() >= 4 && written.contains(|c: char| c.is_ascii_digit()) {
                prop_assert!(!shown.contains(&written));
            }
        }
    }
}

/// Written out, so that an error that gains a field fails here.
fn of_errors(error: PlateError) -> String {
    match error {
        PlateError::Empty => "the plate is empty Empty",
        PlateError::TooLong => "the plate is too long TooLong",
        PlateError::UnsupportedCharacter => {
            "the plate has an unsupported character UnsupportedCharacter"
        }
        PlateError::UnknownForm => "the plate has no form known for its country UnknownForm",
        PlateError::BadCountry => {
            "the country of the plate is not an ISO 3166 alpha-2 code BadCountry"
        }
    }
    .to_owned()
}
