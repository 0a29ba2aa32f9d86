//! An entry as a row, as JSON and as CSV.

use audit_log::{Entry, Kind};
use propdev_proto::access::AuditEntry;
use serde_json::{Value, json};
use uuid::Uuid;

use super::text;
use crate::{error::Failure, output::or_dash};

pub(super) const COLUMNS: &[&str] = &[
    "NUMBER", "AT", "KIND", "CODE", "WHERE", "BY", "WHO", "ACTOR",
];

pub(super) fn cells(entry: &AuditEntry) -> Vec<String> {
    let number = entry.number.to_string();
    let Some(entry) = Entry::parse(&entry.payload) else {
        // Whoever looks at it shall see that it is none.
        return vec![number, "?".into(), "?".into(), entry.code.clone()];
    };
    let actor = entry.actor.as_ref().or(entry.client.as_ref());
    let place = entry.device.clone().or_else(|| entry.service.clone());
    let place = place.unwrap_or_else(|| id(entry.site));
    vec![
        number,
        format!("{:.0}", entry.at),
        kind(entry.kind),
        entry.code.clone(),
        or_dash(&place),
        or_dash(entry.means.as_deref().unwrap_or_default()),
        or_dash(&id(entry.who)),
        or_dash(actor.map_or("", String::as_str)),
    ]
}

/// The entry as it says itself, under its number.
pub(super) fn json(entry: &AuditEntry) -> Result<Value, Failure> {
    let said: Option<Value> = serde_json::from_str(text(entry)?).ok();
    Ok(json!({"number": entry.number, "entry": said}))
}

pub(super) const CSV_HEADER: &str = "number,id,at,kind,code,opening,command,partner,site,device,\
                                     client,means,who,actor,request,subject,count,happened_at,checks,\
                                     differs,service";

/// A line of CSV (RFC 4180) without its end.
pub(super) fn csv(entry: &AuditEntry) -> Result<String, Failure> {
    let number = entry.number.to_string();
    let entry = Entry::parse(&entry.payload).ok_or_else(|| Failure::Outcome {
        message: format!("entry {number} was changed: it is no entry"),
        exit_code: Failure::REFUSED,
    })?;
    let checks: Vec<String> = entry
        .checks
        .iter()
        .map(|(name, passed)| format!("{name}={passed}"))
        .collect();
    let time = |time: Option<jiff::Timestamp>| time.map_or_else(String::new, |t| t.to_string());
    let some = |text: Option<String>| text.unwrap_or_default();
    let fields = [
        number,
        entry.id.to_string(),
        entry.at.to_string(),
        kind(entry.kind),
        entry.code,
        id(entry.opening),
        id(entry.command),
        id(entry.partner),
        id(entry.site),
        some(entry.device),
        some(entry.client),
        some(entry.means),
        id(entry.who),
        some(entry.actor),
        some(entry.request),
        some(entry.subject),
        entry.count.map_or_else(String::new, |n| n.to_string()),
        time(entry.happened_at),
        checks.join(" "),
        some(entry.differs),
        some(entry.service),
    ];
    let fields: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
    Ok(fields.join(","))
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

fn kind(kind: Kind) -> String {
    let name = serde_json::to_value(kind).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

fn id(id: Option<Uuid>) -> String {
    id.map_or_else(String::new, |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(entry: &Entry) -> AuditEntry {
        AuditEntry {
            number: 7,
            payload: entry.to_text().expect("a text").into_bytes(),
            ..AuditEntry::default()
        }
    }

    fn entry() -> Entry {
        let at = "2026-11-24T06:00:00.25Z".parse().expect("a time");
        Entry {
            device: Some("door-1".into()),
            subject: Some("a \"b\", c".into()),
            checks: [("grant".to_owned(), false), ("subject".to_owned(), true)].into(),
            ..Entry::with_id(Uuid::nil(), Kind::SigningKey, "no_grant", at)
        }
    }

    #[test]
    fn an_entry_is_a_line_of_csv() {
        let line = csv(&stored(&entry())).expect("an entry");
        assert_eq!(
            line,
            "7,00000000-0000-0000-0000-000000000000,2026-11-24T06:00:00.25Z,signing_key,no_grant,\
             ,,,,door-1,,,,,,\"a \"\"b\"\", c\",,,grant=false subject=true,,"
        );
        let commas = CSV_HEADER.matches(',').count();
        let empty = Entry::new(Kind::Act, "x", entry().at);
        let line = csv(&stored(&empty)).expect("an entry");
        assert_eq!(line.matches(',').count(), commas);
    }

    #[test]
    fn an_entry_is_a_row_and_json() {
        let stored = stored(&entry());
        let row = cells(&stored);
        assert_eq!(row.len(), COLUMNS.len());
        assert_eq!(row[1], "2026-11-24T06:00:00Z");
        assert_eq!(row[4], "door-1");
        let of_a_site = Entry {
            site: Some(Uuid::max()),
            ..Entry::new(Kind::Act, "lockdown_on", entry().at)
        };
        let row = cells(&self::stored(&of_a_site));
        assert_eq!(row[4], Uuid::max().to_string());
        let json = json(&stored).expect("json");
        assert_eq!(json["number"], 7);
        assert_eq!(json["entry"]["code"], "no_grant");
    }

    #[test]
    fn what_is_no_entry_is_shown_as_none() {
        let broken = AuditEntry {
            number: 3,
            payload: b"{".to_vec(),
            ..AuditEntry::default()
        };
        assert_eq!(cells(&broken)[1], "?");
        assert!(csv(&broken).is_err());
        assert_eq!(json(&broken).expect("json")["entry"], Value::Null);
    }
}
