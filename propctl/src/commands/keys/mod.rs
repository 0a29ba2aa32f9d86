mod standing;

use std::time::Duration;

use clap::{Args, Subcommand};
use propdev_proto::mesh::{
    GetKeyStatusRequest, GetKeyStatusResponse, RotateKeysRequest, RotateKeysResponse,
    custody_service_client::CustodyServiceClient,
};
use serde_json::{Value, json};
pub(crate) use standing::{action, older};
use standing::{left_behind, list, progress, removal};
use tonic::{Response, Status};

use crate::{
    connection::{Line, Session},
    error::Failure,
    json, moment,
    output::{self, or_dash},
    services::{Choice, Storing, Walk},
};

/// Between two looks at a rotation that goes on.
const LOOK_EVERY: Duration = Duration::from_secs(2);

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Where each service's key epochs stand, and what an operator must do
    Status(Choice),
    /// Move each service to a new epoch, back it up, and destroy the older epochs' keys.
    /// What has begun is finished, not begun once more
    Rotate(Rotate),
}

#[derive(Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    choice: Choice,
    /// Go on with a walk that was interrupted, after the epochs that it printed when it began
    #[arg(long, value_name = "SERVICE=EPOCH", value_delimiter = ',', value_parser = parse_after,
          conflicts_with = "service")]
    after: Vec<(Storing, i64)>,
}

type Custody = CustodyServiceClient<Line>;

impl Keys {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Status(choice) => status(&choice, session).await,
            Self::Rotate(rotate) => rotate.run(session).await,
        }
    }
}

async fn status(choice: &Choice, session: &Session) -> Result<(), Failure> {
    let mut walk = Walk::default();
    let mut standings = Vec::new();
    for service in choice.configured(session)? {
        match key_status(session, service).await {
            Ok(status) => standings.push(Standing { service, status }),
            Err(failure) => walk.fail(service, &failure),
        }
    }
    session.output.print(
        || standings.iter().map(Standing::as_json).collect(),
        || standings_as_text(&standings),
    )?;
    walk.end("their keys are not told of")
}

async fn key_status(
    session: &Session,
    service: &'static str,
) -> Result<GetKeyStatusResponse, Failure> {
    let mut custody = Custody::new(session.line(service)?);
    custody
        .get_key_status(GetKeyStatusRequest {})
        .await
        .map(Response::into_inner)
        .map_err(|status| session.refused(status))
}

/// A service, and the epoch that is to be left behind.
struct Step {
    service: &'static str,
    after: i64,
}

impl Rotate {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let steps = self.steps(session).await?;
        let resume: Vec<String> = steps
            .iter()
            .map(|step| format!("{}={}", step.service, step.after))
            .collect();
        output::note(&format!(
            "to go on should this be interrupted: propctl keys rotate --after {}",
            resume.join(",")
        ));
        let mut walk = Walk::default();
        let mut rotated = Vec::new();
        for step in steps {
            output::note(&format!(
                "{}: moving on from epoch {}",
                step.service, step.after
            ));
            let watched = session.side_line(step.service)?;
            let progress = tokio::spawn(tell_progress(watched, step.service));
            let done = rotate(session, &step).await;
            progress.abort();
            match done {
                Ok(reply) => rotated.push(Rotated { step, reply }),
                Err(failure) => walk.fail(step.service, &failure),
            }
        }
        session.output.print(
            || rotated.iter().map(Rotated::as_json).collect(),
            || rotated_as_text(&rotated),
        )?;
        walk.end("not rotated")
    }

    /// Every service is looked at before one is touched.
    async fn steps(&self, session: &Session) -> Result<Vec<Step>, Failure> {
        if !self.after.is_empty() {
            let step = |(storing, after): &(Storing, i64)| Step {
                service: storing.name(),
                after: *after,
            };
            return Ok(self.after.iter().map(step).collect());
        }
        let mut walk = Walk::default();
        let mut steps = Vec::new();
        for service in self.choice.every(session)? {
            match key_status(session, service).await {
                Ok(status) => steps.push(Step {
                    service,
                    after: left_behind(&status)
                        .ok_or_else(|| Failure::incomplete("the current epoch"))?,
                }),
                Err(failure) => walk.fail(service, &failure),
            }
        }
        walk.end("nothing was rotated, since these do not tell where their keys stand")?;
        Ok(steps)
    }
}

async fn rotate(session: &Session, step: &Step) -> Result<RotateKeysResponse, Failure> {
    let mut custody = Custody::new(session.line(step.service)?);
    let mut waiting = false;
    loop {
        let request = RotateKeysRequest {
            after_epoch: step.after,
        };
        match custody.rotate_keys(request).await {
            // The service goes on with what an interrupted propctl asked, or
            // rotates by its own schedule.
            Err(status) if is_busy(&status) => {
                if !waiting {
                    let service = step.service;
                    output::note(&format!("{service}: busy with its keys; waiting for it"));
                    waiting = true;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            reply => {
                return reply
                    .map(Response::into_inner)
                    .map_err(|status| session.refused(status));
            }
        }
    }
}

fn is_busy(status: &Status) -> bool {
    mesh::error::reason(status).is_some_and(|(reason, _)| reason == "CUSTODY_BUSY")
}

/// Until it is aborted.
async fn tell_progress(line: Line, service: &'static str) {
    let mut custody = Custody::new(line);
    let mut told = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(reply) = custody.get_key_status(GetKeyStatusRequest {}).await else {
            continue;
        };
        let now = progress(reply.get_ref());
        if now != told
            && let Some(progress) = &now
        {
            output::note(&format!("{service}: {progress}"));
        }
        told = now;
    }
}

struct Standing {
    service: &'static str,
    status: GetKeyStatusResponse,
}

impl Standing {
    fn as_json(&self) -> Result<Value, Failure> {
        let mut told = json::of("propdev.mesh.v1.GetKeyStatusResponse", &self.status)?;
        told["service"] = json!(self.service);
        told["action"] = json!(action(&self.status));
        Ok(told)
    }

    fn rows(&self) -> impl Iterator<Item = Vec<String>> {
        self.status.epochs.iter().map(move |epoch| {
            let state = if epoch.missing {
                "missing"
            } else if epoch.current {
                "current"
            } else {
                "older"
            };
            vec![
                self.service.to_owned(),
                or_dash(&self.status.region),
                epoch.id.to_string(),
                moment::show(epoch.created_at.as_ref()),
                epoch.references.to_string(),
                state.into(),
            ]
        })
    }

    fn remark(&self) -> Option<String> {
        let remark = if self.status.rotation_running {
            Some("a rotation is under way".into())
        } else {
            action(&self.status)
        };
        remark.map(|remark| format!("{}: {remark}", self.service))
    }
}

fn standings_as_text(standings: &[Standing]) -> String {
    let mut text = output::table(
        &["SERVICE", "REGION", "EPOCH", "CREATED", "ROWS", "STATE"],
        standings.iter().flat_map(|standing| standing.rows()),
    );
    for remark in standings.iter().filter_map(Standing::remark) {
        text.push('\n');
        text.push_str(&remark);
    }
    text
}

struct Rotated {
    step: Step,
    reply: RotateKeysResponse,
}

impl Rotated {
    fn as_json(&self) -> Result<Value, Failure> {
        let mut told = json::of("propdev.mesh.v1.RotateKeysResponse", &self.reply)?;
        told["service"] = json!(self.step.service);
        told["after_epoch"] = json!(self.step.after);
        told["action"] = json!(removal(&self.reply.stale_epochs));
        Ok(told)
    }

    fn cells(&self) -> Vec<String> {
        let epochs = self.reply.epochs.iter();
        vec![
            self.step.service.to_owned(),
            list(epochs.filter(|epoch| epoch.current).map(|epoch| epoch.id)),
            self.reply.rewrapped.to_string(),
            or_dash(&self.reply.backup_id),
            if self.reply.old_epochs_destroyed {
                "destroyed"
            } else {
                "kept"
            }
            .into(),
        ]
    }
}

fn rotated_as_text(rotated: &[Rotated]) -> String {
    let mut text = output::table(
        &["SERVICE", "EPOCH", "ROWS MOVED", "BACKUP", "OLDER KEYS"],
        rotated.iter().map(Rotated::cells),
    );
    for rotated in rotated {
        if let Some(removal) = removal(&rotated.reply.stale_epochs) {
            text.push_str(&format!("\n{}: {removal}", rotated.step.service));
        }
    }
    text
}

/// `auth-svc=3`.
fn parse_after(text: &str) -> Result<(Storing, i64), String> {
    text.split_once('=')
        .and_then(|(service, epoch)| {
            let epoch = epoch.parse().ok().filter(|epoch| *epoch > 0)?;
            Some((Storing::of(service)?, epoch))
        })
        .ok_or_else(|| "not SERVICE=EPOCH such as auth-svc=3".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_resumed_by_service_and_epoch() {
        assert_eq!(parse_after("access-svc=7"), Ok((Storing::Access, 7)));
        for wrong in [
            "access-svc",
            "access-svc=",
            "access-svc=0",
            "edge-rest=1",
            "=1",
        ] {
            assert!(parse_after(wrong).is_err(), "{wrong}");
        }
    }
}
