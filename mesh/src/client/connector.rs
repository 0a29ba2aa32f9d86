//! Dials TCP and shakes hands with the certificates in force at that moment.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::Service;

use crate::tls::Credentials;

#[derive(Clone)]
pub(super) struct Connector {
    service: &'static str,
    address: Arc<str>,
    credentials: Arc<Credentials>,
}

impl Connector {
    pub(super) fn new(
        service: &'static str,
        address: String,
        credentials: Arc<Credentials>,
    ) -> Self {
        Self {
            service,
            address: address.into(),
            credentials,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let this = self.clone();
        async move {
            let config = this
                .credentials
                .client_config(this.service)
                .map_err(io::Error::other)?;
            let stream = TcpStream::connect(&*this.address).await?;
            stream.set_nodelay(true)?;
            // The verifier looks at the SPIFFE id; the name serves SNI alone.
            let name = ServerName::try_from(this.service).map_err(io::Error::other)?;
            let stream = TlsConnector::from(config).connect(name, stream).await?;
            Ok(TokioIo::new(stream))
        }
        .boxed()
    }
}
