use clap::{Args, Subcommand};
use propdev_proto::biometric::{
    ForgetModelRequest, ForgetModelResponse, GetStatusRequest, ModelCount, RenewRotationRequest,
    RenewRotationResponse, biometric_service_client::BiometricServiceClient,
};

use crate::{connection::Session, error::Failure, output::Row, pages::Listed};

#[derive(Subcommand)]
pub(crate) enum Model {
    /// Every model that is served or has templates, and how many of the enrolled
    /// it still misses
    List,
    /// Draw another secret rotation; biometric-svc starts over. Worth something
    /// only together with `keys rotate`
    RenewRotation(Renew),
    /// Delete the templates of a model that is no longer configured
    Forget(Forget),
}

#[derive(Args)]
pub(crate) struct Renew {
    /// Name of the model, such as arcface-r100
    model: String,
}

#[derive(Args)]
pub(crate) struct Forget {
    /// Name of the model
    model: String,
    /// Its version
    version: String,
}

impl Model {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut store = BiometricServiceClient::new(session.biometric()?);
        match self {
            Self::List => {
                let reply = store.get_status(GetStatusRequest {}).await?;
                session.output.list(&Listed {
                    items: reply.into_inner().models,
                    more: false,
                })
            }
            Self::RenewRotation(Renew { model }) => {
                let reply = store.renew_rotation(RenewRotationRequest { model }).await?;
                session.output.one(Some(&reply.into_inner()))
            }
            Self::Forget(Forget { model, version }) => {
                let request = ForgetModelRequest {
                    name: model,
                    version,
                };
                let reply = store.forget_model(request).await?;
                session.output.one(Some(&reply.into_inner()))
            }
        }
    }
}

impl Row for ModelCount {
    const MESSAGE: &'static str = "propdev.biometric.v1.ModelCount";
    const COLUMNS: &'static [&'static str] = &[
        "MODEL",
        "VERSION",
        "TEMPLATES",
        "SUBJECTS MISSING",
        "SERVED",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.version.clone(),
            self.templates.to_string(),
            self.subjects_missing.to_string(),
            if self.served { "yes" } else { "no" }.into(),
        ]
    }
}

impl Row for RenewRotationResponse {
    const MESSAGE: &'static str = "propdev.biometric.v1.RenewRotationResponse";
    const COLUMNS: &'static [&'static str] = &["RENEWALS", "AT MOST"];

    fn cells(&self) -> Vec<String> {
        vec![self.renewals.to_string(), self.most_renewals.to_string()]
    }
}

impl Row for ForgetModelResponse {
    const MESSAGE: &'static str = "propdev.biometric.v1.ForgetModelResponse";
    const COLUMNS: &'static [&'static str] = &["TEMPLATES DELETED"];

    fn cells(&self) -> Vec<String> {
        vec![self.templates.to_string()]
    }
}
