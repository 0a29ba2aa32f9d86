use futures::FutureExt;
use mesh::{
    client::MeshChannel,
    error::of_refusal,
    gather::{Gatherer, Rejected},
};
use propdev_proto::biometric::{
    FaceVector, IdentifyBatchRequest, IdentifyRequest, IdentifyResponse,
    biometric_service_client::BiometricServiceClient, identify_response::Outcome as Found,
    identify_result::Result as Outcome,
};
use prost::Message;
use tonic::Status;
use uuid::Uuid;

use super::{is_invalid, unexpected};
use crate::{
    app::Face,
    error::{Error, Unrecognised},
};

const SERVICE: &str = "biometric-svc";

/// Calls under way, and faces in each.
const CALLS: usize = 2;
const TOGETHER: usize = 32;

#[derive(Clone)]
pub(crate) struct Biometric {
    faces: Gatherer<IdentifyRequest, Result<IdentifyResponse, Status>>,
}

pub(crate) struct Identified {
    pub(crate) subject: Result<String, Unrecognised>,
    pub(crate) probe_mac: Vec<u8>,
}

impl Biometric {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        let client = BiometricServiceClient::new(channel);
        let work = move |requests| call(client.clone(), requests).boxed();
        let size = IdentifyRequest::encoded_len;
        Self {
            faces: Gatherer::start_sized(CALLS, TOGETHER, size, work),
        }
    }

    pub(crate) async fn identify(&self, face: &Face, sites: &[Uuid]) -> Result<Identified, Error> {
        let request = IdentifyRequest {
            face: Some(FaceVector {
                model: face.model.clone(),
                values: face.vector.to_vec(),
            }),
            gallery_ids: sites.iter().map(Uuid::to_string).collect(),
        };
        let response = match self.faces.submit(request).await {
            Ok(result) => result.map_err(|status| refused(&status))?,
            Err(Rejected::Full) => return Err(Error::Dependency(SERVICE)),
            Err(Rejected::GivenUp) => {
                return Err(Error::UnexpectedAnswer {
                    service: SERVICE,
                    code: tonic::Code::Ok,
                });
            }
        };
        Ok(Identified {
            subject: match response.outcome() {
                Found::Match => Ok(response.subject_id),
                Found::Ambiguous => Err(Unrecognised::Ambiguous),
                Found::Nobody | Found::Unspecified => Err(Unrecognised::Unknown),
            },
            probe_mac: response.probe_mac,
        })
    }
}

async fn call(
    mut client: BiometricServiceClient<MeshChannel>,
    requests: Vec<IdentifyRequest>,
) -> Vec<Result<IdentifyResponse, Status>> {
    let count = requests.len();
    match client
        .identify_batch(IdentifyBatchRequest { requests })
        .await
    {
        Ok(response) => {
            let results = response.into_inner().results.into_iter();
            results
                .map(|result| match result.result {
                    Some(Outcome::Identified(identified)) => Ok(identified),
                    Some(Outcome::Refusal(refusal)) => Err(of_refusal(refusal)),
                    None => Err(Status::internal("a result says nothing")),
                })
                .collect()
        }
        Err(status) => vec![Err(status); count],
    }
}

fn refused(status: &Status) -> Error {
    if !is_invalid(status) {
        return unexpected(SERVICE, status);
    }
    match mesh::error::reason(status) {
        Some((reason, _)) if reason == "UNKNOWN_FACE_MODEL" => {
            Error::InvalidRequest("face_model is not known")
        }
        _ => Error::InvalidRequest("face_vector is not a vector of this model"),
    }
}
