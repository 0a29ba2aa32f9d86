//! Looks everywhere once: what is told ([`examine`]), what to make of it
//! ([`judge`]), in a table or as JSON.

mod examine;
mod judge;
mod mesh_wide;

use clap::Args;
use jiff::SignedDuration;
use mesh::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::{
    certificate,
    connection::{ACCESS, AUTH, BIOMETRIC, EDGE, Session},
    error::Failure,
    output,
};

#[derive(Args)]
pub(crate) struct Doctor {
    /// Days that a key epoch may last, 0 for any number
    #[arg(long, value_name = "DAYS", default_value_t = 8)]
    max_epoch_age: u32,
    /// Days since the last verified backup, 0 for any number
    #[arg(long, value_name = "DAYS", default_value_t = 8)]
    max_backup_age: u32,
    /// Seconds by which clocks may differ
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    max_clock_difference: u32,
    /// Exit 1 unless everything is known and well
    #[arg(long)]
    strict: bool,
}

/// From good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    /// Nobody tells.
    Unknown,
    /// Will become wrong, or waits for somebody.
    Warning,
    Wrong,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

#[derive(Debug)]
struct Finding {
    /// A service, `propctl` for this machine, or `mesh` for all together.
    subject: &'static str,
    check: &'static str,
    verdict: Verdict,
    detail: String,
}

/// What still counts as well; none is no limit.
struct Limits {
    epoch_age: Option<SignedDuration>,
    backup_age: Option<SignedDuration>,
    clock_difference: SignedDuration,
}

impl Doctor {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let limits = self.limits();
        let mut findings = own_files(session);
        let mut all = Vec::new();
        for service in [AUTH, ACCESS, BIOMETRIC, EDGE] {
            match session.endpoint(service) {
                Some(endpoint) => all.push(examine::service(session, service, endpoint).await?),
                // Operators are not let in to the edge everywhere.
                None if service == EDGE => {}
                None => findings.push(judge::not_configured(service)),
            }
        }
        let receipts = examine::receipts(session, &all).await;
        let now = SystemClock.now();
        for facts in &all {
            findings.extend(judge::service(facts, &limits, now));
        }
        findings.extend(mesh_wide::all(&all, &receipts, &limits));
        session
            .output
            .print(|| Ok(as_json(&findings)), || as_text(&findings))?;
        self.end(&findings)
    }

    fn limits(&self) -> Limits {
        let days = |days: u32| (days > 0).then(|| SignedDuration::from_hours(24 * i64::from(days)));
        Limits {
            epoch_age: days(self.max_epoch_age),
            backup_age: days(self.max_backup_age),
            clock_difference: SignedDuration::from_secs(self.max_clock_difference.into()),
        }
    }

    fn end(&self, findings: &[Finding]) -> Result<(), Failure> {
        let worst = if self.strict {
            Verdict::Unknown
        } else {
            Verdict::Wrong
        };
        let bad = findings
            .iter()
            .filter(|finding| finding.verdict >= worst)
            .count();
        if bad == 0 {
            return Ok(());
        }
        Err(Failure::Outcome {
            message: format!("{bad} of {} checks need somebody", findings.len()),
            exit_code: Failure::REFUSED,
        })
    }
}

/// The operator's own certificate and the trust bundle.
fn own_files(session: &Session) -> Vec<Finding> {
    let (tls, now) = (session.tls(), SystemClock.now());
    [
        ("certificate", certificate::of_file(&tls.certificate)),
        (
            "trust bundle",
            certificate::longest_of_file(&tls.trust_bundle),
        ),
    ]
    .into_iter()
    .map(|(check, lifetime)| judge::lifetime("propctl", check, &lifetime, now))
    .collect()
}

fn as_json(findings: &[Finding]) -> Value {
    let worst = findings.iter().map(|finding| finding.verdict).max();
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "subject": finding.subject,
                "check": finding.check,
                "verdict": finding.verdict.name(),
                "detail": finding.detail,
            })
        })
        .collect();
    json!({ "verdict": worst.unwrap_or(Verdict::Ok).name(), "findings": findings })
}

fn as_text(findings: &[Finding]) -> String {
    let rows = findings.iter().map(|finding| {
        vec![
            finding.subject.to_owned(),
            finding.check.to_owned(),
            finding.verdict.name().to_owned(),
            output::or_dash(&finding.detail),
        ]
    });
    output::table(&["SUBJECT", "CHECK", "VERDICT", "DETAIL"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(verdict: Verdict) -> Finding {
        Finding {
            subject: "mesh",
            check: "clocks",
            verdict,
            detail: String::new(),
        }
    }

    fn doctor(strict: bool) -> Doctor {
        Doctor {
            max_epoch_age: 8,
            max_backup_age: 0,
            max_clock_difference: 5,
            strict,
        }
    }

    #[test]
    fn what_is_wrong_fails_and_a_warning_only_where_asked() {
        let ends = |strict, verdict| doctor(strict).end(&[finding(verdict)]);
        for verdict in [Verdict::Ok, Verdict::Unknown, Verdict::Warning] {
            assert!(ends(false, verdict).is_ok());
        }
        let failure = ends(false, Verdict::Wrong).expect_err("wrong");
        assert_eq!(failure.exit_code(), 1);
        assert!(ends(true, Verdict::Ok).is_ok());
        assert!(ends(true, Verdict::Unknown).is_err());
    }

    #[test]
    fn the_worst_finding_is_the_verdict() {
        let told = as_json(&[finding(Verdict::Warning), finding(Verdict::Ok)]);
        assert_eq!(told["verdict"], "warning");
        assert_eq!(told["findings"][1]["verdict"], "ok");
        assert!(doctor(false).limits().backup_age.is_none());
    }
}
