//! Checkpoints on their way out of the house: to folders, where an outsider
//! finds them, and to witnesses. One that does not follow from what is there is
//! not put over it.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use audit_log::{Head, tree::rows_of_root};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use mesh::shutdown::Shutdown;
use opentelemetry::global;
use tokio::{fs, io::AsyncWriteExt};

use super::claim::Claim;
use crate::{
    app::App,
    config::WitnessConfig,
    error::Error,
    store::{Checkpoint, Place},
};

/// The newest one; older ones stand beside it by the hour.
const NEWEST: &str = "checkpoint";
const KEY: &str = "verifier-key";
/// After which a place that failed is tried again.
const REST: SignedDuration = SignedDuration::from_secs(30);
const EVERY: Duration = Duration::from_secs(1);
/// Longer than a witness is waited for.
const TERM: Duration = Duration::from_secs(60);

/// A place outside.
#[derive(Clone, Copy)]
enum Outside<'a> {
    Folder(&'a PathBuf),
    Witness(&'a WitnessConfig),
}

impl Outside<'_> {
    fn name(self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::Witness(witness) => witness.url.clone(),
        }
    }
}

/// Why a place did not take a checkpoint.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untold {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("what is there is no checkpoint of this log")]
    Stranger,
    #[error("what is there tells of {theirs} entries, the log has {ours}")]
    Behind { theirs: u64, ours: u64 },
    #[error("the log does not go on from what is there, of size {0}")]
    Fork(u64),
    #[error("the witness does not sign; HTTP status {0}")]
    Refused(u32),
    #[error(transparent)]
    Log(#[from] Error),
}

impl App {
    /// Until shutdown.
    pub(crate) async fn keep_outside_told(self, shutdown: Shutdown) {
        let log = &self.parts.log;
        if log.settings.folders.is_empty() && log.settings.witnesses.is_empty() {
            return;
        }
        let mut claim = Claim::new(&log.telling, TERM);
        let mut resting = HashMap::new();
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            if let Err(error) = self.tell_outside(&mut claim, &mut resting, false).await {
                claim.doubt();
                tracing::warn!(%error, "checkpoints wait to go out");
            }
        }
    }

    pub(super) async fn tell_outside_at_the_end(&self) -> Result<(), Error> {
        let telling = &self.parts.log.telling;
        let mut claim = Claim::new(telling, TERM);
        self.tell_outside(&mut claim, &mut HashMap::new(), true)
            .await?;
        Ok(telling.release().await?)
    }

    /// Tells every place that is to be told now; one that fails rests a while.
    async fn tell_outside(
        &self,
        claim: &mut Claim<'_>,
        resting: &mut HashMap<String, Timestamp>,
        at_once: bool,
    ) -> Result<(), Error> {
        let (store, settings) = (&self.parts.store, &self.parts.log.settings);
        let Some(newest) = store.newest_checkpoint().await? else {
            return Ok(());
        };
        // Of a backup that was put into the store until the process starts over.
        let ours = self.parts.log.verifier.open(&newest.note);
        ours.map_err(|_| Error::BrokenLog)?;
        let now = self.parts.clock.now();
        let every = SignedDuration::from_secs(i64::from(settings.publish_every_s));
        let told: HashMap<String, Place> = store.places().await?.into_iter().collect();
        let folders = settings.folders.iter().map(Outside::Folder);
        let witnesses = settings.witnesses.iter().map(Outside::Witness);
        for outside in folders.chain(witnesses) {
            let place = outside.name();
            let told = told.get(&place);
            let behind = told.is_none_or(|told| told.size < newest.size);
            let due = told.is_none_or(|told| told.at + every <= now);
            let rests = resting.get(&place).is_some_and(|until| now < *until);
            if !behind || rests || !(due || at_once) {
                continue;
            }
            if !claim.holds(now).await? {
                return Ok(());
            }
            let known = told.map_or(0, |told| told.size);
            let outcome = match outside {
                Outside::Folder(folder) => self.tell_folder(folder, &newest).await,
                Outside::Witness(witness) => self.tell_witness(witness, &newest, known).await,
            };
            match outcome {
                Ok(()) => {
                    let (size, at) = (newest.size, now);
                    store.set_place(&place, Place { size, at }).await?;
                    resting.remove(&place);
                }
                Err(error) => {
                    let meter = global::meter("access");
                    let failures = meter.u64_counter("audit.publish.failures").build();
                    failures.add(1, &[]);
                    tracing::warn!(%error, place, "a checkpoint did not go out");
                    resting.insert(place, now + REST);
                }
            }
        }
        Ok(())
    }

    async fn tell_folder(&self, folder: &Path, newest: &Checkpoint) -> Result<(), Untold> {
        let path = folder.join(NEWEST);
        match fs::read_to_string(&path).await {
            Ok(there) => {
                let head = self.parts.log.verifier.open(&there);
                self.check_ancestor(head.map_err(|_| Untold::Stranger)?, newest.size)
                    .await?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let key = folder.join(KEY);
        if !fs::try_exists(&key).await? {
            let text = format!("{}\n", self.parts.log.verifier.as_str());
            put(&key, text.as_bytes()).await?;
        }
        let hour = TimeZone::UTC.to_datetime(newest.at);
        let hour = hour.strftime("%Y-%m-%dT%H").to_string();
        let of_the_hour = folder.join(format!("{hour}.{NEWEST}"));
        if !fs::try_exists(&of_the_hour).await? {
            put(&of_the_hour, newest.note.as_bytes()).await?;
        }
        put(&path, newest.note.as_bytes()).await?;
        Ok(())
    }

    /// That the log goes on from what was told before: after a restore it may
    /// not, and an outsider must be able to see that.
    async fn check_ancestor(&self, there: Head, size: u64) -> Result<(), Untold> {
        if there.size > size {
            return Err(Untold::Behind {
                theirs: there.size,
                ours: size,
            });
        }
        let tiles = self.parts.store.tiles(rows_of_root(there.size)).await?;
        match tiles.root(there.size) {
            Ok(root) if root == there.root => Ok(()),
            _ => Err(Untold::Fork(there.size)),
        }
    }
}

/// Whole or not at all.
async fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = fs::File::create(&draft).await?;
    file.write_all(content).await?;
    file.sync_all().await?;
    fs::rename(&draft, path).await?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder).await?.sync_all().await?;
    }
    Ok(())
}
