//! Where a keyring comes from: its file and, where there is one, the Transit
//! key that wraps what is in it.

use jiff::Timestamp;

use super::{
    Epoch, KeyringError,
    file::{Contents, KeyFile},
    format::{Keys, Pair, Stored},
    transit::Transit,
};
use crate::config::KeyringConfig;

pub(super) struct Source {
    pub(super) file: KeyFile,
    pub(super) managed: bool,
    transit: Option<Transit>,
}

impl Source {
    pub(super) fn new(service: &str, config: &KeyringConfig) -> Result<Self, KeyringError> {
        let transit = match &config.transit {
            Some(transit) => Some(Transit::new(transit, config.allow_group_read)?),
            None => None,
        };
        Ok(Self {
            file: KeyFile::new(service, config),
            managed: config.managed,
            transit,
        })
    }

    pub(super) fn has_transit(&self) -> bool {
        self.transit.is_some()
    }

    /// Makes the file, with a first epoch.
    pub(super) async fn create(&self, now: Timestamp) -> Result<(), KeyringError> {
        self.file.create(Stored {
            id: 1,
            created_at: now,
            keys: self.new_keys().await?,
        })
    }

    /// Random keys in the form in which the file holds them.
    pub(super) async fn new_keys(&self) -> Result<Keys, KeyringError> {
        let pair = Pair::random()?;
        Ok(match &self.transit {
            Some(transit) => Keys::Wrapped(transit.wrap(&pair).await?),
            None => Keys::Plain(pair),
        })
    }

    pub(super) async fn open(&self, contents: &Contents) -> Result<Vec<Epoch>, KeyringError> {
        let mut epochs = Vec::with_capacity(contents.epochs.len());
        for stored in &contents.epochs {
            let pair = match (&stored.keys, &self.transit) {
                (Keys::Plain(pair), _) => pair.clone(),
                (Keys::Wrapped(wrapped), Some(transit)) => transit.unwrap(wrapped).await?,
                (Keys::Wrapped(_), None) => {
                    return Err(self.file.malformed(
                        "its keys are wrapped by Transit: configure [keyring.transit]",
                    ));
                }
            };
            epochs.push(Epoch {
                id: stored.id,
                created_at: stored.created_at,
                kek: pair.kek,
                lookup: pair.lookup,
            });
        }
        Ok(epochs)
    }

    /// Whether the new epochs can take the place of the old ones: what is
    /// wrapped under an epoch must open under it, and nothing becomes current
    /// again.
    pub(super) fn check_succession(
        &self,
        before: &[Epoch],
        after: &[Epoch],
    ) -> Result<(), KeyringError> {
        for old in before {
            let replaced = after.iter().any(|new| {
                new.id == old.id
                    && (new.kek.expose() != old.kek.expose()
                        || new.lookup.expose() != old.lookup.expose())
            });
            if replaced {
                return Err(KeyringError::Replaced {
                    path: self.file.path().into(),
                    epoch: old.id,
                });
            }
        }
        match (before.last(), after.last()) {
            (Some(old), Some(new)) if new.id < old.id => Err(KeyringError::Older {
                path: self.file.path().into(),
                found: new.id,
                current: old.id,
            }),
            _ => Ok(()),
        }
    }

    /// Before a new epoch: a new version of the Transit key, so that the older
    /// ones can go with the older epochs.
    pub(super) async fn begin_epoch(&self) -> Result<(), KeyringError> {
        if let Some(transit) = &self.transit {
            transit.rotate().await?;
        }
        Ok(())
    }

    /// Wraps what is in the clear from before there was Transit.
    pub(super) async fn wrap_plain(&self, contents: &mut Contents) -> Result<(), KeyringError> {
        let Some(transit) = &self.transit else {
            return Ok(());
        };
        for stored in &mut contents.epochs {
            if let Keys::Plain(pair) = &stored.keys {
                let wrapped = transit.wrap(pair).await?;
                stored.keys = Keys::Wrapped(wrapped);
            }
        }
        Ok(())
    }

    /// Sees that what stays is wrapped by newer versions of the Transit key
    /// than what goes, whose versions can then be destroyed: no copy of an
    /// older file opens any more.
    pub(super) async fn outlive(
        &self,
        retired: &Stored,
        contents: &mut Contents,
    ) -> Result<(), KeyringError> {
        self.wrap_plain(contents).await?;
        let Some(transit) = &self.transit else {
            return Ok(());
        };
        let Some((_, newest_retired)) = self.file.versions(retired)? else {
            return Ok(());
        };
        if self
            .oldest_version(contents)?
            .is_none_or(|kept| kept > newest_retired)
        {
            return Ok(());
        }
        transit.rotate().await?;
        for stored in &mut contents.epochs {
            if let Keys::Wrapped(pair) = &stored.keys {
                let wrapped = transit.rewrap(pair).await?;
                stored.keys = Keys::Wrapped(wrapped);
            }
        }
        Ok(())
    }

    /// Destroys the versions of the Transit key that wrap nothing in the file.
    pub(super) async fn destroy_unused_versions(&self) -> Result<(), KeyringError> {
        let Some(transit) = &self.transit else {
            return Ok(());
        };
        let contents = self.file.read()?;
        if let Some(oldest) = self.oldest_version(&contents)?.filter(|oldest| *oldest > 1) {
            transit.destroy_before(oldest).await?;
        }
        Ok(())
    }

    fn oldest_version(&self, contents: &Contents) -> Result<Option<u64>, KeyringError> {
        let mut oldest: Option<u64> = None;
        for stored in &contents.epochs {
            if let Some((version, _)) = self.file.versions(stored)? {
                oldest = Some(oldest.map_or(version, |least| least.min(version)));
            }
        }
        Ok(oldest)
    }
}
