//! Partners as one program: an OAuth server, a gateway that takes commands and
//! misbehaves when told to, cameras, keys and fobs that call the edge. It
//! starts nothing of its own accord.

mod behaviour;
mod camera;
pub mod config;
mod control;
mod edge_client;
pub mod face;
mod gateway;
mod oauth;
pub mod plate;
mod state;

use std::{net::TcpListener, sync::Arc, time::Duration};

use axum::Router;
use axum_server::{Handle, tls_rustls::RustlsConfig};
pub use config::Config;
use mesh::{Clock, SystemClock, shutdown::Shutdown};

use crate::{edge_client::EdgeClient, state::Shared};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("configuration is wrong: {0}")]
    Config(String),
    #[error("listen: a simulator serves the loopback only")]
    NotLoopback,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("edge.ca: {0}")]
    Edge(#[from] reqwest::Error),
}

#[derive(Clone)]
pub(crate) struct App {
    shared: Arc<Shared>,
    edge: EdgeClient,
    clock: Arc<dyn Clock>,
}

/// The whole simulator, until shutdown.
pub async fn run(config: Config, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    if !listener.local_addr()?.ip().is_loopback() {
        return Err(Error::NotLoopback);
    }
    let app = App {
        edge: EdgeClient::new(&config)?,
        shared: Arc::new(Shared::new(config.partners)),
        clock: SystemClock::shared(),
    };
    let router = Router::new()
        .merge(oauth::routes())
        .merge(gateway::routes())
        .merge(control::routes())
        .merge(camera::routes())
        .with_state(app);
    listener.set_nonblocking(true)?;
    let handle = Handle::new();
    let stopper = handle.clone();
    tokio::spawn(async move {
        shutdown.cancelled().await;
        stopper.graceful_shutdown(Some(Duration::from_secs(1)));
    });
    match &config.tls {
        Some(tls) => {
            let rustls = RustlsConfig::from_pem_file(&tls.certificate, &tls.private_key).await?;
            axum_server::from_tcp_rustls(listener, rustls)?
                .handle(handle)
                .serve(router.into_make_service())
                .await?;
        }
        None => {
            axum_server::from_tcp(listener)?
                .handle(handle)
                .serve(router.into_make_service())
                .await?;
        }
    }
    Ok(())
}
