//! `propdev.mesh.v1.CustodyService`, the same in front of every store.

use std::path::Path;

use jiff::Timestamp;
use propdev_proto::mesh::{
    Backup as BackupMessage, CreateBackupRequest, CreateBackupResponse, GetKeyStatusRequest,
    GetKeyStatusResponse, GetReceiptKeysRequest, GetReceiptKeysResponse, KeyEpoch,
    ListBackupsRequest, ListBackupsResponse, RestoreBackupRequest, RestoreBackupResponse,
    RotateKeysRequest, RotateKeysResponse, VerifyBackupRequest, VerifyBackupResponse,
    custody_service_server::{CustodyService, CustodyServiceServer},
    verify_backup_request,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Backup, Custody, CustodyError, EpochStatus, Identity};

pub struct CustodyApi {
    custody: Custody,
}

impl CustodyApi {
    pub fn server(custody: Custody) -> CustodyServiceServer<Self> {
        CustodyServiceServer::new(Self { custody })
    }

    fn message(&self, backup: Backup) -> BackupMessage {
        let Identity {
            service,
            deployment,
            region,
        } = self.custody.identity().clone();
        BackupMessage {
            id: backup.id.to_string(),
            service,
            region,
            deployment,
            epoch: backup.epoch,
            created_at: Some(time(backup.created_at)),
            path: backup.path.to_string_lossy().into_owned(),
            size_bytes: backup.size_bytes,
            sha256: backup.sha256,
            rows: backup.rows,
            verified_at: backup.verified_at.map(time),
        }
    }
}

#[tonic::async_trait]
impl CustodyService for CustodyApi {
    async fn get_key_status(
        &self,
        _: Request<GetKeyStatusRequest>,
    ) -> Result<Response<GetKeyStatusResponse>, Status> {
        let status = self.custody.key_status().await?;
        Ok(Response::new(GetKeyStatusResponse {
            service: status.identity.service,
            region: status.identity.region,
            deployment: status.identity.deployment,
            epochs: status.epochs.into_iter().map(epoch).collect(),
            managed: status.managed,
            rotation_running: status.rotating,
            stale_epochs: status.stale,
        }))
    }

    async fn rotate_keys(
        &self,
        request: Request<RotateKeysRequest>,
    ) -> Result<Response<RotateKeysResponse>, Status> {
        let done = self
            .custody
            .rotate(request.into_inner().after_epoch)
            .await?;
        let status = self.custody.key_status().await?;
        let current = self.custody.current_epoch();
        let left = |epoch: &EpochStatus| epoch.id < current && epoch.created_at.is_some();
        Ok(Response::new(RotateKeysResponse {
            old_epochs_destroyed: !status.epochs.iter().any(left),
            epochs: status.epochs.into_iter().map(epoch).collect(),
            rewrapped: done.rewrapped,
            backup_id: done.backup.map(|id| id.to_string()).unwrap_or_default(),
            stale_epochs: status.stale,
        }))
    }

    async fn create_backup(
        &self,
        _: Request<CreateBackupRequest>,
    ) -> Result<Response<CreateBackupResponse>, Status> {
        let backup = self.custody.create_backup().await?;
        Ok(Response::new(CreateBackupResponse {
            backup: Some(self.message(backup)),
        }))
    }

    async fn list_backups(
        &self,
        _: Request<ListBackupsRequest>,
    ) -> Result<Response<ListBackupsResponse>, Status> {
        let backups = self.custody.list_backups().await?;
        Ok(Response::new(ListBackupsResponse {
            backups: backups
                .into_iter()
                .map(|backup| self.message(backup))
                .collect(),
        }))
    }

    async fn verify_backup(
        &self,
        request: Request<VerifyBackupRequest>,
    ) -> Result<Response<VerifyBackupResponse>, Status> {
        let backup = match request.into_inner().backup {
            Some(verify_backup_request::Backup::Id(id)) => {
                let id = Uuid::try_parse(&id).map_err(|_| invalid("id", "is not a UUID"))?;
                self.custody.verify_backup(id).await?
            }
            Some(verify_backup_request::Backup::Path(path)) => {
                self.custody.verify_backup_file(file(&path)?).await?
            }
            None => return Err(invalid("backup", "is required").into()),
        };
        Ok(Response::new(VerifyBackupResponse {
            backup: Some(self.message(backup)),
        }))
    }

    async fn restore_backup(
        &self,
        request: Request<RestoreBackupRequest>,
    ) -> Result<Response<RestoreBackupResponse>, Status> {
        let path = request.into_inner().path;
        let backup = self.custody.restore(file(&path)?).await?;
        Ok(Response::new(RestoreBackupResponse {
            backup: Some(self.message(backup)),
        }))
    }

    async fn get_receipt_keys(
        &self,
        _: Request<GetReceiptKeysRequest>,
    ) -> Result<Response<GetReceiptKeysResponse>, Status> {
        Ok(Response::new(GetReceiptKeysResponse {
            jwks: self.custody.jwks(),
        }))
    }
}

fn invalid(field: &'static str, detail: &'static str) -> CustodyError {
    CustodyError::InvalidField { field, detail }
}

fn file(path: &str) -> Result<&Path, CustodyError> {
    if path.is_empty() || path.len() > 4_096 {
        return Err(invalid("path", "must have 1 to 4,096 bytes"));
    }
    Ok(Path::new(path))
}

fn epoch(status: EpochStatus) -> KeyEpoch {
    KeyEpoch {
        id: status.id,
        missing: status.created_at.is_none(),
        created_at: status.created_at.map(time),
        references: status.references,
        current: status.current,
    }
}

fn time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}
