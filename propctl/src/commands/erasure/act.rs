//! The act of destruction. It goes to stdout and nowhere else: it is the one
//! paper that leads from the pseudonym to the person.

use clap::{Args, builder::NonEmptyStringValueParser};
use jiff::{civil::Date, tz::TimeZone};
use propdev_proto::access::{
    Erasure, ListResidentsRequest, Resident, get_erasure_request::Whom,
    resident_service_client::ResidentServiceClient,
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::words::{Language, Words};
use crate::{
    connection::Session,
    error::Failure,
    input, moment,
    output::{self, harmless},
};

const PAGE: u32 = 1_000;

#[derive(Args)]
pub(crate) struct Print {
    /// UUID of the resident
    #[arg(long, value_name = "ID")]
    resident: String,
    /// Name of the operator of personal data
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    operator: String,
    #[arg(long, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    operator_address: String,
    /// Name of who processes the data on the operator's behalf; without it, nobody does
    #[arg(long, value_name = "NAME", requires = "processor_address")]
    processor: Option<String>,
    #[arg(long, value_name = "ADDRESS", requires = "processor")]
    processor_address: Option<String>,
    /// Name of the person who destroys the data and signs
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    destroyer: String,
    /// That person's post
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    post: String,
    /// Name and post of who orders the destruction; without it, who asked the services for it, or
    /// a blank before that
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    ordered_by: Option<String>,
    /// Why the data are destroyed, e.g. the withdrawal of consent and its date
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Name of the information system; without it, that of the access system
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// How the data are destroyed; without it, as the services do it
    #[arg(long, value_name = "TEXT")]
    method: Option<String>,
    /// A category of data, as often as there are; without it, all that is kept of a resident
    #[arg(long, value_name = "TEXT")]
    category: Vec<String>,
    /// Date of the destruction; without it, that of the erasure, or a blank before it
    #[arg(long)]
    date: Option<Date>,
    /// The person's name, - for stdin; without it, as the registry has it
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    #[arg(long, value_enum, default_value_t = Language::Ru)]
    lang: Language,
}

/// What the services know of it.
struct Known {
    person: Zeroizing<String>,
    pseudonym: String,
    erasure: Option<Erasure>,
}

impl Print {
    pub(crate) async fn run(mut self, session: &Session) -> Result<(), Failure> {
        let known = self.ask(session).await?;
        let act = self.act(known);
        if act.date.is_none() {
            output::note("the resident is not erased yet: date and sign the act when it is done");
        }
        session.output.print(|| Ok(act.as_json()), || act.as_text())
    }

    async fn ask(&mut self, session: &Session) -> Result<Known, Failure> {
        let given = match self.person.take() {
            Some(person) => Some(input::personal(person, "name")?),
            None => None,
        };
        let erasure = erasure(session, &self.resident).await?;
        let pseudonym = erasure.as_ref().map(|erasure| erasure.pseudonym.clone());
        if let (Some(person), Some(pseudonym)) = (given.clone(), pseudonym) {
            return Ok(Known {
                person,
                pseudonym,
                erasure,
            });
        }
        let Some(resident) = resident(session, &self.resident).await? else {
            return Err(if erasure.is_some() {
                Failure::Usage("the name is gone with the erasure: give it with --person -".into())
            } else {
                Failure::Outcome {
                    message: "there is no resident of this id, nor an erasure".into(),
                    exit_code: Failure::NOT_FOUND,
                }
            });
        };
        let person = given.unwrap_or_else(|| Zeroizing::new(resident.name.clone()));
        if person.is_empty() {
            return Err(Failure::Outcome {
                message: "names are told to operator/privacy alone: use such a certificate, \
                          or give the name with --person -"
                    .into(),
                exit_code: Failure::DENIED,
            });
        }
        Ok(Known {
            person,
            pseudonym: resident.audit_pseudonym,
            erasure,
        })
    }

    fn act(self, known: Known) -> Act {
        let words = self.lang.words();
        let erasure = known.erasure.unwrap_or_default();
        let day = |time: Option<&prost_types::Timestamp>| {
            let zone = TimeZone::system();
            time.and_then(moment::from_proto)
                .map(|time| zone.to_datetime(time).date())
        };
        // Empty of one that was done again after a restore.
        let asked = Some(erasure.requested_by).filter(|who| !who.is_empty());
        let categories = if self.category.is_empty() {
            words.of_what_was_kept(erasure.counts.as_ref())
        } else {
            self.category
        };
        Act {
            words,
            language: self.lang,
            operator: (self.operator, self.operator_address),
            processor: self.processor.zip(self.processor_address),
            person: known.person,
            pseudonym: known.pseudonym,
            destroyer: self.destroyer,
            post: self.post,
            ordered_by: self.ordered_by.or(asked),
            categories,
            system: self.system.unwrap_or_else(|| words.the_system.into()),
            method: self.method.unwrap_or_else(|| words.the_method.into()),
            copies_until: day(erasure.final_at.as_ref()),
            reason: self.reason,
            date: self.date.or_else(|| day(erasure.erased_at.as_ref())),
        }
    }
}

async fn erasure(session: &Session, resident_id: &str) -> Result<Option<Erasure>, Failure> {
    match super::get(session, Whom::ResidentId(resident_id.into())).await {
        Ok(erasure) => Ok(Some(erasure)),
        Err(failure) if failure.exit_code() == Failure::NOT_FOUND => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The registry finds residents page by page alone.
async fn resident(session: &Session, id: &str) -> Result<Option<Resident>, Failure> {
    let mut residents = ResidentServiceClient::new(session.access()?);
    let mut page_token = String::new();
    loop {
        let request = ListResidentsRequest {
            page_size: PAGE,
            page_token: page_token.clone(),
            site_id: String::new(),
        };
        let reply = residents.list_residents(request).await?.into_inner();
        let is_it = |resident: &Resident| resident.resident_id.eq_ignore_ascii_case(id);
        if let Some(found) = reply.residents.into_iter().find(is_it) {
            return Ok(Some(found));
        }
        if reply.next_page_token.is_empty() {
            return Ok(None);
        }
        if reply.next_page_token == page_token {
            return Err(Failure::incomplete(
                "a next page: it gives the same one again",
            ));
        }
        page_token = reply.next_page_token;
    }
}

struct Act {
    words: &'static Words,
    language: Language,
    /// Name and address.
    operator: (String, String),
    processor: Option<(String, String)>,
    person: Zeroizing<String>,
    pseudonym: String,
    destroyer: String,
    post: String,
    ordered_by: Option<String>,
    categories: Vec<String>,
    system: String,
    method: String,
    copies_until: Option<Date>,
    reason: String,
    date: Option<Date>,
}

impl Act {
    fn as_text(&self) -> String {
        let words = self.words;
        let party =
            |(name, address): &(String, String)| format!("{name}, {}: {address}", words.address);
        let processor = self.processor.as_ref().map_or(words.none.into(), party);
        let show = |date: Option<Date>, otherwise: &str| {
            date.map_or_else(|| otherwise.to_owned(), |date| self.show(date))
        };
        let mut lines = vec![
            format!("{}: {}", words.operator, party(&self.operator)),
            format!("{}: {processor}", words.processor),
            format!("{}: {}", words.person, *self.person),
            format!("{}: {}", words.pseudonym, self.pseudonym),
            format!(
                "{}: {}, {}: {}",
                words.destroyer, self.destroyer, words.post, self.post
            ),
            format!(
                "{}: {}",
                words.ordered_by,
                self.ordered_by.as_deref().unwrap_or(words.blank)
            ),
            format!("{}:", words.categories),
        ];
        lines.extend(
            self.categories
                .iter()
                .map(|category| format!("  - {category}")),
        );
        lines.extend([
            format!("{}: {}", words.carriers, words.no_carriers),
            format!("{}: {}", words.system, self.system),
            format!("{}: {}", words.method, self.method),
            format!(
                "{} {}",
                words.copies,
                show(self.copies_until, words.copies_later)
            ),
            format!("{}: {}", words.reason, self.reason),
            format!("{}: {}", words.date, show(self.date, words.blank_date)),
        ]);
        let body: Vec<String> = lines.iter().map(|line| harmless(line)).collect();
        let signature = format!(
            "{}: ____________________ / {} /",
            words.signature, self.destroyer
        );
        format!(
            "{}\n\n{}\n\n{}\n\n{}\n\n{}",
            words.title,
            words.basis,
            body.join("\n"),
            harmless(&signature),
            words.enclosed
        )
    }

    fn as_json(&self) -> Value {
        let party =
            |(name, address): &(String, String)| json!({ "name": name, "address": address });
        let day = |date: Option<Date>| date.map(|date| date.to_string());
        json!({
            "operator": party(&self.operator),
            "processor": self.processor.as_ref().map(party),
            "person": *self.person,
            "pseudonym": self.pseudonym,
            "destroyed_by": { "name": self.destroyer, "post": self.post },
            "ordered_by": self.ordered_by,
            "categories": self.categories,
            "system": self.system,
            "method": self.method,
            "copies_unreadable_from": day(self.copies_until),
            "reason": self.reason,
            "date": day(self.date),
            "text": self.as_text(),
        })
    }

    fn show(&self, date: Date) -> String {
        match self.language {
            Language::Ru => format!("{:02}.{:02}.{} г.", date.day(), date.month(), date.year()),
            Language::En => date.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use propdev_proto::access::ErasureCounts;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        print: Print,
    }

    fn act(extra: &[&str], erasure: Option<Erasure>) -> Act {
        let arguments = [
            "act",
            "--resident",
            "r",
            "--operator",
            "ООО «Девелопер»",
            "--operator-address",
            "Москва, ул. Первая, 1",
            "--destroyer",
            "Петрова О. И.",
            "--post",
            "администратор",
            "--reason",
            "отзыв согласия",
        ];
        let arguments = arguments.iter().chain(extra);
        Line::parse_from(arguments).print.act(Known {
            person: Zeroizing::new("Иванов\u{1b}[2J Иван".into()),
            pseudonym: "p-1".into(),
            erasure,
        })
    }

    #[test]
    fn the_act_names_all_that_the_order_asks_for() {
        let extra = [
            "--date",
            "2026-11-24",
            "--ordered-by",
            "Сидоров П. П., директор",
        ];
        let text = act(&extra, None).as_text();
        for wanted in [
            "АКТ",
            "№ 179",
            "Оператор: ООО «Девелопер», адрес: Москва, ул. Первая, 1",
            "по поручению оператора: нет",
            "Субъект персональных данных: Иванов\u{fffd}[2J Иван",
            "p-1",
            "Петрова О. И., должность: администратор",
            "Распоряжение об уничтожении: Сидоров П. П., директор",
            "векторы признаков лица",
            "Информационная система персональных данных: ",
            "Способ уничтожения: ",
            "Причина уничтожения: отзыв согласия",
            "Дата уничтожения: 24.11.2026 г.",
            "Подпись: ____________________ / Петрова О. И. /",
            "три года",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in {text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn what_is_not_known_yet_is_left_blank() {
        let text = act(&[], None).as_text();
        assert!(text.contains("Дата уничтожения: «___»"), "{text}");
        assert!(text.contains("в заключительной квитанции"), "{text}");
        assert!(text.contains("Распоряжение об уничтожении: ____"), "{text}");
        let text = act(&["--lang", "en"], None).as_text();
        assert!(text.contains("Date of destruction: ____-__-__"), "{text}");
    }

    #[test]
    fn who_asked_for_the_erasure_is_named_unless_somebody_else_is() {
        let erasure = || {
            Some(Erasure {
                requested_by: "operator/privacy/anna".into(),
                ..Erasure::default()
            })
        };
        let asked = act(&["--lang", "en"], erasure()).as_text();
        let line = "Destruction ordered by: operator/privacy/anna";
        assert!(asked.contains(line), "{asked}");
        let json = act(&["--ordered-by", "the director"], erasure()).as_json();
        assert_eq!(json["ordered_by"], "the director");
        let replayed = act(&[], Some(Erasure::default())).as_json();
        assert_eq!(replayed["ordered_by"], Value::Null);
    }

    #[test]
    fn only_what_was_destroyed_is_named() {
        let erasure = Erasure {
            counts: Some(ErasureCounts {
                vehicles: 1,
                ..ErasureCounts::default()
            }),
            ..Erasure::default()
        };
        let json = act(&["--lang", "en"], Some(erasure)).as_json();
        assert_eq!(
            json["categories"],
            json!([
                "surname, first name, patronymic",
                "number plates of vehicles",
                "rights of access and their payment",
            ])
        );
        let json = act(&["--category", "a", "--category", "b"], None).as_json();
        assert_eq!(json["categories"], json!(["a", "b"]));
        assert_eq!(json["processor"], Value::Null);
    }

    #[test]
    fn a_processor_has_an_address() {
        let arguments = ["act", "--resident", "r", "--processor", "ООО «Хостер»"];
        assert!(Line::try_parse_from(arguments).is_err());
    }
}
