//! The one client of the mesh: dials lazily over mTLS, shortens deadlines,
//! carries trace and request id, retries what the contract calls idempotent.

mod batch;
mod channel;
mod connector;
mod dial;

use std::{sync::Arc, time::Duration};

pub use batch::{Batch, Batcher, Results};
pub use channel::{MeshChannel, never_sent, not_sent};
use connector::Connector;
use dial::Dial;
use tonic::transport::Endpoint;

use crate::{policy::Policy, tls::Credentials};

#[derive(Debug, thiserror::Error)]
#[error("peers.{service}.endpoint is not https://host:port")]
pub struct EndpointError {
    service: String,
}

/// A channel to a service of the mesh. Nothing is dialled until the first call.
pub fn connect(
    service: &'static str,
    endpoint: &str,
    credentials: Arc<Credentials>,
    policy: Arc<Policy>,
) -> Result<MeshChannel, EndpointError> {
    let error = || EndpointError {
        service: service.into(),
    };
    let uri: http::Uri = endpoint.parse().map_err(|_| error())?;
    let (Some("https"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(error());
    };
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(443));
    // tonic sees http: the connector is what speaks TLS.
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| error())?
        .connect_timeout(Duration::from_secs(2))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    let dial = Dial {
        endpoint,
        connector: Connector::new(service, address, credentials.clone()),
        credentials,
    };
    Ok(MeshChannel::new(service, dial, policy))
}
