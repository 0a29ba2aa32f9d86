//! The forms that plates have, by country.

use std::{fmt, sync::LazyLock};

use regex::RegexSet;

/// The form of a plate. One form may serve several official types.
///
/// In the shapes `L` is one of `ABEKMHOPCTYX`, `R` a region of two digits
/// (`01` to `99`) or three (`100` to `999`), `9` a digit and `A` a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlateType {
    /// `L999LLR`: car, types 1 and 1A. GOST R 50577-2018.
    RuCar,
    /// `LL999R`: taxi or bus, type 1B. GOST R 50577-93, amendment 4.
    RuTaxiBus,
    /// `LL9999R`: trailer, types 2, 4A and 6 (military). Public parsers.
    RuTrailer,
    /// `9999LLR`: tractor (3), motorcycle (4), military (5, 7, 8). Public
    /// parsers and the text of the law.
    RuTractorMotorcycleMilitary,
    /// `LL99LLR`: moped, type 4B. The press and public parsers.
    RuMoped,
    /// `999CD9R`: head of a mission, type 9. Order 766 of the MVD.
    RuHeadOfMission,
    /// `999D999R`, `999T999R`, where `D` and `T` are themselves: diplomatic,
    /// type 10. Order 766 of the MVD.
    RuDiplomatic,
    /// `CD99999R`, `D99999R`, `T99999R`: diplomatic motorcycle, type 11.
    /// Order 766 of the MVD; weakly attested.
    RuDiplomaticMotorcycle,
    /// `L9999R`: police, type 20. An encyclopaedia.
    RuPolice,
    /// `LL999LR`: in transit. Unverified.
    RuTransit,
    /// `TLL999R`: leaving the country for good. Unverified.
    RuLeaving,
    /// `999LR`: trailer of the police. Unverified.
    RuPoliceTrailer,
    /// `9999LR`: motorcycle of the police. Unverified.
    RuPoliceMotorcycle,
    /// `9999AA9`, letters of `ABEIKMHOPCTX`, last digit `0` to `7`: Belarusian
    /// car. The press, OpenALPR.
    ByCar,
    /// `AA99999`, letters and last digit as of a car: Belarusian truck. The
    /// press, OpenALPR.
    ByTruck,
    /// `999AA99`, `999AAA99`, region `01` to `20`: Kazakh. An encyclopaedia.
    KzNew,
    /// `A999AA`, `A999AAA`: Kazakh, the old form. An encyclopaedia.
    KzOld,
    /// `99999AA`, `99999AAA`, or with `KG` after two digits: Kyrgyz. An
    /// encyclopaedia.
    KgNew,
    /// `A9999A`, `A9999AA`: Kyrgyz, the old form. An encyclopaedia.
    KgOld,
    /// 4 to 10 letters and digits: any other country. Its forms are not known
    /// here, so that the string counts as a whole.
    Other,
}

/// The types that cannot be told apart by their strings alone, as one.
///
/// [`PlateGroup::as_str`] is stored: a name never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlateGroup {
    RuCar,
    RuTaxiBusTrailer,
    RuTractorMotorcycleMilitary,
    RuMoped,
    RuHeadOfMission,
    RuDiplomatic,
    RuPoliceDiplomaticMotorcycle,
    RuTransit,
    RuLeaving,
    RuPoliceTrailer,
    RuPoliceMotorcycle,
    ByCar,
    ByTruck,
    KzNew,
    KzOld,
    KgNew,
    KgOld,
    Other,
}

impl PlateGroup {
    /// A stable name: lower case and hyphens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RuCar => "ru-car",
            Self::RuTaxiBusTrailer => "ru-taxi-bus-trailer",
            Self::RuTractorMotorcycleMilitary => "ru-tractor-motorcycle-military",
            Self::RuMoped => "ru-moped",
            Self::RuHeadOfMission => "ru-head-of-mission",
            Self::RuDiplomatic => "ru-diplomatic",
            Self::RuPoliceDiplomaticMotorcycle => "ru-police-diplomatic-motorcycle",
            Self::RuTransit => "ru-transit",
            Self::RuLeaving => "ru-leaving",
            Self::RuPoliceTrailer => "ru-police-trailer",
            Self::RuPoliceMotorcycle => "ru-police-motorcycle",
            Self::ByCar => "by-car",
            Self::ByTruck => "by-truck",
            Self::KzNew => "kz-new",
            Self::KzOld => "kz-old",
            Self::KgNew => "kg-new",
            Self::KgOld => "kg-old",
            Self::Other => "other",
        }
    }
}

/// The types that a plate may be of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TypeSet(u32);

impl TypeSet {
    const EMPTY: Self = Self(0);

    fn with(self, kind: PlateType) -> Self {
        Self(self.0 | 1 << kind as u32)
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::EMPTY
    }

    /// Whether the plate may be of this type.
    #[must_use]
    pub fn contains(self, kind: PlateType) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    /// The types in the order of [`PlateType`].
    pub fn iter(self) -> impl Iterator<Item = PlateType> {
        self.forms().map(|form| form.kind)
    }

    fn forms(self) -> impl Iterator<Item = &'static Form> {
        FORMS.iter().filter(move |form| self.contains(form.kind))
    }

    pub(super) fn group(self) -> PlateGroup {
        // The types of one plate share their group: the tests hold it so.
        self.forms()
            .next()
            .map_or(PlateGroup::Other, |form| form.group)
    }
}

impl fmt::Debug for TypeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[derive(Debug)]
pub(super) struct Form {
    /// Empty: every country that has no form of its own.
    pub(super) country: &'static str,
    pub(super) kind: PlateType,
    pub(super) group: PlateGroup,
    /// A regular expression of the whole string, where `L` and `R` stand for
    /// the letters and the region of a Russian plate.
    shape: &'static str,
}

impl Form {
    pub(super) fn pattern(&self) -> String {
        self.shape
            .replace('L', "[ABEKMHOPCTYX]")
            .replace('R', "(?:0[1-9]|[1-9][0-9]|[1-9][0-9]{2})")
    }
}

const fn form(
    country: &'static str,
    kind: PlateType,
    group: PlateGroup,
    shape: &'static str,
) -> Form {
    Form {
        country,
        kind,
        group,
        shape,
    }
}

#[rustfmt::skip]
pub(super) static FORMS: [Form; 20] = {
    use {PlateGroup as G, PlateType as T};
    [
        form("RU", T::RuCar, G::RuCar, "L[0-9]{3}LLR"),
        form("RU", T::RuTaxiBus, G::RuTaxiBusTrailer, "LL[0-9]{3}R"),
        form("RU", T::RuTrailer, G::RuTaxiBusTrailer, "LL[0-9]{4}R"),
        form("RU", T::RuTractorMotorcycleMilitary, G::RuTractorMotorcycleMilitary, "[0-9]{4}LLR"),
        form("RU", T::RuMoped, G::RuMoped, "LL[0-9]{2}LLR"),
        form("RU", T::RuHeadOfMission, G::RuHeadOfMission, "[0-9]{3}CD[0-9]R"),
        form("RU", T::RuDiplomatic, G::RuDiplomatic, "[0-9]{3}[DT][0-9]{3}R"),
        form("RU", T::RuDiplomaticMotorcycle, G::RuPoliceDiplomaticMotorcycle, "(?:CD|D|T)[0-9]{5}R"),
        form("RU", T::RuPolice, G::RuPoliceDiplomaticMotorcycle, "L[0-9]{4}R"),
        form("RU", T::RuTransit, G::RuTransit, "LL[0-9]{3}LR"),
        form("RU", T::RuLeaving, G::RuLeaving, "TLL[0-9]{3}R"),
        form("RU", T::RuPoliceTrailer, G::RuPoliceTrailer, "[0-9]{3}LR"),
        form("RU", T::RuPoliceMotorcycle, G::RuPoliceMotorcycle, "[0-9]{4}LR"),
        form("BY", T::ByCar, G::ByCar, "[0-9]{4}[ABEIKMHOPCTX]{2}[0-7]"),
        form("BY", T::ByTruck, G::ByTruck, "[ABEIKMHOPCTX]{2}[0-9]{4}[0-7]"),
        form("KZ", T::KzNew, G::KzNew, "[0-9]{3}[A-Z]{2,3}(?:0[1-9]|1[0-9]|20)"),
        form("KZ", T::KzOld, G::KzOld, "[A-Z][0-9]{3}[A-Z]{2,3}"),
        form("KG", T::KgNew, G::KgNew, "[0-9]{2}(?:KG)?[0-9]{3}[A-Z]{2,3}"),
        form("KG", T::KgOld, G::KgOld, "[A-Z][0-9]{4}[A-Z]{1,2}"),
        form("", T::Other, G::Other, "[A-Z0-9]{4,10}"),
    ]
};

static PATTERNS: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new(FORMS.iter().map(|form| format!("^(?:{})$", form.pattern())))
        .expect("the table of forms is constant and tested")
});

/// The types of a canonical string in a country; none: no known form.
pub(super) fn types_of(country: &str, canonical: &str) -> TypeSet {
    let own = FORMS.iter().any(|form| form.country == country);
    let of = if own { country } else { "" };
    PATTERNS
        .matches(canonical)
        .into_iter()
        .map(|index| &FORMS[index])
        .filter(|form| form.country == of)
        .fold(TypeSet::EMPTY, |types, form| types.with(form.kind))
}
