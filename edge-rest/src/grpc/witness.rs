//! `WitnessService`: checkpoints of the audit log out.

use std::sync::Arc;

use mesh::error;
use propdev_proto::gateway::{
    AddCheckpointRequest, AddCheckpointResponse, witness_service_server::WitnessService,
};
use tonic::{Code, Request, Response, Status};

use crate::egress::Egress;

pub(crate) struct Witnesses {
    egress: Arc<Egress>,
}

impl Witnesses {
    pub(crate) fn new(egress: Arc<Egress>) -> Self {
        Self { egress }
    }
}

#[tonic::async_trait]
impl WitnessService for Witnesses {
    async fn add_checkpoint(
        &self,
        request: Request<AddCheckpointRequest>,
    ) -> Result<Response<AddCheckpointResponse>, Status> {
        let request = request.into_inner();
        if request.consistency.iter().any(|hash| hash.len() != 32) {
            return Err(malformed("consistency is not of hashes of 32 bytes"));
        }
        match self.egress.add_checkpoint(&request).await {
            Ok(answer) => Ok(Response::new(answer)),
            Err(fault) => Err(malformed(&fault.to_string())),
        }
    }
}

fn malformed(detail: &str) -> Status {
    error::status(Code::InvalidArgument, "MALFORMED_REQUEST", detail)
}
