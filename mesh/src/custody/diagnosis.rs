//! `propdev.mesh.v1.DiagnosisService`, the same in front of every store.

use std::sync::Arc;

use propdev_proto::mesh::{
    DiagnoseRequest, DiagnoseResponse,
    diagnosis_service_server::{DiagnosisService, DiagnosisServiceServer},
};
use tonic::{Request, Response, Status};

use super::{Custody, CustodyError};

/// How many rows a service has met that do not open.
pub type CorruptRows = Arc<dyn Fn() -> u64 + Send + Sync>;

pub struct DiagnosisApi {
    custody: Custody,
    corrupt_rows: Option<CorruptRows>,
}

impl DiagnosisApi {
    /// None for a service that does not count its damaged rows.
    pub fn server(
        custody: Custody,
        corrupt_rows: Option<CorruptRows>,
    ) -> DiagnosisServiceServer<Self> {
        DiagnosisServiceServer::new(Self {
            custody,
            corrupt_rows,
        })
    }
}

#[tonic::async_trait]
impl DiagnosisService for DiagnosisApi {
    async fn diagnose(
        &self,
        _: Request<DiagnoseRequest>,
    ) -> Result<Response<DiagnoseResponse>, Status> {
        let ledger_number = match self.custody.ledger() {
            Ok(ledger) => Some(ledger.last_number().await.map_err(CustodyError::from)?),
            Err(_) => None,
        };
        Ok(Response::new(DiagnoseResponse {
            // The workspace has one version.
            version: env!("CARGO_PKG_VERSION").into(),
            corrupt_rows: self.corrupt_rows.as_ref().map(|count| count()),
            ledger_number,
        }))
    }
}
