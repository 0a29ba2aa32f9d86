use mesh::client::MeshChannel;
use propdev_proto::biometric::{
    FaceVector, IdentifyRequest, biometric_service_client::BiometricServiceClient,
};
use uuid::Uuid;

use super::{is_invalid, unexpected};
use crate::{app::Face, error::Error};

#[derive(Clone)]
pub(crate) struct Biometric {
    client: BiometricServiceClient<MeshChannel>,
}

pub(crate) struct Identified {
    /// None for nobody and for two too close to tell.
    pub(crate) subject: Option<String>,
    pub(crate) probe_mac: Vec<u8>,
}

impl Biometric {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self {
            client: BiometricServiceClient::new(channel),
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
        let response = self
            .client
            .clone()
            .identify(request)
            .await
            .map_err(|status| {
                if is_invalid(&status) {
                    match mesh::error::reason(&status) {
                        Some((reason, _)) if reason == "UNKNOWN_FACE_MODEL" => {
                            Error::InvalidRequest("face_model is not known")
                        }
                        _ => Error::InvalidRequest("face_vector is not a vector of this model"),
                    }
                } else {
                    unexpected("biometric-svc", &status)
                }
            })?
            .into_inner();
        Ok(Identified {
            subject: Some(response.subject_id).filter(|id| !id.is_empty()),
            probe_mac: response.probe_mac,
        })
    }
}
