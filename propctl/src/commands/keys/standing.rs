//! What to make of where a service's key epochs stand.

use propdev_proto::mesh::{GetKeyStatusResponse, KeyEpoch};

/// How far a rotation is; nothing before it has begun.
pub(super) fn progress(status: &GetKeyStatusResponse) -> Option<String> {
    let older = older(status);
    if older.is_empty() {
        return None;
    }
    let rows: u64 = older.iter().map(|epoch| epoch.references).sum();
    Some(if rows == 0 {
        "every row is moved; the backup and the end of the older keys follow".into()
    } else {
        format!("{rows} rows left under {}", named(older.into_iter()))
    })
}

/// The epoch to name as left behind, so that a rotation begins, or the one
/// that has begun ends and no other begins.
pub(super) fn left_behind(status: &GetKeyStatusResponse) -> Option<i64> {
    let current = current(status)?;
    let has_begun = status.rotation_running || !older(status).is_empty();
    Some(if has_begun && current > 1 {
        current - 1
    } else {
        current
    })
}

fn current(status: &GetKeyStatusResponse) -> Option<i64> {
    let current = status.epochs.iter().find(|epoch| epoch.current)?;
    Some(current.id)
}

pub(crate) fn older(status: &GetKeyStatusResponse) -> Vec<&KeyEpoch> {
    let current = current(status).unwrap_or(i64::MAX);
    let epochs = status.epochs.iter();
    epochs.filter(|epoch| epoch.id < current).collect()
}

/// What is left to people.
pub(crate) fn action(status: &GetKeyStatusResponse) -> Option<String> {
    let missing: Vec<&KeyEpoch> = status.epochs.iter().filter(|epoch| epoch.missing).collect();
    if !missing.is_empty() {
        let missing = named(missing.into_iter());
        return Some(format!(
            "put {missing} back into the keyring: rows under it cannot be read"
        ));
    }
    if status.managed || status.rotation_running {
        return None;
    }
    let held: Vec<&KeyEpoch> = older(status)
        .into_iter()
        .filter(|epoch| epoch.references > 0)
        .collect();
    if !held.is_empty() {
        return Some(format!(
            "run `propctl keys rotate`: rows are left under {}",
            named(held.into_iter())
        ));
    }
    removal(&status.stale_epochs)
}

pub(super) fn removal(stale: &[i64]) -> Option<String> {
    if stale.is_empty() {
        return None;
    }
    let stale = list(stale.iter().copied());
    Some(format!(
        "remove epoch {stale} from the keyring: nothing refers to it any more"
    ))
}

fn named<'a>(epochs: impl Iterator<Item = &'a KeyEpoch>) -> String {
    format!("epoch {}", list(epochs.map(|epoch| epoch.id)))
}

pub(super) fn list(ids: impl Iterator<Item = i64>) -> String {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    ids.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(managed: bool, epochs: &[(i64, u64)]) -> GetKeyStatusResponse {
        let newest = epochs.last().map_or(0, |(id, _)| *id);
        GetKeyStatusResponse {
            managed,
            epochs: epochs
                .iter()
                .map(|(id, references)| KeyEpoch {
                    id: *id,
                    references: *references,
                    current: *id == newest,
                    ..KeyEpoch::default()
                })
                .collect(),
            ..GetKeyStatusResponse::default()
        }
    }

    #[test]
    fn a_rotation_that_has_begun_is_not_begun_once_more() {
        assert_eq!(left_behind(&status(true, &[(3, 10)])), Some(3));
        assert_eq!(left_behind(&status(true, &[(3, 10), (4, 0)])), Some(3));
        let mut running = status(true, &[(4, 10)]);
        running.rotation_running = true;
        assert_eq!(left_behind(&running), Some(3));
        let mut first = status(true, &[(1, 10)]);
        first.rotation_running = true;
        assert_eq!(left_behind(&first), Some(1));
        assert_eq!(left_behind(&status(true, &[])), None);
    }

    #[test]
    fn progress_counts_what_is_left() {
        assert_eq!(progress(&status(true, &[(2, 9)])), None);
        let told = progress(&status(true, &[(1, 5), (2, 7), (3, 100)])).expect("progress");
        assert_eq!(told, "12 rows left under epoch 1, 2");
        let told = progress(&status(true, &[(1, 0), (2, 7)])).expect("progress");
        assert!(told.contains("every row is moved"), "{told}");
    }

    #[test]
    fn what_an_operator_must_do_is_said() {
        assert_eq!(action(&status(true, &[(1, 5), (2, 7)])), None);
        assert_eq!(action(&status(false, &[(2, 7)])), None);
        let told = action(&status(false, &[(1, 5), (2, 7)])).expect("an action");
        assert!(told.contains("propctl keys rotate"), "{told}");
        let mut stale = status(false, &[(1, 0), (2, 7)]);
        stale.stale_epochs = vec![1];
        let told = action(&stale).expect("an action");
        assert!(
            told.starts_with("remove epoch 1 from the keyring"),
            "{told}"
        );
        let mut missing = status(true, &[(1, 5), (2, 7)]);
        missing.epochs[0].missing = true;
        let told = action(&missing).expect("an action");
        assert!(told.starts_with("put epoch 1 back"), "{told}");
    }
}
