//! The act's words. What it must hold: Roskomnadzor's order 179 of 28 October
//! 2022, requirement 3.

use clap::ValueEnum;
use propdev_proto::access::ErasureCounts;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    Ru,
    En,
}

pub(super) struct Words {
    pub(super) title: &'static str,
    pub(super) basis: &'static str,
    pub(super) operator: &'static str,
    pub(super) address: &'static str,
    pub(super) processor: &'static str,
    pub(super) none: &'static str,
    pub(super) person: &'static str,
    pub(super) pseudonym: &'static str,
    pub(super) destroyer: &'static str,
    pub(super) post: &'static str,
    pub(super) ordered_by: &'static str,
    pub(super) blank: &'static str,
    pub(super) categories: &'static str,
    pub(super) carriers: &'static str,
    pub(super) no_carriers: &'static str,
    pub(super) system: &'static str,
    pub(super) the_system: &'static str,
    pub(super) method: &'static str,
    pub(super) the_method: &'static str,
    pub(super) copies: &'static str,
    pub(super) copies_later: &'static str,
    pub(super) reason: &'static str,
    pub(super) date: &'static str,
    pub(super) blank_date: &'static str,
    pub(super) signature: &'static str,
    pub(super) enclosed: &'static str,
    name: &'static str,
    faces: &'static str,
    consents: &'static str,
    vehicles: &'static str,
    credentials: &'static str,
    rights: &'static str,
}

impl Language {
    pub(super) fn words(self) -> &'static Words {
        match self {
            Self::Ru => &RUSSIAN,
            Self::En => &ENGLISH,
        }
    }
}

impl Words {
    /// All that the mesh keeps of a resident; once it is known what was
    /// destroyed, that alone.
    pub(super) fn of_what_was_kept(&self, counts: Option<&ErasureCounts>) -> Vec<String> {
        let was_there =
            |count: fn(&ErasureCounts) -> u32| counts.is_none_or(|counts| count(counts) > 0);
        [
            (true, self.name),
            (was_there(|counts| counts.templates), self.faces),
            (was_there(|counts| counts.templates), self.consents),
            (was_there(|counts| counts.vehicles), self.vehicles),
            (was_there(|counts| counts.credentials), self.credentials),
            (true, self.rights),
        ]
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, category)| category.to_owned())
        .collect()
    }
}

static RUSSIAN: Words = Words {
    title: "АКТ\nоб уничтожении персональных данных",
    basis: "Составлен согласно Требованиям к подтверждению уничтожения персональных данных,\n\
            утверждённым приказом Роскомнадзора от 28.10.2022 № 179.",
    operator: "Оператор",
    address: "адрес",
    processor: "Лицо, осуществлявшее обработку по поручению оператора",
    none: "нет",
    person: "Субъект персональных данных",
    pseudonym: "Обозначение субъекта в журнале событий и квитанциях",
    destroyer: "Лицо, уничтожившее персональные данные",
    post: "должность",
    ordered_by: "Распоряжение об уничтожении",
    blank: "____________________",
    categories: "Категории уничтоженных персональных данных",
    carriers: "Материальные носители",
    no_carriers: "нет, обработка велась с использованием средств автоматизации",
    system: "Информационная система персональных данных",
    the_system: "система доступа в жилые комплексы (базы данных access-svc и biometric-svc)",
    method: "Способ уничтожения",
    the_method: "уничтожение ключей шифрования данных субъекта, удаление записей из баз данных, \
                 перезапись в оперативной памяти",
    copies: "Прежние копии баз данных не могут быть прочитаны с",
    copies_later: "даты, указанной в заключительной квитанции",
    reason: "Причина уничтожения",
    date: "Дата уничтожения",
    blank_date: "«___» ______________ 20___ г.",
    signature: "Подпись",
    enclosed: "Приложение: выгрузка из журнала регистрации событий и подписанные квитанции.\n\
               Акт и выгрузка хранятся три года с даты уничтожения.",
    name: "фамилия, имя, отчество",
    faces: "биометрические персональные данные: векторы признаков лица",
    consents: "сведения о согласии на обработку биометрических персональных данных",
    vehicles: "государственные регистрационные знаки транспортных средств",
    credentials: "идентификаторы ключей и меток доступа",
    rights: "права доступа и сведения об их оплате",
};

static ENGLISH: Words = Words {
    title: "ACT\nof destruction of personal data",
    basis: "Drawn up under the Requirements for confirming the destruction of personal data\n\
            of Roskomnadzor's order No. 179 of 28 October 2022.",
    operator: "Operator",
    address: "address",
    processor: "Processor on the operator's behalf",
    none: "none",
    person: "Data subject",
    pseudonym: "The subject's designation in the event log and in receipts",
    destroyer: "Destroyed by",
    post: "post",
    ordered_by: "Destruction ordered by",
    blank: "____________________",
    categories: "Categories of personal data destroyed",
    carriers: "Material carriers",
    no_carriers: "none: the processing was automated",
    system: "Information system",
    the_system: "access system of residential complexes (databases of access-svc and biometric-svc)",
    method: "Method of destruction",
    the_method: "destruction of the keys that encrypted the subject's data, deletion of the rows \
                 from the databases, overwriting in memory",
    copies: "Older copies of the databases cannot be read from",
    copies_later: "the date in the final receipt on",
    reason: "Reason",
    date: "Date of destruction",
    blank_date: "____-__-__",
    signature: "Signature",
    enclosed: "Enclosed: the extract of the event log and the signed receipts.\n\
               The act and the extract are kept for three years from the destruction.",
    name: "surname, first name, patronymic",
    faces: "biometric personal data: feature vectors of the face",
    consents: "consents to the processing of biometric personal data",
    vehicles: "number plates of vehicles",
    credentials: "identifiers of keys and fobs",
    rights: "rights of access and their payment",
};
