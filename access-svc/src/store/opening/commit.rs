//! Decisions made durable: those of about the same time in one transaction,
//! each with all that it uses up, or not at all.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures::FutureExt;
use mesh::{db::Db, gather::Gatherer};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter,
    QuerySelect, sea_query::OnConflict,
};
use uuid::Uuid;

use super::{Idempotency, model};
use crate::{
    domain::opening::Opening,
    error::Error,
    store::{NewEntry, Store, each_for_itself, entity, log},
};

/// What comes while one group is written makes the next.
const GROUPS: usize = 1;
const TOGETHER: usize = 64;

/// A decision to be made durable with everything that it uses up.
pub(crate) struct Commit {
    pub(crate) opening: Opening,
    pub(crate) idempotency: Option<Idempotency>,
    /// What must not be used again: a token's `jti` or a probe's evidence.
    pub(crate) use_key: Option<String>,
    /// What the audit log says of it.
    pub(crate) entry: NewEntry,
}

/// How a commit ended; in all but the first nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// With the version of the partner's settings by then, 0 where it could not
    /// be read.
    Stored {
        settings_version: i64,
    },
    SameKey,
    Used(Uuid),
}

/// A commit as it is stored.
pub(in crate::store) struct Ready {
    row: entity::opening::Model,
    idempotency: Option<Idempotency>,
    use_key: Option<String>,
    entry: NewEntry,
}

impl Ready {
    fn key(&self) -> Option<&[u8]> {
        self.idempotency.as_ref().map(|one| one.key.as_slice())
    }

    fn use_key(&self) -> Option<&str> {
        self.use_key.as_deref()
    }
}

pub(in crate::store) type Commits = Gatherer<Ready, Result<Committed, Error>>;

pub(in crate::store) fn commits(db: Db) -> Commits {
    Gatherer::start(GROUPS, TOGETHER, move |group: Vec<Ready>| {
        let db = db.clone();
        let all = move |group: Vec<Arc<Ready>>| commit_all(db.clone(), group);
        each_for_itself(group, all).boxed()
    })
}

impl Store {
    /// Makes a decision durable, and marks what it uses in the same commit.
    pub(crate) async fn commit_opening(&self, commit: Commit) -> Result<Committed, Error> {
        let ready = Ready {
            row: model(commit.opening)?,
            idempotency: commit.idempotency,
            use_key: commit.use_key,
            entry: commit.entry,
        };
        let committed = self.commits.submit(ready).await;
        committed.unwrap_or(Err(Error::GivenUp))
    }
}

async fn commit_all(db: Db, group: Vec<Arc<Ready>>) -> Result<Vec<Committed>, Error> {
    let sent = group.iter().filter(|one| one.row.command_id.is_some());
    let partners: HashSet<Uuid> = sent.map(|one| one.row.partner_id).collect();
    // Beside the commit, which takes longer.
    let (committed, versions) =
        tokio::join!(write(&db, group.clone()), settings_versions(&db, partners));
    let versions = versions.unwrap_or_default();
    let mut committed = committed?;
    for (one, committed) in group.iter().zip(&mut committed) {
        if let Committed::Stored { settings_version } = committed {
            let version = versions.get(&one.row.partner_id);
            *settings_version = version.copied().unwrap_or_default();
        }
    }
    Ok(committed)
}

async fn settings_versions(db: &Db, partners: HashSet<Uuid>) -> Result<HashMap<Uuid, i64>, DbErr> {
    use entity::partner::{Column, Entity};
    if partners.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, i64)> = Entity::find()
        .select_only()
        .column(Column::Id)
        .column(Column::SettingsVersion)
        .filter(Column::Id.is_in(partners))
        .into_tuple()
        .all(&db.read)
        .await?;
    Ok(rows.into_iter().collect())
}

async fn write(db: &Db, group: Vec<Arc<Ready>>) -> Result<Vec<Committed>, Error> {
    db.writer
        .write(move |txn| {
            async move {
                use entity::opening::{ActiveModel, Entity};
                let committed = use_up(txn, &group).await?;
                let (mut rows, mut entries) = (Vec::new(), Vec::new());
                for (one, committed) in group.iter().zip(&committed) {
                    if matches!(committed, Committed::Stored { .. }) {
                        rows.push(ActiveModel::from(one.row.clone()));
                        entries.push(one.entry.clone());
                    }
                }
                Entity::insert_many(rows)
                    .exec_without_returning(txn)
                    .await?;
                log::insert(txn, entries).await?;
                Ok(committed)
            }
            .boxed()
        })
        .await
}

/// What is known to be used up, and by which opening.
#[derive(Default)]
struct Marked<'a> {
    keys: HashSet<&'a [u8]>,
    uses: HashMap<&'a str, Uuid>,
}

impl Marked<'_> {
    fn refuse(&self, one: &Ready) -> Option<Committed> {
        if one.key().is_some_and(|key| self.keys.contains(key)) {
            return Some(Committed::SameKey);
        }
        let by = self.uses.get(one.use_key()?)?;
        Some(Committed::Used(*by))
    }
}

/// Marks what the group uses up; how each of it ends, in their order.
async fn use_up(txn: &DatabaseTransaction, group: &[Arc<Ready>]) -> Result<Vec<Committed>, DbErr> {
    let stored = Committed::Stored {
        settings_version: 0,
    };
    let mut ends = vec![stored; group.len()];
    let mut marked = Marked::default();
    let mut waiting: Vec<(&Ready, &mut Committed)> = group
        .iter()
        .map(Arc::as_ref)
        .zip(&mut ends)
        .filter(|(one, _)| one.idempotency.is_some() || one.use_key.is_some())
        .collect();
    while !waiting.is_empty() {
        // Of those that want the same the first is tried; what becomes of the
        // others is known after it.
        let (mut tried, mut later) = (Vec::new(), Vec::new());
        let mut wanted = Marked::default();
        for (one, end) in waiting {
            if let Some(refused) = marked.refuse(one) {
                *end = refused;
            } else if wanted.refuse(one).is_some() {
                later.push((one, end));
            } else {
                wanted.keys.extend(one.key());
                wanted
                    .uses
                    .extend(one.use_key().map(|key| (key, one.row.id)));
                tried.push((one, end));
            }
        }
        let openings: Vec<&Ready> = tried.iter().map(|(one, _)| *one).collect();
        let lost = mark_keys(txn, &openings).await?;
        let openings: Vec<&Ready> = openings
            .into_iter()
            .filter(|one| !lost.contains(&one.row.id))
            .collect();
        let used = mark_used(txn, &openings).await?;
        unmark_keys(txn, &openings, &used).await?;
        for (one, end) in tried {
            if lost.contains(&one.row.id) {
                marked.keys.extend(one.key());
                *end = Committed::SameKey;
            } else if let Some(by) = used.get(&one.row.id) {
                marked.uses.extend(one.use_key().map(|key| (key, *by)));
                *end = Committed::Used(*by);
            } else {
                marked.keys.extend(one.key());
                marked
                    .uses
                    .extend(one.use_key().map(|key| (key, one.row.id)));
            }
        }
        waiting = later;
    }
    Ok(ends)
}

/// Those whose idempotency key is another opening's.
async fn mark_keys(txn: &DatabaseTransaction, openings: &[&Ready]) -> Result<HashSet<Uuid>, DbErr> {
    use entity::idempotency::{ActiveModel, Column, Entity};
    let mut marks: Vec<(&Ready, &Idempotency)> = openings
        .iter()
        .filter_map(|one| Some((*one, one.idempotency.as_ref()?)))
        .collect();
    // One order everywhere, or two replicas lock each other out.
    marks.sort_by(|(_, one), (_, other)| one.key.cmp(&other.key));
    let rows = marks.iter().map(|(one, idempotency)| ActiveModel {
        key: Set(idempotency.key.clone()),
        fingerprint: Set(idempotency.fingerprint.clone()),
        opening_id: Set(one.row.id),
        created_at: Set(one.row.decided_at),
    });
    let new = Entity::insert_many(rows)
        .on_conflict(OnConflict::column(Column::Key).do_nothing().to_owned())
        .exec_without_returning(txn)
        .await?;
    if new == marks.len() as u64 {
        return Ok(HashSet::new());
    }
    let keys = marks.iter().map(|(_, idempotency)| idempotency.key.clone());
    let there = Entity::find()
        .filter(Column::Key.is_in(keys))
        .all(txn)
        .await?;
    let there: HashMap<Vec<u8>, Uuid> = there
        .into_iter()
        .map(|row| (row.key, row.opening_id))
        .collect();
    Ok(marks
        .into_iter()
        .filter(|(one, idempotency)| there.get(&idempotency.key) != Some(&one.row.id))
        .map(|(one, _)| one.row.id)
        .collect())
}

/// Those whose use key another opening has used, with that one.
async fn mark_used(
    txn: &DatabaseTransaction,
    openings: &[&Ready],
) -> Result<HashMap<Uuid, Uuid>, DbErr> {
    use entity::token_use::{ActiveModel, Column, Entity};
    let mut marks: Vec<(&Ready, &str)> = openings
        .iter()
        .filter_map(|one| Some((*one, one.use_key()?)))
        .collect();
    // One order everywhere, or two replicas lock each other out.
    marks.sort_by_key(|(_, use_key)| *use_key);
    let rows = marks.iter().map(|(one, use_key)| ActiveModel {
        use_key: Set((*use_key).to_owned()),
        opening_id: Set(one.row.id),
        used_at: Set(one.row.decided_at),
    });
    let new = Entity::insert_many(rows)
        .on_conflict(OnConflict::column(Column::UseKey).do_nothing().to_owned())
        .exec_without_returning(txn)
        .await?;
    if new == marks.len() as u64 {
        return Ok(HashMap::new());
    }
    let keys = marks.iter().map(|(_, use_key)| *use_key);
    let there = Entity::find()
        .filter(Column::UseKey.is_in(keys))
        .all(txn)
        .await?;
    let there: HashMap<String, Uuid> = there
        .into_iter()
        .map(|row| (row.use_key, row.opening_id))
        .collect();
    let mut used = HashMap::new();
    for (one, use_key) in marks {
        match there.get(use_key) {
            Some(by) if *by == one.row.id => {}
            // One that is forgotten by now was used all the same.
            by => {
                used.insert(one.row.id, by.copied().unwrap_or(one.row.id));
            }
        }
    }
    Ok(used)
}

/// An opening that is not stored uses its idempotency key up no more.
async fn unmark_keys(
    txn: &DatabaseTransaction,
    openings: &[&Ready],
    used: &HashMap<Uuid, Uuid>,
) -> Result<(), DbErr> {
    use entity::idempotency::{Column, Entity};
    let keys: Vec<Vec<u8>> = openings
        .iter()
        .filter(|one| used.contains_key(&one.row.id))
        .filter_map(|one| one.key().map(<[u8]>::to_vec))
        .collect();
    if !keys.is_empty() {
        Entity::delete_many()
            .filter(Column::Key.is_in(keys))
            .exec(txn)
            .await?;
    }
    Ok(())
}
