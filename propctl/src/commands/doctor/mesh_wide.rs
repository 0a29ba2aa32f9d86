//! What the services must agree on.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use propdev_proto::mesh::GetKeyStatusResponse;

use super::{
    Finding, Limits, Verdict,
    examine::{Ahead, Facts, Receipts, Told},
    judge::nothing_told,
};

const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

type Judgement = (Verdict, String);

pub(super) fn all(all: &[Facts], receipts: &Told<Receipts>, limits: &Limits) -> Vec<Finding> {
    let finding = |subject, check, (verdict, detail): Judgement| Finding {
        subject,
        check,
        verdict,
        detail,
    };
    let mut findings = vec![
        finding("mesh", "versions", versions(all)),
        finding("mesh", "region", region(all)),
        finding("mesh", "clocks", clocks(all, limits)),
        finding("mesh", "receipts", of_receipts(receipts)),
    ];
    if let Told::Yes(receipts) = receipts {
        let ledgers = all
            .iter()
            .filter_map(|facts| Some((facts.service, ledger(facts, receipts)?)));
        findings.extend(ledgers.map(|(service, told)| finding(service, "ledger", told)));
    }
    findings
}

fn versions(all: &[Facts]) -> Judgement {
    let told: Vec<(&str, &str)> = all
        .iter()
        .filter_map(|facts| match &facts.diagnosis {
            Told::Yes(diagnosis) => Some((facts.service, &*diagnosis.version)),
            _ => None,
        })
        .collect();
    if told.is_empty() {
        return (Verdict::Unknown, "no service tells its own".into());
    }
    let with_ours = told.iter().copied().chain([("propctl", OWN_VERSION)]);
    let detail = named(with_ours.clone());
    if with_ours
        .map(|(_, version)| version)
        .all(|version| version == OWN_VERSION)
    {
        (Verdict::Ok, detail)
    } else {
        (Verdict::Warning, detail)
    }
}

/// Where and whose the stores are.
fn region(all: &[Facts]) -> Judgement {
    let told: Vec<(&str, String)> = all
        .iter()
        .filter_map(|facts| match &facts.keys {
            Told::Yes(status) => Some((facts.service, place(status))),
            _ => None,
        })
        .collect();
    let different: BTreeSet<&String> = told.iter().map(|(_, place)| place).collect();
    match different.first() {
        None => (Verdict::Unknown, "no service tells its own".into()),
        Some(place) if different.len() == 1 => (Verdict::Ok, (*place).clone()),
        Some(_) => {
            let each = told.iter().map(|(service, place)| (*service, &**place));
            (Verdict::Wrong, named(each))
        }
    }
}

fn place(status: &GetKeyStatusResponse) -> String {
    format!("{}, deployment {}", status.region, status.deployment)
}

/// The widest difference there must be between two clocks, this machine's
/// being one of them.
fn clocks(all: &[Facts], limits: &Limits) -> Judgement {
    let ours = Ahead {
        least: SignedDuration::ZERO,
        most: SignedDuration::ZERO,
    };
    let told: Vec<(&str, Ahead)> = all
        .iter()
        .filter_map(|facts| Some((facts.service, facts.ahead?)))
        .chain([("this machine", ours)])
        .collect();
    if told.len() == 1 {
        return (Verdict::Unknown, "no service tells its own".into());
    }
    let ahead = told.iter().max_by_key(|(_, ahead)| ahead.least);
    let behind = told.iter().min_by_key(|(_, ahead)| ahead.most);
    let (Some((fast, ahead)), Some((slow, behind))) = (ahead, behind) else {
        return (Verdict::Ok, String::new());
    };
    let difference = ahead.least - behind.most;
    if difference > limits.clock_difference {
        let seconds = difference.as_secs();
        let detail = format!("{fast} is {seconds} s ahead of {slow}: set the one that is wrong");
        return (Verdict::Wrong, detail);
    }
    (Verdict::Ok, String::new())
}

fn of_receipts(receipts: &Told<Receipts>) -> Judgement {
    match receipts {
        Told::Yes(receipts) => match receipts.faults.as_slice() {
            [] => (Verdict::Ok, String::new()),
            [fault] => (Verdict::Wrong, fault.clone()),
            [fault, others @ ..] => {
                let detail = format!("{fault}, and {} more like it", others.len());
                (Verdict::Wrong, detail)
            }
        },
        untold => nothing_told(untold),
    }
}

/// A ledger that ends before a number that a receipt bears has lost erasures,
/// and a restored store would bring the erased back.
fn ledger(facts: &Facts, receipts: &Receipts) -> Option<Judgement> {
    let known = receipts.numbers.get(facts.service).copied();
    let told = match &facts.diagnosis {
        Told::Yes(diagnosis) => diagnosis.ledger_number,
        _ if facts.ready.is_err() => return None,
        _ => {
            return known.map(|known| {
                let detail = format!("the service does not tell; receipts know of number {known}");
                (Verdict::Unknown, detail)
            });
        }
    };
    Some(match (told, known) {
        (None, None) => return None,
        (None, Some(known)) => {
            let detail = format!("there is none, and receipts know of number {known}");
            (Verdict::Wrong, detail)
        }
        (Some(told), Some(known)) if known > told => {
            let detail = format!(
                "it ends with number {told}, and receipts know of number {known}: \
                 put the longer copy in its place"
            );
            (Verdict::Wrong, detail)
        }
        (Some(told), _) => (Verdict::Ok, format!("it ends with number {told}")),
    })
}

fn named<'a>(told: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let told: Vec<String> = told
        .map(|(service, what)| format!("{service} {what}"))
        .collect();
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::connection::{ACCESS, AUTH, BIOMETRIC};

    fn now() -> Timestamp {
        "2026-11-24T06:00:00Z".parse().expect("a time")
    }

    fn sound() -> Vec<Facts> {
        let all = [AUTH, ACCESS, BIOMETRIC];
        all.map(|service| Facts::sound(service, now())).into()
    }

    fn limits() -> Limits {
        Limits {
            epoch_age: None,
            backup_age: None,
            clock_difference: SignedDuration::from_secs(5),
        }
    }

    fn bad(facts: &[Facts], receipts: Receipts) -> Vec<(&'static str, &'static str, Verdict)> {
        all(facts, &Told::Yes(receipts), &limits())
            .into_iter()
            .filter(|finding| finding.verdict != Verdict::Ok)
            .map(|finding| (finding.subject, finding.check, finding.verdict))
            .collect()
    }

    #[test]
    fn services_that_agree_are_well() {
        let receipts = Receipts {
            numbers: [(BIOMETRIC, 7)].into(),
            faults: Vec::new(),
        };
        assert!(bad(&sound(), receipts).is_empty());
    }

    #[test]
    fn another_version_warns() {
        let mut all = sound();
        if let Told::Yes(diagnosis) = &mut all[1].diagnosis {
            diagnosis.version = "0.0.0-other".into();
        }
        let wanted = [("mesh", "versions", Verdict::Warning)];
        assert_eq!(bad(&all, Receipts::default()), wanted);
    }

    #[test]
    fn another_region_or_deployment_is_wrong() {
        let changes: [fn(&mut GetKeyStatusResponse); 2] = [
            |status| status.region = "ru-other".into(),
            |status| status.deployment = "other".into(),
        ];
        for change in changes {
            let mut all = sound();
            if let Told::Yes(status) = &mut all[2].keys {
                change(status);
            }
            let wanted = [("mesh", "region", Verdict::Wrong)];
            assert_eq!(bad(&all, Receipts::default()), wanted);
        }
    }

    #[test]
    fn clocks_that_surely_differ_are_wrong() {
        let seconds = SignedDuration::from_secs;
        for (least, most, wrong) in [
            (-1, 1, None),
            (4, 6, None),
            (60, 61, Some("biometric-svc is 60 s ahead of this machine")),
            (
                -61,
                -60,
                Some("this machine is 60 s ahead of biometric-svc"),
            ),
        ] {
            let mut all = sound();
            all[2].ahead = Some(Ahead {
                least: seconds(least),
                most: seconds(most),
            });
            let (found, detail) = clocks(&all, &limits());
            match wrong {
                None => assert_eq!(found, Verdict::Ok, "{detail}"),
                Some(wrong) => {
                    assert_eq!(found, Verdict::Wrong);
                    assert!(detail.contains(wrong), "{detail}");
                }
            }
        }
    }

    #[test]
    fn a_ledger_shorter_than_a_receipt_knows_is_wrong() {
        let receipts = |number| Receipts {
            numbers: [(BIOMETRIC, number)].into(),
            faults: Vec::new(),
        };
        let wanted = [(BIOMETRIC, "ledger", Verdict::Wrong)];
        assert_eq!(bad(&sound(), receipts(8)), wanted);
        let mut all = sound();
        if let Told::Yes(diagnosis) = &mut all[2].diagnosis {
            diagnosis.ledger_number = None;
        }
        assert_eq!(bad(&all, receipts(1)), wanted);
        all[2].diagnosis = Told::Silent;
        let wanted = [(BIOMETRIC, "ledger", Verdict::Unknown)];
        assert_eq!(bad(&all, receipts(1)), wanted);
    }

    #[test]
    fn receipts_that_do_not_verify_are_wrong() {
        let receipts = Receipts {
            faults: vec!["a".into(), "b".into()],
            ..Receipts::default()
        };
        assert_eq!(
            bad(&sound(), receipts),
            [("mesh", "receipts", Verdict::Wrong)]
        );
    }
}
