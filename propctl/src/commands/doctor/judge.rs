//! What to make of what one service tells.

use jiff::{SignedDuration, Timestamp};
use propdev_proto::mesh::{Backup, GetKeyStatusResponse};

use super::{
    Finding, Limits, Verdict,
    examine::{Facts, Told},
};
use crate::{certificate::Lifetime, commands::keys, connection::BIOMETRIC, moment};

const HOURS_A_DAY: i64 = 24;

pub(super) fn not_configured(service: &'static str) -> Finding {
    Finding {
        subject: service,
        check: "reachable",
        verdict: Verdict::Unknown,
        detail: format!("endpoints.{service} is not configured"),
    }
}

pub(super) fn service(facts: &Facts, limits: &Limits, now: Timestamp) -> Vec<Finding> {
    let subject = facts.service;
    let finding = |check, (verdict, detail)| Finding {
        subject,
        check,
        verdict,
        detail,
    };
    let is_ready = match (&facts.ready, &facts.certificate) {
        (Ok(is_ready), _) => *is_ready,
        // The handshake knows better why than the call that wanted one.
        (Err(_), Err(why)) | (Err(why), Ok(_)) => {
            return vec![finding("reachable", (Verdict::Wrong, why.clone()))];
        }
    };
    let mut findings = vec![
        finding("reachable", (Verdict::Ok, String::new())),
        finding("ready", ready(is_ready)),
        lifetime(subject, "certificate", &facts.certificate, now),
    ];
    if !facts.stores() {
        return findings;
    }
    findings.push(finding("corrupt rows", corrupt(facts)));
    match &facts.keys {
        Told::Yes(status) => {
            findings.push(finding("keys", keys(status)));
            findings.push(finding("epoch age", epoch_age(status, limits, now)));
        }
        untold => findings.push(finding("keys", nothing_told(untold))),
    }
    findings.push(finding(
        "backup",
        match &facts.backups {
            Told::Yes(backups) => backup(backups, limits, now),
            untold => nothing_told(untold),
        },
    ));
    findings
}

type Judgement = (Verdict, String);

/// For what is not `Yes`.
pub(super) fn nothing_told<T>(told: &Told<T>) -> Judgement {
    match told {
        Told::Refused(why) => (Verdict::Wrong, why.clone()),
        Told::Yes(_) | Told::Silent => (Verdict::Unknown, "the service does not tell".into()),
    }
}

fn ready(is_ready: bool) -> Judgement {
    if is_ready {
        (Verdict::Ok, String::new())
    } else {
        let detail = "it answers and is not ready: its log tells what it waits for";
        (Verdict::Wrong, detail.into())
    }
}

pub(super) fn lifetime(
    subject: &'static str,
    check: &'static str,
    lifetime: &Result<Lifetime, String>,
    now: Timestamp,
) -> Finding {
    let (verdict, detail) = match lifetime {
        Err(why) => (Verdict::Wrong, why.clone()),
        Ok(lifetime) => {
            let until = lifetime.until;
            let left = lifetime.left(now);
            if left <= SignedDuration::ZERO {
                (Verdict::Wrong, format!("it ended at {until}"))
            } else if lifetime.is_overdue(now) {
                let detail = format!("it ends at {until} and should have been renewed");
                (Verdict::Warning, detail)
            } else {
                (Verdict::Ok, format!("until {until}"))
            }
        }
    };
    Finding {
        subject,
        check,
        verdict,
        detail,
    }
}

fn corrupt(facts: &Facts) -> Judgement {
    let counted = match &facts.diagnosis {
        Told::Yes(diagnosis) => diagnosis.corrupt_rows,
        _ => None,
    };
    let left_out = match &facts.unreadable_templates {
        Told::Yes(rows) => Some(*rows),
        Told::Silent => None,
        Told::Refused(why) if facts.service == BIOMETRIC => return (Verdict::Wrong, why.clone()),
        Told::Refused(_) => None,
    };
    match counted.max(left_out) {
        None => (Verdict::Unknown, "the service does not count them".into()),
        Some(0) => (Verdict::Ok, String::new()),
        Some(rows) => {
            let detail = format!("{rows} rows do not open: restore them, or erase whose they are");
            (Verdict::Wrong, detail)
        }
    }
}

fn keys(status: &GetKeyStatusResponse) -> Judgement {
    let missing = status.epochs.iter().any(|epoch| epoch.missing);
    match keys::action(status) {
        Some(action) if missing => (Verdict::Wrong, action),
        Some(action) => (Verdict::Warning, action),
        None if status.rotation_running => (Verdict::Ok, "a rotation is under way".into()),
        None if !keys::older(status).is_empty() => {
            let detail = "older epochs are left over: run `propctl keys rotate`";
            (Verdict::Warning, detail.into())
        }
        None => (Verdict::Ok, String::new()),
    }
}

fn epoch_age(status: &GetKeyStatusResponse, limits: &Limits, now: Timestamp) -> Judgement {
    let current = status.epochs.iter().find(|epoch| epoch.current);
    let Some((id, created)) = current.and_then(|epoch| {
        let created = moment::from_proto(epoch.created_at.as_ref()?)?;
        Some((epoch.id, created))
    }) else {
        return (Verdict::Wrong, "there is no current epoch".into());
    };
    let age = now.duration_since(created);
    let told = format!("epoch {id} is {} days old", days(age));
    if limits.epoch_age.is_some_and(|most| age > most) {
        let detail = format!("{told}: run `propctl keys rotate`; until then no erasure is final");
        return (Verdict::Wrong, detail);
    }
    (Verdict::Ok, told)
}

fn backup(backups: &[Backup], limits: &Limits, now: Timestamp) -> Judgement {
    let Some(most) = limits.backup_age else {
        return (Verdict::Ok, "not asked for".into());
    };
    // What was verified last may hold less than what was made last.
    let newest = backups
        .iter()
        .filter(|backup| backup.verified_at.is_some())
        .filter_map(|backup| moment::from_proto(backup.created_at.as_ref()?))
        .max();
    let Some(newest) = newest else {
        let detail = "there is no verified backup: run `propctl backup create`";
        return (Verdict::Wrong, detail.into());
    };
    let age = now.duration_since(newest);
    let told = format!("the last verified one is {} days old", days(age));
    if age > most {
        return (
            Verdict::Wrong,
            format!("{told}: run `propctl backup create`"),
        );
    }
    (Verdict::Ok, told)
}

fn days(age: SignedDuration) -> i64 {
    age.as_hours() / HOURS_A_DAY
}

#[cfg(test)]
mod tests {
    use propdev_proto::mesh::KeyEpoch;

    use super::*;
    use crate::connection::{AUTH, EDGE};

    fn now() -> Timestamp {
        "2026-11-24T06:00:00Z".parse().expect("a time")
    }

    fn limits() -> Limits {
        Limits {
            epoch_age: Some(SignedDuration::from_hours(48)),
            backup_age: Some(SignedDuration::from_hours(48)),
            clock_difference: SignedDuration::from_secs(5),
        }
    }

    fn bad(facts: &Facts, at: Timestamp) -> Vec<(&'static str, Verdict)> {
        service(facts, &limits(), at)
            .into_iter()
            .filter(|finding| finding.verdict != Verdict::Ok)
            .map(|finding| (finding.check, finding.verdict))
            .collect()
    }

    fn with_keys(change: impl FnOnce(&mut GetKeyStatusResponse)) -> Facts {
        let mut facts = Facts::sound(AUTH, now());
        if let Told::Yes(status) = &mut facts.keys {
            change(status);
        }
        facts
    }

    #[test]
    fn a_sound_service_has_no_bad_finding() {
        assert!(bad(&Facts::sound(AUTH, now()), now()).is_empty());
        assert!(bad(&Facts::sound(BIOMETRIC, now()), now()).is_empty());
        let edge = service(&Facts::sound(EDGE, now()), &limits(), now());
        assert_eq!(edge.len(), 3);
    }

    #[test]
    fn one_that_is_away_is_told_once_with_its_cause() {
        let mut facts = Facts::sound(AUTH, now());
        facts.ready = Err("UNAVAILABLE".into());
        facts.certificate = Err("it expired".into());
        let findings = service(&facts, &limits(), now());
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].detail, "it expired");
    }

    #[test]
    fn each_fault_of_a_service_is_found() {
        let mut facts = Facts::sound(AUTH, now());
        facts.ready = Ok(false);
        assert_eq!(bad(&facts, now()), [("ready", Verdict::Wrong)]);

        let mut facts = Facts::sound(BIOMETRIC, now());
        facts.unreadable_templates = Told::Yes(2);
        assert_eq!(bad(&facts, now()), [("corrupt rows", Verdict::Wrong)]);

        let mut facts = Facts::sound(AUTH, now());
        facts.backups = Told::Yes(vec![Backup::default()]);
        assert_eq!(bad(&facts, now()), [("backup", Verdict::Wrong)]);

        let mut facts = Facts::sound(AUTH, now());
        facts.keys = Told::Refused("PERMISSION_DENIED".into());
        facts.diagnosis = Told::Silent;
        facts.unreadable_templates = Told::Silent;
        let wanted = [("corrupt rows", Verdict::Unknown), ("keys", Verdict::Wrong)];
        assert_eq!(bad(&facts, now()), wanted);
    }

    #[test]
    fn age_counts() {
        let later = now() + SignedDuration::from_hours(36);
        let facts = Facts::sound(AUTH, now());
        let wanted = ["certificate", "epoch age", "backup"].map(|check| (check, Verdict::Wrong));
        assert_eq!(bad(&facts, later), wanted);
        let soon = now() + SignedDuration::from_hours(20);
        assert_eq!(bad(&facts, soon), [("certificate", Verdict::Warning)]);
    }

    #[test]
    fn epochs_that_wait_for_somebody_warn_and_missing_ones_are_wrong() {
        let older = || KeyEpoch {
            id: 2,
            ..KeyEpoch::default()
        };
        let stale = with_keys(|status| {
            status.managed = false;
            status.epochs.insert(0, older());
            status.stale_epochs = vec![2];
        });
        assert_eq!(bad(&stale, now()), [("keys", Verdict::Warning)]);
        let rotating = with_keys(|status| {
            status.rotation_running = true;
            status.epochs.insert(0, older());
        });
        assert!(bad(&rotating, now()).is_empty());
        let missing = with_keys(|status| {
            status.epochs.insert(
                0,
                KeyEpoch {
                    missing: true,
                    ..older()
                },
            );
        });
        assert_eq!(bad(&missing, now()), [("keys", Verdict::Wrong)]);
    }
}
