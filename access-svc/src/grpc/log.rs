use audit_log::TileId;
use propdev_proto::access::{
    AuditCheckpoint, AuditEntry, AuditPlace, GetLogRequest, GetLogResponse, HashRow,
    ListCheckpointsRequest, ListCheckpointsResponse, OpenLinkRequest, OpenLinkResponse,
    ProveEntriesRequest, ProveEntriesResponse, ProvedEntry, ReadEntriesRequest,
    ReadEntriesResponse, ReadHashesRequest, ReadHashesResponse, SearchEntriesRequest,
    SearchEntriesResponse, audit_log_service_server::AuditLogService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Api,
    convert::{fault, next_page, optional_id, optional_text, optional_time, page, timestamp},
};
use crate::{
    app::ToProve,
    domain::{entry::Link, event::CredentialKind},
    store::{EntryFilter, StoredEntry},
};

/// Rows of hashes in one answer: of 8 KiB each.
const MOST_ROWS: u32 = 256;
const MOST_PROVED: usize = 100;

#[tonic::async_trait]
impl AuditLogService for Api {
    async fn get_log(&self, _: Request<GetLogRequest>) -> Result<Response<GetLogResponse>, Status> {
        let state = self.app.log_state().await?;
        let places = state.places.into_iter().map(|(place, told)| AuditPlace {
            place,
            size: told.size,
            at: timestamp(told.at),
        });
        Ok(Response::new(GetLogResponse {
            origin: state.origin,
            verifier_key: state.verifier_key,
            size: state.newest.as_ref().map_or(0, |newest| newest.size),
            checkpoint: state.newest.map_or_else(String::new, |newest| newest.note),
            forged_entry_ids: state.forged.iter().map(Uuid::to_string).collect(),
            places: places.collect(),
            queued: state.queued,
        }))
    }

    async fn read_entries(
        &self,
        request: Request<ReadEntriesRequest>,
    ) -> Result<Response<ReadEntriesResponse>, Status> {
        let request = request.into_inner();
        let limit = size(request.page_size);
        let (entries, size) = self.app.read_entries(request.from_number, limit).await?;
        Ok(Response::new(ReadEntriesResponse {
            entries: entries.into_iter().map(message).collect(),
            size,
        }))
    }

    async fn read_hashes(
        &self,
        request: Request<ReadHashesRequest>,
    ) -> Result<Response<ReadHashesResponse>, Status> {
        let request = request.into_inner();
        let level = u8::try_from(request.level);
        let from = TileId {
            level: level.map_err(|_| fault("level", "is more than the tree has"))?,
            index: request.from_row,
        };
        let limit = match request.page_size {
            0 => 64,
            size => size.min(MOST_ROWS),
        };
        let tiles = self.app.read_hashes(from, limit.into()).await?;
        let rows = tiles.into_iter().map(|(id, hashes)| HashRow {
            level: id.level.into(),
            row: id.index,
            hashes,
        });
        Ok(Response::new(ReadHashesResponse {
            rows: rows.collect(),
        }))
    }

    async fn list_checkpoints(
        &self,
        request: Request<ListCheckpointsRequest>,
    ) -> Result<Response<ListCheckpointsResponse>, Status> {
        let request = request.into_inner();
        let limit = size(request.page_size);
        let found = self.app.checkpoints(request.larger_than, limit).await?;
        let checkpoints = found.into_iter().map(|checkpoint| AuditCheckpoint {
            size: checkpoint.size,
            at: timestamp(checkpoint.at),
            note: checkpoint.note,
        });
        Ok(Response::new(ListCheckpointsResponse {
            checkpoints: checkpoints.collect(),
        }))
    }

    async fn search_entries(
        &self,
        request: Request<SearchEntriesRequest>,
    ) -> Result<Response<SearchEntriesResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let filter = EntryFilter {
            since: optional_time("since", request.since)?,
            until: optional_time("until", request.until)?,
            device: optional_text(request.device_id),
            who: optional_id("audit_pseudonym", &request.audit_pseudonym)?,
            code: optional_text(request.code),
            opening: optional_id("opening_id", &request.opening_id)?,
            oldest_first: request.oldest_first,
        };
        let resident = optional_id("resident_id", &request.resident_id)?;
        if resident.is_some() && filter.who.is_some() {
            return Err(fault("audit_pseudonym", "stands in place of resident_id").into());
        }
        let mut entries = self.app.search_entries(filter, resident, page).await?;
        let next_page_token = next_page(&mut entries, page, |entry| entry.columns.id);
        Ok(Response::new(SearchEntriesResponse {
            entries: entries.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    async fn prove_entries(
        &self,
        request: Request<ProveEntriesRequest>,
    ) -> Result<Response<ProveEntriesResponse>, Status> {
        let request = request.into_inner();
        if request.numbers.len() > MOST_PROVED {
            return Err(fault("numbers", "must be at most 100").into());
        }
        let what = match optional_id("opening_id", &request.opening_id)? {
            Some(_) if !request.numbers.is_empty() => {
                return Err(fault("opening_id", "stands in place of numbers").into());
            }
            Some(opening) => ToProve::Opening(opening),
            None => {
                let mut numbers = request.numbers;
                numbers.sort_unstable();
                numbers.dedup();
                ToProve::Numbers(numbers)
            }
        };
        let size = Some(request.size).filter(|size| *size > 0);
        let proofs = self
            .app
            .prove_entries(what, request.earlier_size, size)
            .await?;
        let entries = proofs.entries.into_iter().map(|(entry, path)| ProvedEntry {
            entry: Some(message(entry)),
            path: path.iter().map(|hash| hash.0.to_vec()).collect(),
        });
        Ok(Response::new(ProveEntriesResponse {
            checkpoint: proofs
                .checkpoint
                .map_or_else(String::new, |checkpoint| checkpoint.note),
            size: proofs.size,
            entries: entries.collect(),
            consistency: proofs.consistency.iter().map(|h| h.0.to_vec()).collect(),
        }))
    }

    async fn open_link(
        &self,
        request: Request<OpenLinkRequest>,
    ) -> Result<Response<OpenLinkResponse>, Status> {
        let (link, resident) = self.app.open_link(request.into_inner().number).await?;
        let household;
        let (kind, held, country) = match &link {
            None => ("", "", ""),
            Some(Link::Household(id)) => {
                household = id.to_string();
                ("household", household.as_str(), "")
            }
            Some(Link::Credential(CredentialKind::Key, id)) => ("key", id.as_str(), ""),
            Some(Link::Credential(CredentialKind::Fob, id)) => ("fob", id.as_str(), ""),
            Some(Link::Plate { country, number }) => ("plate", number.as_str(), country.as_str()),
        };
        Ok(Response::new(OpenLinkResponse {
            kind: kind.to_owned(),
            held: held.to_owned(),
            country: country.to_owned(),
            resident_id: resident.map_or_else(String::new, |id| id.to_string()),
        }))
    }
}

fn size(asked: u32) -> u64 {
    match asked {
        0 => 100,
        asked => u64::from(asked.min(1_000)),
    }
}

fn message(entry: StoredEntry) -> AuditEntry {
    let id = |id: Option<Uuid>| id.map_or_else(String::new, |id| id.to_string());
    AuditEntry {
        number: entry.number,
        entry_id: entry.columns.id.to_string(),
        payload: entry.payload,
        sealed_link: entry.sealed,
        code: entry.columns.code,
        device_id: entry.columns.device.unwrap_or_default(),
        audit_pseudonym: id(entry.columns.who),
        opening_id: id(entry.columns.opening),
    }
}
