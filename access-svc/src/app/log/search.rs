//! Reading the log, proving what it holds, and opening a link.

use std::collections::BTreeSet;

use audit_log::{
    Entry, Hash, Kind, TileId, Tiles,
    tree::{rows_of_consistency, rows_of_inclusion},
};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    app::App,
    domain::entry::{self, Link},
    error::{Error, Noun},
    store::{Checkpoint, EntryFilter, Page, Place, StoredEntry},
};

/// Entries proved in one call, and forged ones told.
const MOST: u64 = 100;

/// Where the log stands.
pub(crate) struct State {
    pub(crate) origin: String,
    pub(crate) verifier_key: String,
    pub(crate) newest: Option<Checkpoint>,
    pub(crate) forged: Vec<Uuid>,
    pub(crate) places: Vec<(String, Place)>,
    pub(crate) queued: bool,
}

pub(crate) enum ToProve {
    Numbers(Vec<u64>),
    Opening(Uuid),
}

/// Entries with their paths, in a tree of this size.
pub(crate) struct Proofs {
    /// Of that size; none where the caller named it.
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) size: u64,
    pub(crate) entries: Vec<(StoredEntry, Vec<Hash>)>,
    pub(crate) consistency: Vec<Hash>,
}

impl App {
    pub(crate) async fn log_state(&self) -> Result<State, Error> {
        let (store, log) = (&self.parts.store, &self.parts.log);
        Ok(State {
            origin: log.verifier.origin().to_owned(),
            verifier_key: log.verifier.as_str().to_owned(),
            newest: store.newest_checkpoint().await?,
            forged: store.forged_entries(MOST).await?,
            places: store.places().await?,
            queued: store.has_queued_entries().await?,
        })
    }

    pub(crate) async fn read_entries(
        &self,
        from: u64,
        limit: u64,
    ) -> Result<(Vec<StoredEntry>, u64), Error> {
        let store = &self.parts.store;
        let entries = store.entries_from(from, limit).await?;
        // Read after the entries: it covers them.
        let newest = store.newest_checkpoint().await?;
        Ok((entries, newest.map_or(0, |newest| newest.size)))
    }

    pub(crate) async fn read_hashes(&self, from: TileId, limit: u64) -> Result<Tiles, Error> {
        self.parts.store.tiles_from(from, limit).await
    }

    pub(crate) async fn checkpoints(
        &self,
        larger_than: u64,
        limit: u64,
    ) -> Result<Vec<Checkpoint>, Error> {
        self.parts.store.checkpoints(larger_than, limit).await
    }

    pub(crate) async fn search_entries(
        &self,
        filter: EntryFilter,
        resident: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<StoredEntry>, Error> {
        let store = &self.parts.store;
        let who = match resident {
            Some(id) => {
                let resident = store.resident(id).await?;
                let resident = resident.ok_or(Error::NotFound(Noun::Resident))?;
                Some(resident.audit_pseudonym)
            }
            None => filter.who,
        };
        store
            .find_entries(EntryFilter { who, ..filter }, page)
            .await
    }

    pub(crate) async fn prove_entries(
        &self,
        what: ToProve,
        earlier: u64,
        size: Option<u64>,
    ) -> Result<Proofs, Error> {
        let store = &self.parts.store;
        let absent = || Error::NotFound(Noun::Entry);
        let newest = store.newest_checkpoint().await?.ok_or_else(absent)?;
        let checkpoint = size.is_none().then(|| newest.clone());
        let size = size.unwrap_or(newest.size);
        let fault = |field, detail| Err(Error::InvalidField { field, detail });
        if size > newest.size {
            return fault("size", "is more than the log has");
        }
        if earlier > size {
            return fault("earlier_size", "is more than the size of the tree");
        }
        let mut entries = match what {
            ToProve::Numbers(numbers) => {
                let asked = numbers.len();
                let found = store.numbered_entries(numbers).await?;
                if found.len() != asked {
                    return Err(absent());
                }
                found
            }
            ToProve::Opening(opening) => {
                let filter = EntryFilter {
                    opening: Some(opening),
                    oldest_first: true,
                    ..EntryFilter::default()
                };
                let page = Page {
                    after: None,
                    limit: MOST,
                };
                let found = store.find_entries(filter, page).await?;
                if found.is_empty() {
                    return Err(absent());
                }
                found
            }
        };
        // One that has got its number since then is in no such tree.
        entries.retain(|entry| entry.number < size);
        let mut rows: BTreeSet<TileId> = rows_of_consistency(size, earlier);
        for entry in &entries {
            rows.extend(rows_of_inclusion(size, entry.number));
        }
        let tiles = store.tiles(rows).await?;
        let proved = |entry: StoredEntry| {
            let path = tiles.inclusion(size, entry.number);
            path.map(|path| (entry, path))
        };
        let entries = entries.into_iter().map(proved).collect::<Result<_, _>>();
        Ok(Proofs {
            checkpoint,
            size,
            entries: entries.map_err(|_| Error::BrokenLog)?,
            consistency: tiles
                .consistency(size, earlier)
                .map_err(|_| Error::BrokenLog)?,
        })
    }

    /// What is sealed beside an entry, and whose it is. That it was opened is
    /// told first.
    pub(crate) async fn open_link(
        &self,
        number: u64,
    ) -> Result<(Option<Link>, Option<Uuid>), Error> {
        let store = &self.parts.store;
        let entry = store.numbered_entries(vec![number]).await?.pop();
        let entry = entry.ok_or(Error::NotFound(Noun::Entry))?;
        let at = Entry::parse(&entry.payload).map_or(Timestamp::UNIX_EPOCH, |entry| entry.at);
        let telling = Entry {
            who: entry.columns.who,
            subject: Some(number.to_string()),
            ..entry::act(Kind::Act, "link_opened", self.parts.clock.now())
        };
        store.tell(telling).await?;
        let link = match store.link(&entry, at).await? {
            Some(bytes) => Some(Link::from_bytes(&bytes).ok_or(Error::Corrupt("audit link"))?),
            None => None,
        };
        let resident = match entry.columns.who {
            Some(who) => store.resident_by_audit_pseudonym(who).await?,
            None => None,
        };
        Ok((link, resident.map(|resident| resident.id)))
    }
}
