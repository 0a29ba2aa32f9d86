use propdev_proto::access::{
    Noun, ResolveExternalIdsRequest, ResolveExternalIdsResponse,
    reference_service_server::ReferenceService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Api, convert::fault};
use crate::{
    domain::external_id::{ExternalId, Object},
    error::Error,
};

#[tonic::async_trait]
impl ReferenceService for Api {
    async fn resolve_external_ids(
        &self,
        request: Request<ResolveExternalIdsRequest>,
    ) -> Result<Response<ResolveExternalIdsResponse>, Status> {
        let request = request.into_inner();
        let object = object(request.noun())?;
        let ids = request
            .external_ids
            .into_iter()
            .map(|id| ExternalId::new(request.system.clone(), id))
            .collect::<Result<_, _>>()?;
        let found = self.app.resolve(object, ids).await?;
        Ok(Response::new(ResolveExternalIdsResponse {
            object_ids: found
                .into_iter()
                .map(|id| id.as_ref().map_or_else(String::new, Uuid::to_string))
                .collect(),
        }))
    }
}

fn object(noun: Noun) -> Result<Object, Error> {
    match noun {
        Noun::Unspecified => Err(fault("noun", "is required")),
        Noun::Site => Ok(Object::Site),
        Noun::Building => Ok(Object::Building),
        Noun::Entrance => Ok(Object::Entrance),
        Noun::Device => Ok(Object::Device),
        Noun::DeviceGroup => Ok(Object::DeviceGroup),
        Noun::Household => Ok(Object::Household),
        Noun::Resident => Ok(Object::Resident),
        Noun::Holding => Ok(Object::Holding),
        Noun::Grant => Ok(Object::Grant),
    }
}
