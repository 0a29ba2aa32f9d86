use propdev_proto::auth::{
    ListSigningKeysRequest, ListSigningKeysResponse, RotateSigningKeyRequest,
    RotateSigningKeyResponse, SigningKey, signing_key_service_server::SigningKeyService,
};
use tonic::{Request, Response, Status};

use super::{actor, to_proto};
use crate::{
    app::{App, Snapshot},
    store::StoredKey,
};

pub(crate) struct SigningKeyApi {
    app: App,
}

impl SigningKeyApi {
    pub(crate) fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl SigningKeyService for SigningKeyApi {
    async fn list_signing_keys(
        &self,
        _: Request<ListSigningKeysRequest>,
    ) -> Result<Response<ListSigningKeysResponse>, Status> {
        let snapshot = self.app.fresh_snapshot().await?;
        let mut keys: Vec<SigningKey> = snapshot
            .times()
            .iter()
            .filter_map(|times| snapshot.key(times.generation))
            .map(|key| message(&snapshot, key))
            .collect();
        keys.reverse();
        Ok(Response::new(ListSigningKeysResponse { keys }))
    }

    async fn rotate_signing_key(
        &self,
        request: Request<RotateSigningKeyRequest>,
    ) -> Result<Response<RotateSigningKeyResponse>, Status> {
        let key = self.app.rotate_signing_key(Some(actor(&request))).await?;
        let snapshot = self.app.snapshot().await?;
        Ok(Response::new(RotateSigningKeyResponse {
            key: Some(message(&snapshot, &key)),
        }))
    }
}

fn message(snapshot: &Snapshot, stored: &StoredKey) -> SigningKey {
    SigningKey {
        kid: stored.key.kid().into(),
        algorithm: stored.key.algorithm_name().into(),
        created_at: Some(to_proto(stored.created_at)),
        signs_from: Some(to_proto(stored.signs_from)),
        published_until: snapshot.published_until(stored.generation).map(to_proto),
    }
}
