//! `/_sim`: what is asked of the simulator itself, without a token.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, put},
};
use serde_json::{Value, json};

use crate::{
    App,
    behaviour::Behaviour,
    config::PartnerConfig,
    state::{Command, TokenRequest},
};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/_sim/behaviour", put(set_behaviour).get(behaviour))
        .route("/_sim/commands", get(commands).delete(clear))
        .route("/_sim/token-requests", get(token_requests))
        .route("/_sim/stats", get(stats))
        .route("/_sim/partners/{name}", put(put_partner))
}

async fn set_behaviour(State(app): State<App>, Json(behaviour): Json<Behaviour>) -> StatusCode {
    app.shared.lock().behaviour = behaviour;
    StatusCode::NO_CONTENT
}

async fn behaviour(State(app): State<App>) -> Json<Behaviour> {
    Json(app.shared.lock().behaviour.clone())
}

async fn commands(State(app): State<App>) -> Json<Vec<Command>> {
    Json(app.shared.lock().commands.clone())
}

async fn token_requests(State(app): State<App>) -> Json<Vec<TokenRequest>> {
    Json(app.shared.lock().token_requests.clone())
}

async fn clear(State(app): State<App>) -> StatusCode {
    let mut state = app.shared.lock();
    state.commands.clear();
    state.accepted.clear();
    StatusCode::NO_CONTENT
}

async fn stats(State(app): State<App>) -> Json<Value> {
    let state = app.shared.lock();
    let count = |wanted: fn(&Command) -> bool| state.commands.iter().filter(|c| wanted(c)).count();
    Json(json!({
        "commands": state.commands.len(),
        "accepted": count(|c| c.status == 202),
        "late": count(|c| c.late),
        "duplicates": count(|c| c.duplicate),
        "tokens_issued": state.tokens_issued,
    }))
}

/// Clients at the edge are registered after the simulator starts.
async fn put_partner(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(mut partner): Json<PartnerConfig>,
) -> StatusCode {
    partner.name.clone_from(&name);
    app.shared.lock().partners.insert(name, partner);
    StatusCode::NO_CONTENT
}
