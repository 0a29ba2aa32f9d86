use super::PlateType::*;
use super::forms::FORMS;
use super::{MAX_CHARS, Plate, PlateError, PlateType, is_dash, is_space};

/// As written, country, canonical, types.
#[rustfmt::skip]
const SPELLINGS: &[(&str, &str, &str, &[PlateType])] = &[
    // Cars, as cameras, people and paper write them.
    ("A123BC77", "RU", "A123BC77", &[RuCar]),
    ("а123вс77", "", "A123BC77", &[RuCar]),
    ("А 123 ВС 77", "ru", "A123BC77", &[RuCar]),
    ("A123BC 77 RUS", "RU", "A123BC77", &[RuCar]),
    ("a123bc77rus", "RU", "A123BC77", &[RuCar]),
    ("А123ВС-77", "RU", "A123BC77", &[RuCar]),
    ("А\u{A0}123\u{202F}ВС\u{2009}77", "RU", "A123BC77", &[RuCar]),
    ("A–123—BC−77", "RU", "A123BC77", &[RuCar]),
    ("A\u{2011}123\u{AD}BC\u{200B}77", "RU", "A123BC77", &[RuCar]),
    ("Ａ１２３ＢＣ７７", "RU", "A123BC77", &[RuCar]),
    ("A123BC\r\n77\tRUS\n", "RU", "A123BC77", &[RuCar]),
    ("A123BC777", "RU", "A123BC777", &[RuCar]),
    ("О001ОО 01", "RU", "O001OO01", &[RuCar]),
    ("х999ух 799 RUS", "RU", "X999YX799", &[RuCar]),
    ("М567НТ197", "RU", "M567HT197", &[RuCar]),
    ("е050кх 50", "RU", "E050KX50", &[RuCar]),
    // Taxis, buses and trailers, which overlap.
    ("АВ 123 77", "RU", "AB12377", &[RuTaxiBus]),
    ("ер 045 799 rus", "RU", "EP045799", &[RuTaxiBus, RuTrailer]),
    ("АВ 1234 77", "RU", "AB123477", &[RuTaxiBus, RuTrailer]),
    ("АВ 123 477", "RU", "AB123477", &[RuTaxiBus, RuTrailer]),
    ("АВ 1230 07", "RU", "AB123007", &[RuTrailer]),
    ("ВМ 4521 750", "RU", "BM4521750", &[RuTrailer]),
    // Tractors, motorcycles, military vehicles, mopeds.
    ("1234 АВ 77", "RU", "1234AB77", &[RuTractorMotorcycleMilitary]),
    ("7788 ка 197", "RU", "7788KA197", &[RuTractorMotorcycleMilitary]),
    ("АА 12 ВВ 77", "RU", "AA12BB77", &[RuMoped]),
    // Diplomats.
    ("001 CD 1 77", "RU", "001CD177", &[RuHeadOfMission]),
    ("004 D 018 77", "RU", "004D01877", &[RuDiplomatic]),
    ("101Т55577", "RU", "101T55577", &[RuDiplomatic]),
    ("сD 12345 77", "RU", "CD1234577", &[RuDiplomaticMotorcycle]),
    ("D 12345 77", "RU", "D1234577", &[RuDiplomaticMotorcycle]),
    ("Т 12345 77", "RU", "T1234577", &[RuDiplomaticMotorcycle, RuPolice]),
    ("Т 12340 07", "RU", "T1234007", &[RuDiplomaticMotorcycle]),
    // Police, transit, leaving.
    ("А 0123 77", "RU", "A012377", &[RuPolice]),
    ("А 0123 177 RUS", "RU", "A0123177", &[RuPolice]),
    ("123 А 77", "RU", "123A77", &[RuPoliceTrailer]),
    ("1234 а 77", "RU", "1234A77", &[RuPoliceMotorcycle]),
    ("АВ 123 С 77", "RU", "AB123C77", &[RuTransit]),
    ("ТАВ 123 77", "RU", "TAB12377", &[RuLeaving]),
    // Belarus.
    ("1234 AB-7", "BY", "1234AB7", &[ByCar]),
    ("0001 IX-0", "by", "0001IX0", &[ByCar]),
    ("АВ 1234-5", "BY", "AB12345", &[ByTruck]),
    // Kazakhstan.
    ("123 ABC 02", "KZ", "123ABC02", &[KzNew]),
    ("777 ав 20", "KZ", "777AB20", &[KzNew]),
    ("A 123 BCD", "KZ", "A123BCD", &[KzOld]),
    ("Z123WK", "kz", "Z123WK", &[KzOld]),
    // Kyrgyzstan. The badge is a part of the string.
    ("01 KG 123 ABC", "KG", "01KG123ABC", &[KgNew]),
    ("01 123 ABC", "KG", "01123ABC", &[KgNew]),
    ("B 1234 A", "KG", "B1234A", &[KgOld]),
    ("в1234ав", "KG", "B1234AB", &[KgOld]),
    // Any other: as it is, and `RUS` is no badge there.
    ("34 ab 567", "AM", "34AB567", &[Other]),
    ("01 A 123 BC", "UZ", "01A123BC", &[Other]),
    ("B-AB 1234", "DE", "BAB1234", &[Other]),
    ("WX 12RUS", "PL", "WX12RUS", &[Other]),
];

#[test]
fn spellings() {
    assert!(SPELLINGS.len() >= 40);
    for (number, country, canonical, types) in SPELLINGS {
        let plate = Plate::parse(number, country).expect(number);
        assert_eq!(plate.canonical(), *canonical, "{number}");
        assert_eq!(
            &*plate.types().iter().collect::<Vec<_>>(),
            *types,
            "{number}"
        );
    }
}

#[test]
fn every_type_is_in_the_table_of_spellings() {
    for form in &FORMS {
        assert!(
            SPELLINGS.iter().any(|row| row.3.contains(&form.kind)),
            "{:?}",
            form.kind
        );
    }
}

#[test]
fn refusals() {
    use PlateError::*;
    let refused: &[(&str, &str, PlateError)] = &[
        ("", "RU", Empty),
        (" \u{A0}-\u{2014}\t", "DE", Empty),
        ("RUS", "RU", Empty),
        (&" ".repeat(MAX_CHARS + 1), "RU", TooLong),
        // U+338F is one character and normalises to two, "kg".
        (&"\u{338F}".repeat(MAX_CHARS), "DE", TooLong),
        ("\u{FDFA}", "DE", UnsupportedCharacter),
        ("A123BC7?", "RU", UnsupportedCharacter),
        ("A%", "RU", UnsupportedCharacter),
        ("A123BC77\0", "RU", UnsupportedCharacter),
        // Not a look-alike, or not one of the twelve.
        ("Б123ВС77", "RU", UnsupportedCharacter),
        ("1234 АІ-7", "BY", UnsupportedCharacter),
        ("M-Ü 1234", "DE", UnsupportedCharacter),
        ("A\u{301}123BC77", "RU", UnsupportedCharacter),
        ("١٢٣٤AB77", "RU", UnsupportedCharacter),
        // Part of a plate, or more than one.
        ("A123BC", "RU", UnknownForm),
        ("123BC77", "RU", UnknownForm),
        ("A123BC7777", "RU", UnknownForm),
        ("A123BC77A123BC77", "RU", UnknownForm),
        ("A123BC77RUSRUS", "RU", UnknownForm),
        ("RUSA123BC77", "RU", UnknownForm),
        // Regions and letters that are not.
        ("A123BC00", "RU", UnknownForm),
        ("A123BC077", "RU", UnknownForm),
        ("A123BD77", "RU", UnknownForm),
        ("123ABC21", "KZ", UnknownForm),
        ("123ABC00", "KZ", UnknownForm),
        ("1234AB8", "BY", UnknownForm),
        ("1234AY1", "BY", UnknownForm),
        ("A123BC77", "KG", UnknownForm),
        ("A123BC77", "BY", UnknownForm),
        ("ABC", "DE", UnknownForm),
        ("ABC12345678", "DE", UnknownForm),
        ("A123BC77", "RUS", BadCountry),
        ("A123BC77", "РУ", BadCountry),
        ("A123BC77", "UK", BadCountry),
        ("A123BC77", " ", BadCountry),
    ];
    for (number, country, error) in refused {
        assert_eq!(
            Plate::parse(number, country).err(),
            Some(*error),
            "{number} {country}"
        );
    }
}

#[test]
fn a_region_is_never_a_part_of_another() {
    let short = Plate::parse("A123BC77", "RU").expect("a plate");
    let long = Plate::parse("A123BC777", "RU").expect("a plate");
    assert_ne!(short.lookup_bytes(), long.lookup_bytes());
}

#[test]
fn zero_and_o_stay_apart() {
    let letters = Plate::parse("OOO1234", "DE").expect("a plate");
    let digits = Plate::parse("0OO1234", "DE").expect("a plate");
    assert_ne!(letters.lookup_bytes(), digits.lookup_bytes());
    assert_eq!(
        Plate::parse("A12OBC77", "RU").err(),
        Some(PlateError::UnknownForm)
    );
}

#[test]
fn the_same_string_of_two_countries_is_two_plates() {
    let by = Plate::parse("AB12345", "BY").expect("a plate");
    let ru = Plate::parse("AB12345", "RU").expect("a plate");
    assert_ne!(by.lookup_bytes(), ru.lookup_bytes());
}

/// Registered plates are found by a hash of these bytes: they never change.
#[test]
fn lookup_bytes_are_pinned() {
    let plate = Plate::parse("а123вс 77", "").expect("a plate");
    assert_eq!(
        plate.lookup_bytes().as_slice(),
        b"\x07plate/1\x02RU\x08A123BC77"
    );
}

#[test]
fn debug_shows_the_country_alone() {
    let plate = Plate::parse("A123BC77", "RU").expect("a plate");
    assert_eq!(format!("{plate:?}"), "Plate(RU, redacted)");
}

/// Does not compile once a plate can be printed, written out, or compared but by its keyed hash.
#[test]
fn a_plate_is_neither_shown_nor_written_out_nor_compared() {
    trait OneAlone<Marker> {
        fn holds() {}
    }
    impl<T> OneAlone<()> for T {}
    impl<T: std::fmt::Display> OneAlone<u8> for T {}
    impl<T: serde::Serialize> OneAlone<u16> for T {}
    impl<T: PartialEq> OneAlone<u32> for T {}
    <Plate as OneAlone<_>>::holds();
}

#[test]
fn groups_are_named_once() {
    let mut names: Vec<_> = FORMS.iter().map(|form| form.group.as_str()).collect();
    // The types of one group are neighbours in the table.
    names.dedup();
    let groups = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), groups);
}

#[test]
fn spaces_and_dashes_of_every_kind() {
    let spaces =
        "\t \u{A0}\u{1680}\u{2000}\u{2003}\u{2007}\u{200A}\u{202F}\u{205F}\u{3000}\u{FEFF}";
    assert!(spaces.chars().all(is_space));
    let dashes = "-\u{AD}\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2015}\u{2043}\u{2212}\u{2E3A}";
    assert!(dashes.chars().all(is_dash));
    for separator in spaces
        .chars()
        .chain(dashes.chars())
        .chain("\u{FE58}\u{FE63}\u{FF0D}\u{207B}".chars())
    {
        let plate = Plate::parse(&format!("A123{separator}BC77"), "RU").expect("a plate");
        assert_eq!(plate.canonical(), "A123BC77", "{separator:?}");
    }
    // Neither: a wildcard or a dot is never skipped.
    assert!(
        !"%_*?./\\0A"
            .chars()
            .any(|character| is_space(character) || is_dash(character))
    );
}
