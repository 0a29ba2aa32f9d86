//! Vehicle plates: one canonical string for every way to write a plate.
//!
//! Two plates are the same if and only if their [`Plate::lookup_bytes`] are.
//! Nothing here guesses: `0` and `O` stay apart, no part of a plate matches
//! another, and there is no distance between plates. What is nearly a plate is
//! no more than a hint in the audit log.

mod country;
mod forms;
mod near;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

pub use forms::{PlateGroup, PlateType, TypeSet};
pub(crate) use near::Difference;

/// The most characters that [`Plate::parse`] looks at, as they were written.
pub const MAX_CHARS: usize = 32;

const DEFAULT_COUNTRY: &str = "RU";

/// Set before the fields that are hashed, so that the bytes of a plate are
/// never those of something else under the same key.
const LOOKUP_LABEL: &str = "plate/1";

/// Why a plate was refused. Carries nothing of what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlateError {
    /// Nothing is left without spaces and hyphens.
    #[error("the plate is empty")]
    Empty,
    /// Longer than [`MAX_CHARS`], as written or as normalised.
    #[error("the plate is too long")]
    TooLong,
    /// Neither A to Z, 0 to 9, a Cyrillic look-alike, a space nor a hyphen.
    #[error("the plate has an unsupported character")]
    UnsupportedCharacter,
    /// The country has no plates of this form.
    #[error("the plate has no form known for its country")]
    UnknownForm,
    /// Not an officially assigned ISO 3166-1 alpha-2 code.
    #[error("the country of the plate is not an ISO 3166 alpha-2 code")]
    BadCountry,
}

/// A plate in canonical form.
///
/// Personal data: it has no `Display` and no `Serialize`, its `Debug` shows the
/// country alone, and its string is wiped when dropped. It has no `PartialEq`
/// either: plates are compared by the keyed hash of [`Plate::lookup_bytes`].
#[derive(Clone)]
pub struct Plate {
    country: &'static str,
    canonical: Zeroizing<String>,
    types: TypeSet,
}

impl Plate {
    /// Reads a plate as a person or a camera wrote it.
    ///
    /// The canonical form is Unicode NFKC in upper case, without spaces and
    /// hyphens, the Cyrillic `АВЕКМНОРСТУХ` written as Latin `ABEKMHOPCTYX`;
    /// of a Russian plate a trailing `RUS` is dropped. It has one of the forms
    /// of its country: see [`PlateType`].
    ///
    /// `country` is ISO 3166 alpha-2 in either case; empty means `RU`.
    ///
    /// # Errors
    ///
    /// See [`PlateError`]: one for each way to be wrong.
    pub fn parse(number: &str, country: &str) -> Result<Self, PlateError> {
        if number.chars().nth(MAX_CHARS).is_some() {
            return Err(PlateError::TooLong);
        }
        let country = match country {
            "" => DEFAULT_COUNTRY,
            code => country::find(code).ok_or(PlateError::BadCountry)?,
        };
        let canonical = canonicalise(number, country)?;
        if canonical.is_empty() {
            return Err(PlateError::Empty);
        }
        let types = forms::types_of(country, &canonical);
        if types.is_empty() {
            return Err(PlateError::UnknownForm);
        }
        Ok(Self {
            country,
            canonical,
            types,
        })
    }

    /// What a canonical string is in each country that has plates of its form.
    pub(crate) fn in_any_country(canonical: &str) -> impl Iterator<Item = Self> {
        country::all().filter_map(move |code| Self::parse(canonical, code).ok())
    }

    /// ISO 3166 alpha-2, upper case.
    #[must_use]
    pub fn country(&self) -> &'static str {
        self.country
    }

    /// The canonical string: ASCII, 4 to 10 of `A` to `Z` and `0` to `9`.
    ///
    /// Personal data: never logged, and stored encrypted or hashed only.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Every type whose form the plate has; at least one.
    #[must_use]
    pub fn types(&self) -> TypeSet {
        self.types
    }

    /// The group to register the plate under.
    ///
    /// A camera tells no type, and some strings belong to two: `AB123477` is
    /// the trailer `AB 1234` of region 77 and the taxi `AB 123` of region 477.
    /// So nobody chooses a type. Types whose forms overlap share one group,
    /// hence all types of a plate are of the same group, and the group follows
    /// from country and string alone. A reading and the registration of the
    /// same string therefore always agree.
    #[must_use]
    pub fn group(&self) -> PlateGroup {
        self.types.group()
    }

    /// What a keyed hash is taken of, to register and to find the plate.
    ///
    /// A label, the country and the canonical string, each behind its length
    /// in one byte: different plates have different bytes. The group is left
    /// out. It would add nothing, as it follows from the other two, and a later
    /// change of the table of forms would move plates that are registered.
    #[must_use]
    pub fn lookup_bytes(&self) -> Zeroizing<Vec<u8>> {
        let fields = [LOOKUP_LABEL, self.country, self.canonical.as_str()];
        // The exact size: growing would leave a copy behind that is not wiped.
        let size = fields.iter().map(|field| 1 + field.len()).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        for field in fields {
            // No field is longer than `MAX_CHARS`.
            bytes.push(field.len() as u8);
            bytes.extend_from_slice(field.as_bytes());
        }
        bytes
    }
}

impl fmt::Debug for Plate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plate({}, redacted)", self.country)
    }
}

fn canonicalise(number: &str, country: &str) -> Result<Zeroizing<String>, PlateError> {
    // Never grows beyond its capacity, so that no copy stays behind unwiped.
    let mut canonical = Zeroizing::new(String::with_capacity(MAX_CHARS));
    for character in number.nfkc().flat_map(char::to_uppercase) {
        if is_space(character) || is_dash(character) {
            continue;
        }
        let character = latin(character);
        if !character.is_ascii_uppercase() && !character.is_ascii_digit() {
            return Err(PlateError::UnsupportedCharacter);
        }
        // One character may normalise to many.
        if canonical.len() == MAX_CHARS {
            return Err(PlateError::TooLong);
        }
        canonical.push(character);
    }
    if country == "RU" && canonical.ends_with("RUS") {
        // No Russian form ends in letters: this is the badge under the region.
        let length = canonical.len() - "RUS".len();
        canonical.truncate(length);
    }
    Ok(canonical)
}

/// The Latin letter that looks like the Cyrillic one: the twelve letters that
/// Russian plates use (GOST R 50577), and no other.
fn latin(character: char) -> char {
    match character {
        'А' => 'A',
        'В' => 'B',
        'Е' => 'E',
        'К' => 'K',
        'М' => 'M',
        'Н' => 'H',
        'О' => 'O',
        'Р' => 'P',
        'С' => 'C',
        'Т' => 'T',
        'У' => 'Y',
        'Х' => 'X',
        other => other,
    }
}

/// White space, and the spaces of no width that come along with pasted text.
fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{200B}' | '\u{2060}' | '\u{FEFF}')
}

/// The characters with the Unicode property Dash (those that NFKC leaves),
/// the soft hyphen and the hyphen bullet.
fn is_dash(character: char) -> bool {
    matches!(
        character,
        '-' | '\u{AD}' | '\u{58A}' | '\u{5BE}' | '\u{1400}' | '\u{1806}' | '\u{2010}'
            ..='\u{2015}'
                | '\u{2043}'
                | '\u{2053}'
                | '\u{2212}'
                | '\u{2E17}'
                | '\u{2E1A}'
                | '\u{2E3A}'
                | '\u{2E3B}'
                | '\u{2E40}'
                | '\u{2E5D}'
                | '\u{301C}'
                | '\u{3030}'
                | '\u{30A0}'
                | '\u{10D6E}'
                | '\u{10EAD}'
    )
}
