use std::collections::HashSet;

use audit_log::Entry;
use futures::future::join_all;

use super::*;
use crate::{
    domain::event::CommandResult,
    store::testing::{Place, now, place},
};

fn opening(partner: Uuid, granted: bool) -> Opening {
    Opening {
        id: Uuid::now_v7(),
        partner,
        site: Uuid::nil(),
        device_id: "door-1".into(),
        kind: DeviceKind::Door,
        client_id: "c".into(),
        means: Means::Face,
        audit_pseudonym: None,
        denial_code: (!granted).then(|| "no_grant".to_owned()),
        checks: vec![],
        command: granted.then(|| Command {
            id: Uuid::now_v7(),
            status: CommandStatus::Pending,
            answered: None,
            expires_at: now(),
        }),
        decided_at: now(),
    }
}

fn commit(place: &Place, opening: &Opening, key: Option<&str>, use_key: Option<&str>) -> Commit {
    let entry = place.store.new_entry(entry::decision(opening), None);
    Commit {
        opening: opening.clone(),
        idempotency: key.map(|key| Idempotency {
            key: key.as_bytes().to_vec(),
            fingerprint: vec![1],
        }),
        use_key: use_key.map(str::to_owned),
        entry: entry.expect("an entry"),
    }
}

/// How these end that come at the same time, with their openings' ids.
async fn commit_all(place: &Place, commits: Vec<Commit>) -> Vec<(Uuid, Committed)> {
    let commits = commits.into_iter().map(|commit| async move {
        let id = commit.opening.id;
        let committed = place.store.commit_opening(commit).await;
        (id, committed.expect("committed"))
    });
    join_all(commits).await
}

fn stored(ends: &[(Uuid, Committed)]) -> Vec<Uuid> {
    ends.iter()
        .filter(|(_, end)| matches!(end, Committed::Stored { .. }))
        .map(|(id, _)| *id)
        .collect()
}

/// Openings, what they use up, and entries that tell them.
async fn rows(place: &Place) -> [usize; 4] {
    let db = &place.db.read;
    let openings = entity::opening::Entity::find().all(db).await;
    let keys = entity::idempotency::Entity::find().all(db).await;
    let uses = entity::token_use::Entity::find().all(db).await;
    let entries = entity::audit_entry::Entity::find()
        .filter(entity::audit_entry::Column::OpeningId.is_not_null())
        .all(db)
        .await;
    [
        openings.expect("openings").len(),
        keys.expect("keys").len(),
        uses.expect("uses").len(),
        entries.expect("entries").len(),
    ]
}

#[tokio::test]
async fn of_openings_of_one_use_key_one_is_stored() {
    let place = place().await;
    let partner = place.partner().await;
    let commits = (0..40).map(|i| {
        let key = format!("key-{i}");
        commit(&place, &opening(partner, true), Some(&key), Some("jti:1"))
    });
    let commits = commits.collect();
    let ends = commit_all(&place, commits).await;
    let stored = stored(&ends);
    assert_eq!(stored.len(), 1, "{ends:?}");
    let used = ends
        .iter()
        .filter(|(_, end)| *end == Committed::Used(stored[0]));
    assert_eq!(used.count(), 39, "{ends:?}");
    assert_eq!(rows(&place).await, [1, 1, 1, 1], "the others left nothing");
    // So it is for those that come later.
    let late = vec![
        commit(&place, &opening(partner, true), None, Some("jti:1")),
        commit(&place, &opening(partner, true), None, Some("jti:2")),
    ];
    let ends = commit_all(&place, late).await;
    assert_eq!(ends[0].1, Committed::Used(stored[0]));
    assert_eq!(
        ends[1].1,
        Committed::Stored {
            settings_version: 1
        }
    );
}

#[tokio::test]
async fn of_openings_of_one_idempotency_key_one_is_stored() {
    let place = place().await;
    let partner = place.partner().await;
    let commits = (0..40).map(|i| {
        let use_key = format!("jti:{i}");
        commit(
            &place,
            &opening(partner, true),
            Some("press"),
            Some(&use_key),
        )
    });
    let commits = commits.collect();
    let ends = commit_all(&place, commits).await;
    let stored = stored(&ends);
    assert_eq!(stored.len(), 1, "{ends:?}");
    let same = ends.iter().filter(|(_, end)| *end == Committed::SameKey);
    assert_eq!(same.count(), 39, "{ends:?}");
    assert_eq!(rows(&place).await, [1, 1, 1, 1], "the others left nothing");
    let known = place.store.idempotency(b"press").await.expect("asked");
    assert_eq!(known.expect("known").1, stored[0]);
}

#[tokio::test]
async fn an_opening_that_is_not_stored_leaves_its_key_to_the_next() {
    let place = place().await;
    let partner = place.partner().await;
    let first = commit(&place, &opening(partner, true), None, Some("jti:1"));
    let first = commit_all(&place, vec![first]).await[0].0;
    let together = vec![
        commit(
            &place,
            &opening(partner, true),
            Some("press"),
            Some("jti:1"),
        ),
        commit(
            &place,
            &opening(partner, false),
            Some("press"),
            Some("jti:2"),
        ),
        commit(&place, &opening(partner, true), None, None),
    ];
    let ends = commit_all(&place, together).await;
    assert_eq!(ends[0].1, Committed::Used(first));
    assert_eq!(stored(&ends), [ends[1].0, ends[2].0]);
    let known = place.store.idempotency(b"press").await.expect("asked");
    assert_eq!(known.expect("known").1, ends[1].0);
    assert_eq!(rows(&place).await, [3, 1, 2, 3]);
}

#[tokio::test]
async fn the_first_of_several_outcomes_counts_and_is_told_once() {
    let place = place().await;
    let partner = place.partner().await;
    let openings = [
        opening(partner, true),
        opening(partner, true),
        opening(partner, true),
    ];
    let commits = openings.iter().map(|one| commit(&place, one, None, None));
    let commits = commits.collect();
    commit_all(&place, commits).await;
    // A confirmation was faster than the third's outcome.
    let command = openings[2].command.as_ref().expect("a command");
    let result = CommandResult {
        command_id: command.id,
        opening_id: openings[2].id,
        opened: true,
        at: now(),
        event_id: None,
    };
    let confirmed = place.store.confirm_commands(partner, vec![result], 0).await;
    assert_eq!(confirmed.expect("confirmed"), 1);
    let told = rows(&place).await[3];

    let outcome = |one: &Opening, status| {
        let telling: Entry = entry::outcome(one, status, now());
        place.store.record_outcome(one.id, status, telling)
    };
    let recorded = join_all([
        outcome(&openings[0], CommandStatus::Delivered),
        outcome(&openings[0], CommandStatus::Unknown),
        outcome(&openings[1], CommandStatus::Rejected),
        outcome(&openings[2], CommandStatus::Delivered),
    ])
    .await;
    let states = recorded.into_iter().map(|opening| {
        let command = opening.expect("recorded").command.expect("a command");
        (command.status, command.answered)
    });
    let answered = |status| (status, Some(status));
    assert_eq!(
        states.collect::<Vec<_>>(),
        [
            answered(CommandStatus::Delivered),
            answered(CommandStatus::Delivered),
            answered(CommandStatus::Rejected),
            answered(CommandStatus::Opened),
        ]
    );
    assert_eq!(rows(&place).await[3], told + 2);
    let stranger = opening(partner, true);
    let absent = outcome(&stranger, CommandStatus::Delivered).await;
    assert!(matches!(absent, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn a_command_without_an_outcome_is_given_up_once() {
    let place = place().await;
    let partner = place.partner().await;
    let (lost, done) = (opening(partner, true), opening(partner, true));
    let denied = opening(partner, false);
    let commits = [&lost, &done, &denied].map(|one| commit(&place, one, None, None));
    commit_all(&place, commits.into()).await;
    let store = &place.store;
    let pending = store.pending_commands().await.expect("ids");
    let pending: HashSet<Uuid> = pending.into_iter().collect();
    assert_eq!(pending, HashSet::from([lost.id, done.id]));

    let delivered = CommandStatus::Delivered;
    let telling = entry::outcome(&done, delivered, now());
    let recorded = store.record_outcome(done.id, delivered, telling).await;
    recorded.expect("recorded");
    for given_up in [1, 0] {
        let lost = store.give_up(vec![lost.id, done.id], now()).await;
        assert_eq!(lost.expect("given up"), given_up);
    }
    for (of, expected) in [(lost.id, CommandStatus::Unknown), (done.id, delivered)] {
        let stored = store.opening(of).await.expect("read").expect("an opening");
        let status = stored.command.map(|command| command.status);
        assert_eq!(status, Some(expected));
    }
    assert!(store.pending_commands().await.expect("ids").is_empty());
}
