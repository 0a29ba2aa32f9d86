//! Whether a door opens: pure, total, and explained.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{
    passage::Passage,
    schedule::{self, Window},
};

/// Why a device stays closed, in the order in which reasons are told: the
/// first that holds names the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Denial {
    SubjectNotRecognized,
    Lockdown,
    DeviceDisabled,
    ResidentSuspended,
    NoGrant,
    OutsideSchedule,
    ServiceUnpaid,
}

impl Denial {
    /// The partner's code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::SubjectNotRecognized => "subject_not_recognized",
            Self::Lockdown => "lockdown",
            Self::DeviceDisabled => "device_disabled",
            Self::ResidentSuspended => "resident_suspended",
            Self::NoGrant => "no_grant",
            Self::OutsideSchedule => "outside_schedule",
            Self::ServiceUnpaid => "service_unpaid",
        }
    }

    /// What the check is called when it passes as well as when it fails.
    fn check(self) -> &'static str {
        match self {
            Self::SubjectNotRecognized => "subject",
            Self::Lockdown => "lockdown",
            Self::DeviceDisabled => "device",
            Self::ResidentSuspended => "resident",
            Self::NoGrant => "grant",
            Self::OutsideSchedule => "schedule",
            Self::ServiceUnpaid => "payment",
        }
    }

    /// Free passage asks for a known person at a working device, and no more.
    fn is_waived_by_free_passage(self) -> bool {
        match self {
            Self::SubjectNotRecognized | Self::DeviceDisabled => false,
            Self::Lockdown
            | Self::ResidentSuspended
            | Self::NoGrant
            | Self::OutsideSchedule
            | Self::ServiceUnpaid => true,
        }
    }
}

/// Why evidence names nobody: the audit knows, the partner does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unrecognised {
    Unknown,
    Ambiguous,
    Stale,
    Replayed,
    /// A network's retry of evidence that was decided on.
    Used,
}

impl Unrecognised {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ambiguous => "ambiguous",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
            Self::Used => "used",
        }
    }
}

/// A right on the device, of the resident or of a household of the resident's.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) windows: Vec<Window>,
    pub(crate) ends_at: Option<Timestamp>,
}

/// Until when a household has paid for the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) paid_until: Timestamp,
    pub(crate) grace_days: u32,
    /// Nothing opens, paid or not.
    pub(crate) suspended: bool,
}

/// What is known of the person recognised.
#[derive(Clone, Debug)]
pub(crate) struct ResidentFacts {
    pub(crate) suspended: bool,
    pub(crate) grants: Vec<Grant>,
    /// Of every household through which the service may be paid.
    pub(crate) subscriptions: Vec<Subscription>,
}

/// All that a decision looks at.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) site: Passage,
    /// The device's own.
    pub(crate) device: Passage,
    pub(crate) device_disabled: bool,
    pub(crate) zone: TimeZone,
    pub(crate) resident: Result<ResidentFacts, Unrecognised>,
}

/// One check and how it came out, for the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) passed: bool,
    /// Why evidence named nobody, that a payment is suspended, or why a check passed that would
    /// have failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// None is granted.
    pub(crate) denial: Option<Denial>,
    pub(crate) checks: Vec<Check>,
}

/// The cause of a check that free passage waived.
const FREE_PASSAGE: &str = "free_passage";
/// The cause of a payment's check that failed for more than want of money.
const SUSPENDED: &str = "suspended";

pub(crate) fn decide(facts: &Facts, now: Timestamp) -> Decision {
    let active: Vec<&Grant> = facts
        .resident
        .iter()
        .flat_map(|resident| &resident.grants)
        .filter(|grant| grant.ends_at.is_none_or(|end| now < end))
        .collect();
    let locked = facts.site.lockdown || facts.device.lockdown;
    let free = facts.site.free || facts.device.free;
    let mut outcomes = vec![
        (Denial::SubjectNotRecognized, facts.resident.is_ok()),
        (Denial::Lockdown, !locked),
        (Denial::DeviceDisabled, !facts.device_disabled),
    ];
    if let Ok(resident) = &facts.resident {
        let in_schedule = active
            .iter()
            .any(|grant| schedule::is_open(&grant.windows, now, &facts.zone));
        outcomes.extend([
            (Denial::ResidentSuspended, !resident.suspended),
            (Denial::NoGrant, !active.is_empty()),
            (Denial::OutsideSchedule, in_schedule),
            (Denial::ServiceUnpaid, is_paid(&resident.subscriptions, now)),
        ]);
    }
    let checks: Vec<(Denial, Check)> = outcomes
        .into_iter()
        .map(|(denial, holds)| {
            let waived = !holds && free && denial.is_waived_by_free_passage();
            let check = Check {
                name: denial.check().into(),
                passed: holds || waived,
                cause: match (denial, &facts.resident) {
                    _ if waived => Some(FREE_PASSAGE.into()),
                    (Denial::SubjectNotRecognized, Err(cause)) => Some(cause.as_str().into()),
                    (Denial::ServiceUnpaid, Ok(resident)) if !holds => {
                        let mut all = resident.subscriptions.iter();
                        all.any(|one| one.suspended).then(|| SUSPENDED.into())
                    }
                    _ => None,
                },
            };
            (denial, check)
        })
        .collect();
    Decision {
        denial: checks
            .iter()
            .find(|(_, check)| !check.passed)
            .map(|(denial, _)| *denial),
        checks: checks.into_iter().map(|(_, check)| check).collect(),
    }
}

/// One that is paid for and not suspended is enough.
fn is_paid(subscriptions: &[Subscription], now: Timestamp) -> bool {
    subscriptions.iter().any(|subscription| {
        let grace = SignedDuration::from_hours(24 * i64::from(subscription.grace_days));
        // Beyond the end of time is paid for ever.
        let end = subscription.paid_until.checked_add(grace);
        !subscription.suspended && end.map_or(true, |end| now < end)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().expect("a time")
    }

    /// Facts in which exactly the conditions of the mask fail; 7 to 9 are the
    /// device's lockdown, and free passage of site and device, 10 the suspension of a
    /// subscription that may be paid.
    fn facts(mask: u16) -> Facts {
        let fails = |bit: u16| mask & (1 << bit) != 0;
        let hour = SignedDuration::from_hours(1);
        let windows = if fails(5) {
            // 2026-11-24 is a Tuesday.
            vec![Window {
                weekdays: vec![3],
                from: 0,
                to: 1440,
            }]
        } else {
            vec![]
        };
        Facts {
            site: Passage {
                lockdown: fails(1),
                free: fails(8),
            },
            device: Passage {
                lockdown: fails(7),
                free: fails(9),
            },
            device_disabled: fails(2),
            zone: TimeZone::UTC,
            resident: if fails(0) {
                Err(Unrecognised::Unknown)
            } else {
                Ok(ResidentFacts {
                    suspended: fails(3),
                    grants: vec![Grant {
                        windows,
                        ends_at: fails(4).then(|| now() - hour),
                    }],
                    subscriptions: vec![Subscription {
                        paid_until: if fails(6) { now() - hour } else { now() + hour },
                        grace_days: 0,
                        suspended: fails(10),
                    }],
                })
            },
        }
    }

    /// Every combination of conditions: the first that fails, in the
    /// contract's order, names the refusal. Free passage, whosever, leaves the
    /// person and the device to be looked at.
    #[test]
    fn the_whole_table_of_conditions() {
        let order: [(Denial, &[u16]); 7] = [
            (Denial::SubjectNotRecognized, &[0]),
            (Denial::Lockdown, &[1, 7]),
            (Denial::DeviceDisabled, &[2]),
            (Denial::ResidentSuspended, &[3]),
            (Denial::NoGrant, &[4]),
            (Denial::OutsideSchedule, &[5]),
            (Denial::ServiceUnpaid, &[6, 10]),
        ];
        let never_waived = [Denial::SubjectNotRecognized, Denial::DeviceDisabled];
        for mask in 0..2_048_u16 {
            let is_set = |bit: &u16| mask & (1 << bit) != 0;
            let free = is_set(&8) || is_set(&9);
            let failing: Vec<Denial> = order
                .into_iter()
                .filter(|(_, bits)| bits.iter().any(is_set))
                .map(|(denial, _)| denial)
                .collect();
            let expected = failing
                .iter()
                .copied()
                .find(|denial| !free || never_waived.contains(denial));
            let decision = decide(&facts(mask), now());
            assert_eq!(decision.denial, expected, "mask {mask:011b}");
            assert_eq!(
                decision.denial.is_none(),
                decision.checks.iter().all(|check| check.passed),
                "mask {mask:011b}"
            );
            // What was waived is told, and nothing else is.
            for check in &decision.checks {
                let waived = check.cause.as_deref() == Some("free_passage");
                let fails = failing.iter().any(|denial| denial.check() == check.name);
                let fails = fails || (check.name == "schedule" && is_set(&4));
                assert_eq!(waived, fails && check.passed, "mask {mask:011b}");
                assert!(!waived || free, "mask {mask:011b}");
                let suspended = check.cause.as_deref() == Some("suspended");
                let expected = check.name == "payment" && is_set(&10) && !free;
                assert_eq!(suspended, expected, "mask {mask:011b}");
            }
        }
    }

    #[test]
    fn the_cause_stands_with_the_subjects_check_alone() {
        for (cause, told) in [
            (Unrecognised::Unknown, "unknown"),
            (Unrecognised::Ambiguous, "ambiguous"),
            (Unrecognised::Stale, "stale"),
            (Unrecognised::Replayed, "replayed"),
            (Unrecognised::Used, "used"),
        ] {
            let facts = Facts {
                resident: Err(cause),
                ..facts(0b10)
            };
            let checks = decide(&facts, now()).checks;
            let causes: Vec<_> = checks
                .iter()
                .filter_map(|check| Some((check.name.as_str(), check.cause.as_deref()?)))
                .collect();
            assert_eq!(causes, [("subject", told)]);
        }
        let stored = r#"{"name":"subject","passed":false}"#;
        let check: Check = serde_json::from_str(stored).expect("one of an older release");
        assert_eq!(check.cause, None);
        assert_eq!(serde_json::to_string(&check).expect("JSON"), stored);
    }

    fn subscription(paid_until: Timestamp, grace_days: u32) -> Subscription {
        Subscription {
            paid_until,
            grace_days,
            suspended: false,
        }
    }

    #[test]
    fn nobody_without_a_subscription_has_paid() {
        assert!(!is_paid(&[], now()));
        let hour = SignedDuration::from_hours(1);
        let paid = |until, grace_days| is_paid(&[subscription(until, grace_days)], now());
        assert!(!paid(now(), 0));
        assert!(paid(now() + hour, 0));
        assert!(paid(now() - hour, 1));
        assert!(!paid(now() - hour * 24, 1));
        assert!(paid(Timestamp::MAX, 365));
    }

    #[test]
    fn the_best_of_several_subscriptions_counts() {
        let hour = SignedDuration::from_hours(1);
        let paid = subscription(now() + hour, 0);
        let unpaid = subscription(now() - hour, 0);
        let suspended = Subscription {
            suspended: true,
            ..paid
        };
        let told = |subscriptions: &[Subscription]| {
            let mut facts = facts(0);
            if let Ok(resident) = &mut facts.resident {
                resident.subscriptions = subscriptions.to_vec();
            }
            let decision = decide(&facts, now());
            let payment = decision.checks.into_iter().find(|c| c.name == "payment");
            (decision.denial, payment.and_then(|check| check.cause))
        };
        let refused = |cause: Option<&str>| {
            let cause = cause.map(str::to_owned);
            (Some(Denial::ServiceUnpaid), cause)
        };
        for several in [[suspended, paid], [paid, suspended], [unpaid, paid]] {
            assert_eq!(told(&several), (None, None));
        }
        assert_eq!(told(&[unpaid, suspended]), refused(Some("suspended")));
        assert_eq!(told(&[unpaid, unpaid]), refused(None));
        assert_eq!(told(&[]), refused(None));
    }

    proptest! {
        #[test]
        fn nobody_unknown_ever_enters(lockdown: bool, free: bool, device_disabled: bool) {
            let resident = Err(Unrecognised::Unknown);
            let (site, device) = (Passage { lockdown, free }, Passage { lockdown: free, free: lockdown });
            let facts = Facts { site, device, device_disabled, zone: TimeZone::UTC, resident };
            prop_assert_eq!(decide(&facts, now()).denial, Some(Denial::SubjectNotRecognized));
        }
    }
}
