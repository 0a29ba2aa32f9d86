//! Cameras, keys and fobs: each acts when it is told to, as the partner's
//! client at the edge.

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    App,
    config::PartnerConfig,
    edge_client::Step,
    face::{Identity, to_base64url},
    plate,
};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/_sim/camera/face", post(face))
        .route("/_sim/camera/plate", post(read_plate))
        .route("/_sim/key", post(key))
        .route("/_sim/fob", post(fob))
}

/// Where the evidence goes: with the token, or with the call.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Flow {
    #[default]
    Token,
    Call,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaceSeen {
    partner: String,
    device_id: String,
    /// Seed of the identity before the camera.
    identity: u64,
    #[serde(default)]
    flow: Flow,
    /// Sent in place of a fresh probe, to replay one.
    vector: Option<Vec<f32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlateSeen {
    partner: String,
    device_id: String,
    plate: String,
    #[serde(default)]
    flow: Flow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialUsed {
    partner: String,
    credential_id: String,
    device_id: Option<String>,
}

#[derive(Serialize)]
struct Account {
    steps: Vec<Step>,
}

type Answer = Result<Json<Account>, (StatusCode, &'static str)>;

fn partner(app: &App, name: &str) -> Result<PartnerConfig, (StatusCode, &'static str)> {
    let partner = app.shared.lock().partners.get(name).cloned();
    partner.ok_or((StatusCode::NOT_FOUND, "no such partner\n"))
}

async fn face(State(app): State<App>, Json(seen): Json<FaceSeen>) -> Answer {
    let partner = partner(&app, &seen.partner)?;
    let vector = seen.vector.unwrap_or_else(|| {
        Identity::new(seen.identity, app.edge.dimension).probe(&mut rand::rng())
    });
    let evidence = to_base64url(&vector);
    let path = format!("/v1/doors/{}/open", seen.device_id);
    let model = app.edge.model.clone();
    Ok(Json(match seen.flow {
        Flow::Token => {
            let extra = [("face_vector", evidence), ("face_model", model)];
            enter(&app, &partner, &extra, path, None).await
        }
        Flow::Call => {
            let body = json!({"face": {"model": model, "vector": evidence}});
            enter(&app, &partner, &[], path, Some(body)).await
        }
    }))
}

async fn read_plate(State(app): State<App>, Json(seen): Json<PlateSeen>) -> Answer {
    let partner = partner(&app, &seen.partner)?;
    let reading = plate::reading(&seen.plate, &mut rand::rng());
    let path = format!("/v1/barriers/{}/open", seen.device_id);
    Ok(Json(match seen.flow {
        Flow::Token => enter(&app, &partner, &[("plate", reading)], path, None).await,
        Flow::Call => {
            let body = json!({"plate": {"number": reading}});
            enter(&app, &partner, &[], path, Some(body)).await
        }
    }))
}

async fn enter(
    app: &App,
    partner: &PartnerConfig,
    extra: &[(&str, String)],
    path: String,
    body: Option<Value>,
) -> Account {
    let (token, step) = app.edge.token(partner, extra).await;
    let mut steps = vec![step];
    if let Some(token) = token {
        steps.push(app.edge.post("open", path, &token, body.as_ref()).await);
    }
    Account { steps }
}

async fn key(State(app): State<App>, Json(used): Json<CredentialUsed>) -> Answer {
    webhook(app, used, "key_id", "/v1/webhooks/intercom/key-openings").await
}

async fn fob(State(app): State<App>, Json(used): Json<CredentialUsed>) -> Answer {
    webhook(app, used, "fob_id", "/v1/webhooks/barrier/fob-openings").await
}

async fn webhook(app: App, used: CredentialUsed, name: &str, path: &str) -> Answer {
    let partner = partner(&app, &used.partner)?;
    let scope = [("scope", "events:write".to_owned())];
    let (token, step) = app.edge.token(&partner, &scope).await;
    let mut steps = vec![step];
    if let Some(token) = token {
        let body = event(&used, name, app.clock.now());
        steps.push(tell(&app, path, &token, &body).await);
    }
    Ok(Json(Account { steps }))
}

async fn tell(app: &App, path: &str, token: &SecretString, body: &Value) -> Step {
    app.edge
        .post("webhook", path.into(), token, Some(body))
        .await
}

fn event(used: &CredentialUsed, name: &str, at: Timestamp) -> Value {
    let mut event = json!({"opened_at": at.to_string()});
    event[name] = json!(used.credential_id);
    if let Some(device) = &used.device_id {
        event["device_id"] = json!(device);
    }
    event
}
