use clap::Args;
use propdev_proto::biometric::{
    GetStatusRequest, GetStatusResponse, ListModelsRequest, Model,
    biometric_service_client::BiometricServiceClient,
};
use serde_json::{Value, json};
use tonic::{Code, Status as RpcStatus};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    connection::{ACCESS, AUTH, BIOMETRIC, Line, Session},
    error::{Failure, code_name},
    json,
    output::{self, Row, or_dash},
};

#[derive(Args)]
pub(crate) struct Status {}

/// How one service stands.
struct Answer {
    service: &'static str,
    endpoint: String,
    /// `serving`, `not_serving`, `unreachable`, `refused` or `not_configured`.
    state: &'static str,
    detail: String,
}

/// What the biometric store tells of itself.
#[derive(Default)]
struct Store {
    status: Option<GetStatusResponse>,
    models: Vec<Model>,
}

impl Status {
    /// Exits 3 unless every configured service serves.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut answers = Vec::new();
        for service in [AUTH, ACCESS, BIOMETRIC] {
            answers.push(ask(session, service).await?);
        }
        let mut store = Store::default();
        let mut refusal = None;
        if answers
            .iter()
            .any(|answer| answer.service == BIOMETRIC && answer.state == "serving")
        {
            match ask_store(session.biometric()?).await {
                Ok(told) => store = told,
                Err(status) => refusal = Some(Failure::from(status)),
            }
        }
        session
            .output
            .print(|| as_json(&answers, &store), || as_text(&answers, &store))?;
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let silent: Vec<&str> = answers
            .iter()
            .filter(|answer| !matches!(answer.state, "serving" | "not_configured"))
            .map(|answer| answer.service)
            .collect();
        if silent.is_empty() {
            return Ok(());
        }
        Err(Failure::Outcome {
            message: format!("not serving: {}", silent.join(", ")),
            exit_code: Failure::UNREACHABLE,
        })
    }
}

async fn ask(session: &Session, service: &'static str) -> Result<Answer, Failure> {
    let Some(endpoint) = session.endpoint(service) else {
        return Ok(Answer {
            service,
            endpoint: String::new(),
            state: "not_configured",
            detail: String::new(),
        });
    };
    let mut health = HealthClient::new(session.line(service)?);
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let (state, detail) = match health.check(request).await {
        Ok(reply) if reply.get_ref().status() == ServingStatus::Serving => {
            ("serving", String::new())
        }
        Ok(_) => ("not_serving", "it answers and is not ready".into()),
        Err(status) if mesh::error::is_unavailable(&status) => ("unreachable", told(&status)),
        Err(status) => ("refused", told(&status)),
    };
    Ok(Answer {
        service,
        endpoint: endpoint.into(),
        state,
        detail,
    })
}

async fn ask_store(line: Line) -> Result<Store, RpcStatus> {
    let mut biometric = BiometricServiceClient::new(line);
    let models = match biometric.list_models(ListModelsRequest {}).await {
        Ok(reply) => reply.into_inner().models,
        // `system/…` may ask for health and nothing else of the store.
        Err(status) if status.code() == Code::PermissionDenied => return Ok(Store::default()),
        Err(status) => return Err(status),
    };
    let status = biometric
        .get_status(GetStatusRequest {})
        .await?
        .into_inner();
    Ok(Store {
        status: Some(status),
        models,
    })
}

fn told(status: &RpcStatus) -> String {
    format!("{}: {}", code_name(status.code()), status.message())
}

fn as_json(answers: &[Answer], store: &Store) -> Result<Value, Failure> {
    let services: Vec<Value> = answers
        .iter()
        .map(|answer| {
            json!({
                "service": answer.service,
                "endpoint": answer.endpoint,
                "state": answer.state,
                "detail": answer.detail,
            })
        })
        .collect();
    let biometric = store
        .status
        .as_ref()
        .map(|status| json::of(GetStatusResponse::MESSAGE, status))
        .transpose()?;
    let models: Vec<Value> = store
        .models
        .iter()
        .map(|model| json::of(Model::MESSAGE, model))
        .collect::<Result<_, _>>()?;
    Ok(json!({ "services": services, "biometric": biometric, "models": models }))
}

fn as_text(answers: &[Answer], store: &Store) -> String {
    let rows = answers.iter().map(|answer| {
        vec![
            answer.service.to_owned(),
            or_dash(&answer.endpoint),
            answer.state.replace('_', " "),
            or_dash(&answer.detail),
        ]
    });
    let mut parts = vec![output::table(
        &["SERVICE", "ENDPOINT", "STATE", "DETAIL"],
        rows,
    )];
    if let Some(status) = &store.status {
        let row = std::iter::once(status.cells());
        parts.push(output::table(GetStatusResponse::COLUMNS, row));
        parts.push(output::table(
            Model::COLUMNS,
            store.models.iter().map(Row::cells),
        ));
    }
    parts.join("\n\n")
}

impl Row for GetStatusResponse {
    const MESSAGE: &'static str = "propdev.biometric.v1.GetStatusResponse";
    const COLUMNS: &'static [&'static str] =
        &["SUBJECTS", "TEMPLATES", "GALLERIES", "CORRUPT ROWS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.subjects.to_string(),
            self.templates.to_string(),
            self.galleries.to_string(),
            self.corrupt_rows.to_string(),
        ]
    }
}

impl Row for Model {
    const MESSAGE: &'static str = "propdev.biometric.v1.Model";
    const COLUMNS: &'static [&'static str] =
        &["MODEL", "VERSION", "DIMENSION", "THRESHOLD", "MARGIN"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.version.clone(),
            self.dimension.to_string(),
            self.threshold.to_string(),
            self.margin.to_string(),
        ]
    }
}
