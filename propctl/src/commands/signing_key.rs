use clap::Subcommand;
use propdev_proto::auth::{
    self, ListSigningKeysRequest, RotateSigningKeyRequest,
    signing_key_service_client::SigningKeyServiceClient,
};

use crate::{connection::Session, error::Failure, moment, output::Row, pages::Listed};

#[derive(Subcommand)]
pub(crate) enum SigningKey {
    /// Newest first
    List,
    /// Make the next key: published now, signing once every verifier knows it
    Rotate,
}

impl SigningKey {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut keys = SigningKeyServiceClient::new(session.auth()?);
        match self {
            Self::List => {
                let reply = keys.list_signing_keys(ListSigningKeysRequest {}).await?;
                session.output.list(&Listed {
                    items: reply.into_inner().keys,
                    more: false,
                })
            }
            Self::Rotate => {
                let reply = keys.rotate_signing_key(RotateSigningKeyRequest {}).await?;
                session.output.one(reply.into_inner().key.as_ref())
            }
        }
    }
}

impl Row for auth::SigningKey {
    const MESSAGE: &'static str = "propdev.auth.v1.SigningKey";
    const COLUMNS: &'static [&'static str] = &[
        "KID",
        "ALGORITHM",
        "CREATED",
        "SIGNS FROM",
        "PUBLISHED UNTIL",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.kid.clone(),
            self.algorithm.clone(),
            moment::show(self.created_at.as_ref()),
            moment::show(self.signs_from.as_ref()),
            moment::show(self.published_until.as_ref()),
        ]
    }
}
