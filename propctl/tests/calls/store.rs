//! The custody of a store, in memory: epochs, backups, a key of receipts.

use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use mesh::{Clock, SystemClock, error::status};
use propdev_proto::mesh::{
    Backup, CreateBackupRequest, CreateBackupResponse, DiagnoseRequest, DiagnoseResponse,
    GetKeyStatusRequest, GetKeyStatusResponse, GetReceiptKeysRequest, GetReceiptKeysResponse,
    KeyEpoch, ListBackupsRequest, ListBackupsResponse, RestoreBackupRequest, RestoreBackupResponse,
    RotateKeysRequest, RotateKeysResponse, VerifyBackupRequest, VerifyBackupResponse,
    custody_service_server::{CustodyService, CustodyServiceServer},
    diagnosis_service_server::{DiagnosisService, DiagnosisServiceServer},
    verify_backup_request,
};
use tokio::sync::Semaphore;
use tonic::{Code, Request, Response, Status, service::Routes};

use crate::receipts::ReceiptKey;

#[derive(Clone)]
pub(crate) struct Store {
    state: Arc<Mutex<State>>,
    /// One for each look at the status.
    looks: Arc<Semaphore>,
    pub(crate) key: Arc<ReceiptKey>,
}

pub(crate) struct State {
    pub(crate) service: &'static str,
    pub(crate) region: String,
    pub(crate) current: i64,
    /// Rows under the epoch before the current one, where one is left.
    pub(crate) left: Option<u64>,
    pub(crate) managed: bool,
    /// Rotations refused as busy before the next one is not.
    pub(crate) busy: u32,
    /// What the next rotation is refused with.
    pub(crate) stuck: bool,
    /// A rotation waits until its progress has been told.
    pub(crate) watched: bool,
    pub(crate) backups: Vec<Backup>,
    pub(crate) ledger_number: Option<u64>,
    /// In the order in which they were asked.
    pub(crate) calls: Vec<String>,
}

impl Store {
    pub(crate) fn new(service: &'static str) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                service,
                region: "ru-moscow".into(),
                current: 1,
                left: None,
                managed: true,
                busy: 0,
                stuck: false,
                watched: false,
                backups: Vec::new(),
                ledger_number: Some(0),
                calls: Vec::new(),
            })),
            looks: Arc::new(Semaphore::new(0)),
            key: Arc::new(ReceiptKey::new()),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a lock")
    }

    pub(crate) fn routes(&self) -> Routes {
        Routes::new(CustodyServiceServer::new(self.clone()))
            .add_service(DiagnosisServiceServer::new(self.clone()))
    }
}

impl State {
    fn epochs(&self) -> Vec<KeyEpoch> {
        let older = self.left.map(|references| KeyEpoch {
            id: self.current - 1,
            created_at: Some(proto(yesterday())),
            references,
            ..KeyEpoch::default()
        });
        let current = KeyEpoch {
            id: self.current,
            created_at: Some(proto(yesterday())),
            references: 10,
            current: true,
            missing: false,
        };
        older.into_iter().chain([current]).collect()
    }

    fn stale(&self) -> Vec<i64> {
        match self.left {
            Some(0) if !self.managed => vec![self.current - 1],
            _ => Vec::new(),
        }
    }

    fn add_backup(&mut self) -> Backup {
        let number = self.backups.len() + 1;
        let backup = Backup {
            id: format!("00000000-0000-4000-8000-{number:012}"),
            service: self.service.into(),
            region: self.region.clone(),
            epoch: self.current,
            created_at: Some(proto(SystemClock.now())),
            verified_at: Some(proto(SystemClock.now())),
            path: format!("/backups/{number}"),
            rows: 11,
            ..Backup::default()
        };
        self.backups.insert(0, backup.clone());
        backup
    }
}

fn yesterday() -> Timestamp {
    SystemClock.now() - SignedDuration::from_hours(24)
}

fn proto(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: 0,
    }
}

fn absent() -> Status {
    status(Code::NotFound, "BACKUP_NOT_FOUND", "no such backup")
}

#[tonic::async_trait]
impl CustodyService for Store {
    async fn get_key_status(
        &self,
        _: Request<GetKeyStatusRequest>,
    ) -> Result<Response<GetKeyStatusResponse>, Status> {
        let state = self.state();
        let told = GetKeyStatusResponse {
            service: state.service.into(),
            region: state.region.clone(),
            deployment: "test".into(),
            epochs: state.epochs(),
            managed: state.managed,
            rotation_running: state.managed && state.left.is_some(),
            stale_epochs: state.stale(),
        };
        self.looks.add_permits(1);
        Ok(Response::new(told))
    }

    async fn rotate_keys(
        &self,
        request: Request<RotateKeysRequest>,
    ) -> Result<Response<RotateKeysResponse>, Status> {
        let after = request.into_inner().after_epoch;
        let watched = {
            let mut state = self.state();
            state.calls.push(format!("rotate after {after}"));
            if state.busy > 0 {
                state.busy -= 1;
                return Err(status(Code::Aborted, "CUSTODY_BUSY", "try again"));
            }
            if std::mem::take(&mut state.stuck) {
                let message = "3 rows do not open";
                return Err(status(Code::FailedPrecondition, "ROTATION_STUCK", message));
            }
            if after == state.current && !state.managed {
                let message = "the keyring is not managed: add epoch 2 to it";
                let reason = "KEYRING_NOT_MANAGED";
                return Err(status(Code::FailedPrecondition, reason, message));
            }
            if after == state.current {
                state.current += 1;
                state.left = Some(500);
            }
            state.watched
        };
        if watched {
            // One before it began, one that is told, one after that was told.
            let looks = self.looks.acquire_many(3).await;
            looks.expect("never closed").forget();
        }
        let mut state = self.state();
        let rewrapped = state.left.unwrap_or(0);
        state.left = state.left.filter(|_| !state.managed).map(|_| 0);
        let backup_id = state.add_backup().id;
        Ok(Response::new(RotateKeysResponse {
            epochs: state.epochs(),
            rewrapped,
            backup_id,
            old_epochs_destroyed: state.left.is_none(),
            stale_epochs: state.stale(),
        }))
    }

    async fn create_backup(
        &self,
        _: Request<CreateBackupRequest>,
    ) -> Result<Response<CreateBackupResponse>, Status> {
        let backup = Some(self.state().add_backup());
        Ok(Response::new(CreateBackupResponse { backup }))
    }

    async fn list_backups(
        &self,
        _: Request<ListBackupsRequest>,
    ) -> Result<Response<ListBackupsResponse>, Status> {
        let backups = self.state().backups.clone();
        Ok(Response::new(ListBackupsResponse { backups }))
    }

    async fn verify_backup(
        &self,
        request: Request<VerifyBackupRequest>,
    ) -> Result<Response<VerifyBackupResponse>, Status> {
        let mut state = self.state();
        let named = request.into_inner().backup.ok_or_else(absent)?;
        let (call, found) = match named {
            verify_backup_request::Backup::Id(id) => {
                let found = state.backups.iter().find(|backup| backup.id == id).cloned();
                (format!("verify id {id}"), found)
            }
            verify_backup_request::Backup::Path(path) => {
                let found = state.backups.iter().find(|backup| backup.path == path);
                (format!("verify path {path}"), found.cloned())
            }
        };
        state.calls.push(call);
        Ok(Response::new(VerifyBackupResponse {
            backup: Some(found.ok_or_else(absent)?),
        }))
    }

    async fn restore_backup(
        &self,
        request: Request<RestoreBackupRequest>,
    ) -> Result<Response<RestoreBackupResponse>, Status> {
        let mut state = self.state();
        let call = format!("restore {}", request.into_inner().path);
        state.calls.push(call);
        let backup = state.backups.first().cloned();
        Ok(Response::new(RestoreBackupResponse { backup }))
    }

    async fn get_receipt_keys(
        &self,
        _: Request<GetReceiptKeysRequest>,
    ) -> Result<Response<GetReceiptKeysResponse>, Status> {
        let jwks = self.key.jwks.clone();
        Ok(Response::new(GetReceiptKeysResponse { jwks }))
    }
}

#[tonic::async_trait]
impl DiagnosisService for Store {
    async fn diagnose(
        &self,
        _: Request<DiagnoseRequest>,
    ) -> Result<Response<DiagnoseResponse>, Status> {
        Ok(Response::new(DiagnoseResponse {
            version: env!("CARGO_PKG_VERSION").into(),
            corrupt_rows: Some(0),
            ledger_number: self.state().ledger_number,
        }))
    }
}
