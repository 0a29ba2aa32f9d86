//! Looking into the log.

use std::time::Duration;

use audit_log::Entry;
use propdev_proto::access::{
    self, GetLogRequest, OpenLinkRequest, OpenLinkResponse, ReadEntriesRequest,
    SearchEntriesRequest,
};
use serde_json::{Value, json};

use super::{
    Filter, LogClient, client,
    show::{COLUMNS, cells, json as json_of},
};
use crate::{
    connection::Session,
    error::Failure,
    moment,
    output::{Row, note, or_dash, table, yes_no},
    pages::Limit,
};

/// How often it is looked for more.
const EVERY: Duration = Duration::from_secs(1);
const PAGE: u32 = 500;

pub(super) async fn log(session: &Session) -> Result<(), Failure> {
    let mut log = client(session)?;
    let reply = log.get_log(GetLogRequest {}).await?.into_inner();
    let mut lines = vec![format!("key   {}", reply.verifier_key)];
    for place in &reply.places {
        let at = moment::show(place.at.as_ref());
        lines.push(format!(
            "told  {} up to {} at {at}",
            place.place, place.size
        ));
    }
    for id in &reply.forged_entry_ids {
        lines.push(format!("entry {id} was written by no service"));
    }
    session.output.one_and(&reply, &lines)
}

impl Row for access::GetLogResponse {
    const MESSAGE: &'static str = "propdev.access.v1.GetLogResponse";
    const COLUMNS: &'static [&'static str] = &["LOG", "ENTRIES", "QUEUED", "FORGED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.origin.clone(),
            self.size.to_string(),
            yes_no(self.queued),
            self.forged_entry_ids.len().to_string(),
        ]
    }
}

pub(super) async fn search(
    session: &Session,
    filter: &Filter,
    limit: &Limit,
) -> Result<(), Failure> {
    let mut log = client(session)?;
    let listed = limit
        .gather(async |page_size, page_token| {
            let request = filter.request(page_size, page_token);
            let reply = log.search_entries(request).await?.into_inner();
            Ok((reply.entries, reply.next_page_token))
        })
        .await?;
    if listed.more {
        note("there are more: raise --limit");
    }
    session.output.print(
        || {
            let items: Result<_, _> = listed.items.iter().map(json_of).collect();
            Ok(Value::Array(items?))
        },
        || table(COLUMNS, listed.items.iter().map(cells)),
    )
}

pub(super) async fn tail(session: &Session, filter: &Filter, last: u64) -> Result<(), Failure> {
    let mut log = client(session)?;
    let who = name_in_logs(&mut log, filter).await?;
    let size = log.get_log(GetLogRequest {}).await?.into_inner().size;
    let mut next = size.saturating_sub(last);
    loop {
        let request = ReadEntriesRequest {
            from_number: next,
            page_size: PAGE,
        };
        let entries = log.read_entries(request).await?.into_inner().entries;
        let full = entries.len() == PAGE as usize;
        for entry in entries {
            next = entry.number + 1;
            let taken = Entry::parse(&entry.payload).is_none_or(|read| filter.takes(&read, &who));
            if !taken {
                continue;
            }
            let line = || cells(&entry).join("  ");
            if !session.output.line(|| json_of(&entry), line)? {
                return Ok(());
            }
        }
        if !full {
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// Of the resident asked for: each has an entry from the day it was created.
async fn name_in_logs(log: &mut LogClient, filter: &Filter) -> Result<String, Failure> {
    if filter.resident.is_empty() {
        return Ok(filter.who.clone());
    }
    let request = SearchEntriesRequest {
        page_size: 1,
        resident_id: filter.resident.clone(),
        ..SearchEntriesRequest::default()
    };
    let found = log.search_entries(request).await?.into_inner().entries;
    let entry = found.into_iter().next();
    entry
        .map(|entry| entry.audit_pseudonym)
        .ok_or_else(|| Failure::Outcome {
            message: "no entry tells of this resident".into(),
            exit_code: Failure::NOT_FOUND,
        })
}

pub(super) async fn link(session: &Session, number: u64) -> Result<(), Failure> {
    let mut log = client(session)?;
    let reply = log
        .open_link(OpenLinkRequest { number })
        .await?
        .into_inner();
    session.output.print(
        || {
            Ok(json!({
                "kind": reply.kind,
                "held": reply.held,
                "country": reply.country,
                "resident_id": reply.resident_id,
            }))
        },
        || link_as_text(&reply),
    )
}

fn link_as_text(link: &OpenLinkResponse) -> String {
    if link.kind.is_empty() {
        return "nothing is kept beside this entry, or not any more: it goes with the resident, \
                or with the month of a stranger"
            .into();
    }
    let row = [&link.kind, &link.held, &link.country, &link.resident_id];
    let row = row.map(|cell| or_dash(cell)).to_vec();
    table(
        &["KIND", "HELD", "COUNTRY", "RESIDENT"],
        std::iter::once(row),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_gone_is_said_to_be() {
        let link = OpenLinkResponse {
            kind: "key".into(),
            held: "key-1".into(),
            ..OpenLinkResponse::default()
        };
        assert!(link_as_text(&link).contains("key-1"));
        let gone = link_as_text(&OpenLinkResponse::default());
        assert!(gone.contains("not any more"), "{gone}");
    }
}
