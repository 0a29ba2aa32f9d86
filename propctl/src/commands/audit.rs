//! The audit log: searched, followed, exported, and checked against what was
//! signed.

mod export;
mod read;
mod show;
mod verify;

use std::path::PathBuf;

use audit_log::{Entry, tree::WIDTH};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use propdev_proto::access::{
    self, AuditEntry, ListAuthEventsRequest, ReadEntriesRequest, ReadHashesRequest,
    SearchEntriesRequest, audit_log_service_client::AuditLogServiceClient,
    audit_service_client::AuditServiceClient,
};

use crate::{
    connection::{Line, Session},
    error::Failure,
    moment,
    output::{Output, Row, or_dash, short},
    pages::Limit,
};

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// The log's key and newest checkpoint, and how far places outside have followed
    Log,
    /// Entries, newest first
    Search {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        limit: Limit,
    },
    /// Entries as they come, until interrupted
    Tail {
        #[command(flatten)]
        filter: Filter,
        /// Begin with so many of the last ones
        #[arg(long, default_value_t = 10)]
        last: u64,
    },
    /// Entries to a file: the whole log, or what is asked for
    ///
    /// JSON Lines can be checked by `audit verify --offline`: of the whole log
    /// every entry, of a part each with the proof that it is in the log.
    Export {
        #[command(flatten)]
        filter: Filter,
        #[arg(long, value_enum, default_value_t = Form::Jsonl)]
        form: Form,
        /// File to write, which must not be there yet; - is stdout
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Check the log against its signed checkpoints; exit code 1 names what is wrong
    Verify(verify::Verify),
    /// The key, fob or plate beside an entry; the log tells that it was opened
    Link { number: u64 },
    /// Tokens issued, refused and revoked, clients, keys and states of sites and
    /// devices changed; newest first
    Tokens {
        /// OAuth client; without it, of all clients
        #[arg(long, default_value = "", hide_default_value = true)]
        client: String,
        #[command(flatten)]
        limit: Limit,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// JSON Lines
    Jsonl,
    Csv,
}

/// Which entries are asked for.
#[derive(Args)]
pub(crate) struct Filter {
    /// Written down at this time or later; RFC 3339, or a date, from its beginning in UTC
    #[arg(long, value_name = "TIME", value_parser = moment::parse_begin)]
    since: Option<Timestamp>,
    /// Written down before this time; RFC 3339, or a date, to its end in UTC
    #[arg(long, value_name = "TIME", value_parser = moment::parse_end)]
    until: Option<Timestamp>,
    /// The partner's own id
    #[arg(long, default_value = "", hide_default_value = true)]
    device: String,
    /// UUID of a resident
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        conflicts_with = "who"
    )]
    resident: String,
    /// The resident's random name in logs
    #[arg(long, default_value = "", hide_default_value = true)]
    who: String,
    /// How it came out, or what was done, e.g. no_grant
    #[arg(long, default_value = "", hide_default_value = true)]
    code: String,
    /// UUID of an opening
    #[arg(long, default_value = "", hide_default_value = true)]
    opening: String,
}

impl Filter {
    fn asks_for_all(&self) -> bool {
        self.since.is_none()
            && self.until.is_none()
            && [
                &self.device,
                &self.resident,
                &self.who,
                &self.code,
                &self.opening,
            ]
            .iter()
            .all(|text| text.is_empty())
    }

    fn request(&self, page_size: u32, page_token: String) -> SearchEntriesRequest {
        SearchEntriesRequest {
            page_size,
            page_token,
            since: self.since.map(moment::to_proto),
            until: self.until.map(moment::to_proto),
            device_id: self.device.clone(),
            resident_id: self.resident.clone(),
            audit_pseudonym: self.who.clone(),
            code: self.code.clone(),
            opening_id: self.opening.clone(),
            oldest_first: false,
        }
    }

    /// What the service would find, of an entry that is here already; `who` is
    /// the resident asked for.
    fn takes(&self, entry: &Entry, who: &str) -> bool {
        let is = |wanted: &str, found: Option<&str>| wanted.is_empty() || found == Some(wanted);
        let name = |id: Option<uuid::Uuid>| id.map(|id| id.to_string());
        self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
            && is(&self.device, entry.device.as_deref())
            && is(who, name(entry.who).as_deref())
            && is(&self.code, Some(&entry.code))
            && is(&self.opening, name(entry.opening).as_deref())
    }
}

type LogClient = AuditLogServiceClient<Line>;

fn client(session: &Session) -> Result<LogClient, Failure> {
    Ok(AuditLogServiceClient::new(session.access()?))
}

/// The entries of a row of hashes, as far as they are there, and the row.
async fn read_row(
    log: &mut LogClient,
    row: u64,
) -> Result<(Vec<AuditEntry>, Option<Vec<u8>>), Failure> {
    let request = ReadEntriesRequest {
        from_number: row * WIDTH,
        page_size: WIDTH as u32,
    };
    let mut entries = log.read_entries(request).await?.into_inner().entries;
    entries.retain(|entry| entry.number / WIDTH == row);
    let request = ReadHashesRequest {
        level: 0,
        from_row: row,
        page_size: 1,
    };
    let rows = log.read_hashes(request).await?.into_inner().rows;
    let stored = rows.into_iter().find(|stored| stored.row == row);
    Ok((entries, stored.map(|stored| stored.hashes)))
}

impl Audit {
    /// What needs no service, and no settings for one.
    pub(crate) fn offline(&self, output: &Output) -> Option<Result<(), Failure>> {
        match self {
            Self::Verify(verify) => verify.offline(output),
            _ => None,
        }
    }

    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Log => read::log(session).await,
            Self::Search { filter, limit } => read::search(session, &filter, &limit).await,
            Self::Tail { filter, last } => read::tail(session, &filter, last).await,
            Self::Export { filter, form, to } => export::run(session, &filter, form, &to).await,
            Self::Verify(verify) => verify.run(session).await,
            Self::Link { number } => read::link(session, number).await,
            Self::Tokens { client, limit } => tokens(session, &client, &limit).await,
        }
    }
}

async fn tokens(session: &Session, client: &str, limit: &Limit) -> Result<(), Failure> {
    let mut audit = AuditServiceClient::new(session.access()?);
    let listed = limit
        .gather(async |page_size, page_token| {
            let request = ListAuthEventsRequest {
                page_size,
                page_token,
                client_id: client.to_owned(),
            };
            let reply = audit.list_auth_events(request).await?.into_inner();
            Ok((reply.events, reply.next_page_token))
        })
        .await?;
    session.output.list(&listed)
}

/// The text of an entry, where it is one.
fn text(entry: &AuditEntry) -> Result<&str, Failure> {
    std::str::from_utf8(&entry.payload).map_err(|_| Failure::Outcome {
        message: format!("entry {} was changed: it is no text", entry.number),
        exit_code: Failure::REFUSED,
    })
}

impl Row for access::AuthEvent {
    const MESSAGE: &'static str = "propdev.access.v1.AuthEvent";
    const COLUMNS: &'static [&'static str] = &[
        "AT", "WHAT", "CODE", "CAUSE", "COUNT", "CLIENT", "BY", "WHO", "SITE", "DEVICE", "ACTOR",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            moment::show(self.at.as_ref()),
            short(self.kind().as_str_name(), "AUTH_EVENT_KIND_"),
            or_dash(&self.code),
            or_dash(&self.cause),
            self.count.to_string(),
            or_dash(&self.client_id),
            or_dash(&self.means),
            or_dash(&self.audit_pseudonym),
            or_dash(&self.site_id),
            or_dash(&self.device_id),
            or_dash(&self.actor),
        ]
    }
}

#[cfg(test)]
mod tests {
    use audit_log::Kind;
    use uuid::Uuid;

    use super::*;

    fn filter(change: impl FnOnce(&mut Filter)) -> Filter {
        let mut filter = Filter {
            since: None,
            until: None,
            device: String::new(),
            resident: String::new(),
            who: String::new(),
            code: String::new(),
            opening: String::new(),
        };
        change(&mut filter);
        filter
    }

    #[test]
    fn what_is_followed_is_filtered_as_what_is_searched() {
        let at: Timestamp = "2026-11-24T06:00:00Z".parse().expect("a time");
        let entry = Entry {
            device: Some("door-1".into()),
            who: Some(Uuid::nil()),
            ..Entry::new(Kind::Decision, "no_grant", at)
        };
        let who = Uuid::nil().to_string();
        let all = filter(|_| ());
        assert!(all.asks_for_all() && all.takes(&entry, ""));
        assert!(all.takes(&entry, &who) && !all.takes(&entry, "x"));
        let later: Timestamp = "2026-11-24T06:00:01Z".parse().expect("a time");
        for (right, wrong) in [
            (
                filter(|f| f.device = "door-1".into()),
                filter(|f| f.device = "door".into()),
            ),
            (
                filter(|f| f.code = "no_grant".into()),
                filter(|f| f.code = "granted".into()),
            ),
            (
                filter(|f| f.since = Some(at)),
                filter(|f| f.since = Some(later)),
            ),
            (
                filter(|f| f.until = Some(later)),
                filter(|f| f.until = Some(at)),
            ),
            (
                filter(|f| f.device = "door-1".into()),
                filter(|f| f.opening = who.clone()),
            ),
        ] {
            assert!(right.takes(&entry, "") && !right.asks_for_all());
            assert!(!wrong.takes(&entry, ""));
        }
    }
}
