//! Every entry and every hash of the log, as the service stores them.

use std::time::Duration;

use audit_log::{
    Columns, Head, Report, Row, SealedLink, TileId, Tiles, TreeError, Verification, VerifierKey,
    tree::{WIDTH, rows_above},
};
use propdev_proto::access::{
    AuditEntry, GetLogRequest, ListCheckpointsRequest, ReadEntriesRequest, ReadHashesRequest,
};
use uuid::Uuid;

use super::open;
use crate::{
    commands::audit::{LogClient, read_row},
    error::Failure,
};

/// What an erasure or retention did is told by an entry that gets its number a
/// moment later.
const TOLD_WITHIN: u32 = 5;

pub(super) async fn verify(
    log: &mut LogClient,
    key: &VerifierKey,
    kept: Vec<Head>,
    newest: Head,
) -> Result<Report, Failure> {
    let mut heads = kept;
    heads.push(newest);
    heads.extend(checkpoints(log, key, newest.size).await?);
    let mut verification = Verification::new(heads).map_err(broken)?;
    read_to(log, &mut verification, newest.size).await?;
    for _ in 0..TOLD_WITHIN {
        if !verification.is_waiting() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let state = log.get_log(GetLogRequest {}).await?.into_inner();
        let head = open(key, &state.checkpoint)?;
        if head.size > verification.next() {
            verification.expect(head).map_err(broken)?;
            read_to(log, &mut verification, head.size).await?;
        }
    }
    let size = verification.next();
    if let Some(number) = beyond(log, size).await? {
        verification.inserted(number);
    }
    verification.compare_tiles(&tiles_above(log, size).await?);
    let state = log.get_log(GetLogRequest {}).await?.into_inner();
    for id in &state.forged_entry_ids {
        verification.forged(Uuid::try_parse(id).unwrap_or_default());
    }
    Ok(verification.finish())
}

async fn read_to(
    log: &mut LogClient,
    verification: &mut Verification,
    size: u64,
) -> Result<(), Failure> {
    while verification.next() < size {
        let next = verification.next();
        let (entries, stored) = read_row(log, next / WIDTH).await?;
        let rows = entries
            .into_iter()
            .filter(|entry| (next..size).contains(&entry.number))
            .map(row)
            .collect();
        verification
            .add_stored(rows, stored.as_deref(), size)
            .map_err(broken)?;
    }
    Ok(())
}

/// The roots that the log itself keeps; the newest may have grown since.
async fn checkpoints(
    log: &mut LogClient,
    key: &VerifierKey,
    size: u64,
) -> Result<Vec<Head>, Failure> {
    let mut heads = vec![];
    let mut larger_than = 0;
    loop {
        let request = ListCheckpointsRequest {
            larger_than,
            page_size: 1_000,
        };
        let reply = log.list_checkpoints(request).await?.into_inner();
        let Some(last) = reply.checkpoints.last() else {
            return Ok(heads);
        };
        larger_than = last.size;
        for checkpoint in &reply.checkpoints {
            let head = open(key, &checkpoint.note)?;
            if head.size <= size {
                heads.push(head);
            }
        }
    }
}

fn row(entry: AuditEntry) -> Row {
    let id = |text: &str| Uuid::try_parse(text).ok();
    Row {
        number: entry.number,
        columns: Some(Columns {
            id: id(&entry.entry_id).unwrap_or_default(),
            code: entry.code,
            device: Some(entry.device_id).filter(|device| !device.is_empty()),
            who: id(&entry.audit_pseudonym),
            opening: id(&entry.opening_id),
        }),
        payload: entry.payload,
        link: match entry.sealed_link {
            Some(sealed) => SealedLink::Present(sealed),
            None => SealedLink::Absent,
        },
    }
}

/// An entry with a number that no checkpoint has, not even one made meanwhile.
async fn beyond(log: &mut LogClient, size: u64) -> Result<Option<u64>, Failure> {
    let mut from_number = size;
    loop {
        let request = ReadEntriesRequest {
            from_number,
            page_size: 1,
        };
        let reply = log.read_entries(request).await?.into_inner();
        match reply.entries.first() {
            // The answer's size was read after its entries.
            Some(entry) if entry.number >= reply.size => return Ok(Some(entry.number)),
            Some(_) => from_number = reply.size,
            None => return Ok(None),
        }
    }
}

async fn tiles_above(log: &mut LogClient, size: u64) -> Result<Tiles, Failure> {
    let mut tiles = Tiles::default();
    let mut levels: Vec<u8> = rows_above(size).map(|id| id.level).collect();
    levels.dedup();
    for level in levels {
        let mut from_row = 0;
        loop {
            let request = ReadHashesRequest {
                level: level.into(),
                from_row,
                page_size: 256,
            };
            let rows = log.read_hashes(request).await?.into_inner().rows;
            let Some(last) = rows.last() else { break };
            from_row = last.row + 1;
            for row in rows {
                let index = row.row;
                tiles.insert(TileId { level, index }, row.hashes);
            }
        }
    }
    Ok(tiles)
}

fn broken(error: TreeError) -> Failure {
    Failure::Local(format!("the tree cannot be computed: {error}"))
}
