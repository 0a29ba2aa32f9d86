//! Whether a door opens: pure, total, and explained.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::schedule::{self, Window};

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

/// A right of the resident on the device.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) windows: Vec<Window>,
    pub(crate) ends_at: Option<Timestamp>,
}

/// Until when the service is paid for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) paid_until: Timestamp,
    pub(crate) grace_days: u32,
}

/// What is known of the person recognised.
#[derive(Clone, Debug)]
pub(crate) struct ResidentFacts {
    pub(crate) suspended: bool,
    pub(crate) grants: Vec<Grant>,
    pub(crate) subscription: Option<Subscription>,
}

/// All that a decision looks at.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) lockdown: bool,
    pub(crate) device_disabled: bool,
    pub(crate) zone: TimeZone,
    pub(crate) resident: Result<ResidentFacts, Unrecognised>,
}

/// One check and how it came out, for the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) passed: bool,
    /// Why evidence named nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// None is granted.
    pub(crate) denial: Option<Denial>,
    pub(crate) checks: Vec<Check>,
}

pub(crate) fn decide(facts: &Facts, now: Timestamp) -> Decision {
    let active: Vec<&Grant> = facts
        .resident
        .iter()
        .flat_map(|resident| &resident.grants)
        .filter(|grant| grant.ends_at.is_none_or(|end| now < end))
        .collect();
    let mut outcomes = vec![
        (Denial::SubjectNotRecognized, facts.resident.is_ok()),
        (Denial::Lockdown, !facts.lockdown),
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
            (Denial::ServiceUnpaid, is_paid(resident.subscription, now)),
        ]);
    }
    Decision {
        denial: outcomes
            .iter()
            .find(|(_, passed)| !passed)
            .map(|(denial, _)| *denial),
        checks: outcomes
            .into_iter()
            .map(|(denial, passed)| Check {
                name: denial.check().into(),
                passed,
                cause: match (denial, &facts.resident) {
                    (Denial::SubjectNotRecognized, Err(cause)) => Some(cause.as_str().into()),
                    _ => None,
                },
            })
            .collect(),
    }
}

fn is_paid(subscription: Option<Subscription>, now: Timestamp) -> bool {
    subscription.is_some_and(|subscription| {
        let grace = SignedDuration::from_hours(24 * i64::from(subscription.grace_days));
        // Beyond the end of time is paid for ever.
        subscription
            .paid_until
            .checked_add(grace)
            .map_or(true, |end| now < end)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().expect("a time")
    }

    /// Facts in which exactly the conditions of the mask fail.
    fn facts(mask: u8) -> Facts {
        let fails = |bit: u8| mask & (1 << bit) != 0;
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
            lockdown: fails(1),
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
                    subscription: Some(Subscription {
                        paid_until: if fails(6) { now() - hour } else { now() + hour },
                        grace_days: 0,
                    }),
                })
            },
        }
    }

    /// Every combination of conditions: the first that fails, in the
    /// contract's order, names the refusal.
    #[test]
    fn the_whole_table_of_conditions() {
        let order = [
            Denial::SubjectNotRecognized,
            Denial::Lockdown,
            Denial::DeviceDisabled,
            Denial::ResidentSuspended,
            Denial::NoGrant,
            Denial::OutsideSchedule,
            Denial::ServiceUnpaid,
        ];
        for mask in 0..128_u8 {
            let expected = order
                .into_iter()
                .zip(0..)
                .find_map(|(denial, bit)| (mask & (1 << bit) != 0).then_some(denial));
            let decision = decide(&facts(mask), now());
            assert_eq!(decision.denial, expected, "mask {mask:07b}");
            assert_eq!(
                decision.denial.is_none(),
                decision.checks.iter().all(|check| check.passed)
            );
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

    #[test]
    fn nobody_without_a_subscription_has_paid() {
        assert!(!is_paid(None, now()));
        let hour = SignedDuration::from_hours(1);
        let paid = |paid_until, grace_days| {
            is_paid(
                Some(Subscription {
                    paid_until,
                    grace_days,
                }),
                now(),
            )
        };
        assert!(!paid(now(), 0));
        assert!(paid(now() + hour, 0));
        assert!(paid(now() - hour, 1));
        assert!(!paid(now() - hour * 24, 1));
        assert!(paid(Timestamp::MAX, 365));
    }

    proptest! {
        #[test]
        fn nobody_unknown_ever_enters(lockdown: bool, device_disabled: bool) {
            let resident = Err(Unrecognised::Unknown);
            let facts = Facts { lockdown, device_disabled, zone: TimeZone::UTC, resident };
            prop_assert_eq!(decide(&facts, now()).denial, Some(Denial::SubjectNotRecognized));
        }
    }
}
