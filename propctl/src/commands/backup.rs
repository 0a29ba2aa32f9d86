use clap::{Args, Subcommand};
use propdev_proto::mesh::{
    self as contract, CreateBackupRequest, ListBackupsRequest, RestoreBackupRequest,
    VerifyBackupRequest, custody_service_client::CustodyServiceClient, verify_backup_request,
};
use uuid::Uuid;

use crate::{
    connection::{Line, Session},
    error::Failure,
    input, moment,
    output::{self, Row},
    pages::Listed,
    services::{Choice, Storing, Walk},
};

#[derive(Subcommand)]
pub(crate) enum Backup {
    /// Take one of each service while it serves, and read it back
    Create(Choice),
    /// Newest first
    List(Choice),
    /// Read backups whole: structure, digest, and that every key in them opens
    Verify(Verify),
    /// Fill the empty store of a service, which then starts over
    Restore(Restore),
}

#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    choice: Choice,
    /// UUID, or a file of the backup folder of the one service named; without it, the newest of each
    #[arg(requires = "service")]
    backup: Option<String>,
}

#[derive(Args)]
pub(crate) struct Restore {
    #[arg(long, value_enum)]
    service: Storing,
    /// A file of that service's backup folder
    file: String,
    /// Do not ask for the service's name once more
    #[arg(long)]
    yes: bool,
}

type Custody = CustodyServiceClient<Line>;

impl Backup {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create(choice) => {
                let services = choice.every(session)?;
                walk(session, services, "not backed up", async |service| {
                    output::note(&format!("{service}: a backup is being taken"));
                    Ok(vec![create(session, service).await?])
                })
                .await
            }
            Self::List(choice) => {
                let services = choice.configured(session)?;
                walk(session, services, "not listed", async |service| {
                    list(session, service).await
                })
                .await
            }
            Self::Verify(verify) => verify.run(session).await,
            Self::Restore(restore) => restore.run(session).await,
        }
    }
}

/// What each service gives, in one table; `failed` is said of the others.
async fn walk(
    session: &Session,
    services: Vec<&'static str>,
    failed: &str,
    mut ask: impl AsyncFnMut(&'static str) -> Result<Vec<contract::Backup>, Failure>,
) -> Result<(), Failure> {
    let mut walk = Walk::default();
    let mut items = Vec::new();
    for service in services {
        match ask(service).await {
            Ok(mut backups) => items.append(&mut backups),
            Err(failure) => walk.fail(service, &failure),
        }
    }
    session.output.list(&Listed { items, more: false })?;
    walk.end(failed)
}

async fn create(session: &Session, service: &'static str) -> Result<contract::Backup, Failure> {
    let mut custody = Custody::new(session.line(service)?);
    let reply = custody.create_backup(CreateBackupRequest {}).await;
    let reply = reply.map_err(|status| session.refused(status))?;
    present(reply.into_inner().backup)
}

async fn list(session: &Session, service: &'static str) -> Result<Vec<contract::Backup>, Failure> {
    let mut custody = Custody::new(session.line(service)?);
    let reply = custody.list_backups(ListBackupsRequest {}).await;
    let reply = reply.map_err(|status| session.refused(status))?;
    Ok(reply.into_inner().backups)
}

impl Verify {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Some(backup) = self.backup else {
            let services = self.choice.configured(session)?;
            return walk(session, services, "not verified", async |service| {
                let newest = list(session, service).await?.into_iter().next();
                let newest = newest.ok_or_else(|| Failure::Outcome {
                    message: format!("{service} has no backup"),
                    exit_code: Failure::NOT_FOUND,
                })?;
                let named = verify_backup_request::Backup::Id(newest.id);
                Ok(vec![read(session, service, named).await?])
            })
            .await;
        };
        let service = self.choice.only().ok_or_else(|| {
            Failure::Usage("a backup is of one service: name that one with --service".into())
        })?;
        let named = match Uuid::try_parse(&backup) {
            Ok(_) => verify_backup_request::Backup::Id(backup),
            Err(_) => verify_backup_request::Backup::Path(backup),
        };
        session
            .output
            .one(Some(&read(session, service, named).await?))
    }
}

async fn read(
    session: &Session,
    service: &'static str,
    backup: verify_backup_request::Backup,
) -> Result<contract::Backup, Failure> {
    output::note(&format!("{service}: a backup is being read"));
    let mut custody = Custody::new(session.line(service)?);
    let request = VerifyBackupRequest {
        backup: Some(backup),
    };
    let reply = custody.verify_backup(request).await;
    let reply = reply.map_err(|status| session.refused(status))?;
    present(reply.into_inner().backup)
}

impl Restore {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let service = self.service.name();
        let mut custody = Custody::new(session.line(service)?);
        if !self.yes {
            confirm(service, &self.file)?;
        }
        let reply = custody
            .restore_backup(RestoreBackupRequest { path: self.file })
            .await?;
        let backup = present(reply.into_inner().backup)?;
        output::note(&format!(
            "{service} starts over and repeats the erasures since that backup; \
             propctl status tells when it serves"
        ));
        session.output.one(Some(&backup))
    }
}

/// Nobody should find out afterwards that it was the other service's.
fn confirm(service: &str, file: &str) -> Result<(), Failure> {
    output::note(&format!(
        "the store of {service} will be what {file} holds, and {service} will start over"
    ));
    output::ask("Type the service's name to confirm:");
    if *input::line()? == service {
        return Ok(());
    }
    Err(Failure::Usage(
        "the name typed is another; nothing was restored".into(),
    ))
}

fn present(backup: Option<contract::Backup>) -> Result<contract::Backup, Failure> {
    backup.ok_or_else(|| Failure::incomplete(contract::Backup::MESSAGE))
}

impl Row for contract::Backup {
    const MESSAGE: &'static str = "propdev.mesh.v1.Backup";
    const COLUMNS: &'static [&'static str] = &[
        "SERVICE", "BACKUP", "EPOCH", "CREATED", "ROWS", "BYTES", "VERIFIED", "PATH",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.service.clone(),
            self.id.clone(),
            self.epoch.to_string(),
            moment::show(self.created_at.as_ref()),
            self.rows.to_string(),
            self.size_bytes.to_string(),
            moment::show(self.verified_at.as_ref()),
            self.path.clone(),
        ]
    }
}
