//! Our services as they are installed, but for limits that would stop a
//! benchmark.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use devmesh::{
    estate::{self, Estate},
    layout::{Addresses, Layout, SERVICES},
    processes::{Processes, built_binaries},
};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::{
    error::{Error, other},
    load::{self, Target},
};

/// For what was started again to be dialled anew.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Installed {
    pub(crate) layout: Layout,
    pub(crate) processes: Processes,
    pub(crate) estate: Estate,
    pub(crate) target: Target,
}

impl Installed {
    /// Four processes and a partner, on the databases named or on SQLite.
    pub(crate) async fn start(
        folder: &Path,
        databases: &BTreeMap<&'static str, String>,
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(folder)?;
        let url = |service: &str| databases.get(service).cloned();
        let layout = Layout::write(folder, Addresses::free(None)?, &url)?;
        let file = layout.config_file("edge-rest");
        let text = std::fs::read_to_string(&file)?
            .replace(
                "address_requests_per_second = 1000",
                "address_requests_per_second = 1000000",
            )
            .replace("address_burst = 2000", "address_burst = 1000000");
        std::fs::write(file, text)?;
        for service in SERVICES {
            let file = layout.config_file(service);
            let text = std::fs::read_to_string(&file)?.replace("\"info\"", "\"warn\"");
            std::fs::write(file, text)?;
        }
        let processes = Processes::start(&layout, &built_binaries()?).await?;
        let estate = estate::seed(&layout).await?;
        estate::unlimit(&layout, &estate).await?;
        Ok(Self {
            target: Target::new(layout.addresses.public, &layout.ca())?,
            layout,
            processes,
            estate,
        })
    }

    /// Each service and its process id; the partner is none of them.
    pub(crate) fn services(&self) -> Vec<(&'static str, u32)> {
        let services = self.processes.ids().into_iter();
        services
            .filter(|(name, _)| SERVICES.contains(name))
            .collect()
    }

    pub(crate) fn service_ids(&self) -> Vec<u32> {
        self.services().into_iter().map(|(_, id)| id).collect()
    }

    /// A client-only token; it lives ten minutes.
    pub(crate) async fn token(&self, scope: &str) -> Result<String, Error> {
        let (id, secret) = (&self.estate.client_id, &self.estate.client_secret);
        let scope = format!("scope={}", scope.replace(':', "%3A"));
        let request = load::token_request("/oauth2/token", id, secret, &scope);
        let (status, body) = load::once(&self.target, request).await?;
        let answer: Value = serde_json::from_slice(&body).map_err(other)?;
        match answer["access_token"].as_str() {
            Some(token) if status == StatusCode::OK => Ok(token.to_owned()),
            _ => Err(other(format!("no token: {status}"))),
        }
    }

    /// That such a request is answered as it should be: what is refused is soon
    /// answered, and measures nothing.
    pub(crate) async fn prove(
        &self,
        request: impl Fn() -> Request<Full<Bytes>>,
        good: impl Fn(StatusCode, &Value) -> bool,
    ) -> Result<(), Error> {
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, body) = load::once(&self.target, request()).await?;
            let answer: Value = serde_json::from_slice(&body).map_err(other)?;
            if good(status, &answer) {
                return Ok(());
            }
            if Instant::now() > end {
                let code = &answer["code"];
                return Err(other(format!("nothing to measure: {status} {code}")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn stop(self) -> Result<(), Error> {
        Ok(self.processes.stop().await?)
    }
}
