//! Accepts TCP, shakes hands, and tells each call who its peer is.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::Stream;
use opentelemetry::{KeyValue, global};
use rustls::{ServerConfig, pki_types::CertificateDer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::handshakes::{Ended, HandshakeLimits, Handshakes};
use crate::{identity::SpiffeId, shutdown::Shutdown, tls::Credentials};

/// How long a certificate is believed before its dates are looked at again.
const BELIEVED_FOR: Duration = Duration::from_secs(60);

/// Who is at the other end of a connection.
#[derive(Clone)]
pub struct Peer {
    /// None where the certificate carries no identity of ours.
    pub id: Option<SpiffeId>,
    pub address: SocketAddr,
    shown: Arc<Shown>,
}

/// The certificates of a connection, and when they were last found good.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    /// At first never: trust may change during the very handshake.
    checked: Mutex<Option<(u64, Instant)>>,
}

impl Peer {
    fn of(stream: &TlsStream<TcpStream>, address: SocketAddr) -> Self {
        let chain: Vec<_> = stream
            .get_ref()
            .1
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        Self {
            id: chain
                .first()
                .and_then(|leaf| SpiffeId::of_certificate(leaf).ok()),
            address,
            shown: Arc::new(Shown {
                chain,
                checked: Mutex::new(None),
            }),
        }
    }

    /// Whether the connection would still be let in: trust may have been
    /// withdrawn, or the certificate have expired, since the handshake.
    pub(super) fn is_trusted(&self, credentials: &Credentials) -> bool {
        let generation = credentials.generation();
        let mut checked = self
            .shown
            .checked
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if checked.is_some_and(|(of, at)| of == generation && at.elapsed() < BELIEVED_FOR) {
            return true;
        }
        let trusted = credentials.trusts(&self.shown.chain);
        if trusted {
            *checked = Some((generation, Instant::now()));
        }
        trusted
    }
}

pub(super) struct MeshStream {
    inner: TlsStream<TcpStream>,
    peer: Peer,
}

impl Connected for MeshStream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for MeshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for MeshStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Every connection that shook hands, until shutdown. The configuration is
/// asked for anew for each, so that reloaded certificates take effect. A
/// failed handshake is counted and ends that connection alone.
pub fn accept_tls<C>(
    listener: TcpListener,
    config: C,
    listener_name: &'static str,
    limits: HandshakeLimits,
    shutdown: Shutdown,
) -> mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>
where
    C: Fn() -> Arc<ServerConfig> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(64);
    let refused = global::meter("mesh")
        .u64_counter("mesh.tls.handshake.failures")
        .build();
    let handshakes = Handshakes::new(limits);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, address) = match accepted {
                Ok(pair) => pair,
                Err(error) => {
                    // Out of descriptors, most likely: spinning would not free one.
                    tracing::warn!(%error, listener = listener_name, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let handshake = handshakes.begin(address.ip());
            let acceptor = TlsAcceptor::from(config());
            let (sender, refused) = (sender.clone(), refused.clone());
            tokio::spawn(async move {
                let kind = match handshake.run(acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let _ = sender.send((stream, address)).await;
                        return;
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(%error, %address, listener = listener_name, "handshake failed");
                        "refused"
                    }
                    Err(Ended::TimedOut) => "timeout",
                    Err(Ended::GaveWay) => "crowded_out",
                };
                refused.add(
                    1,
                    &[
                        KeyValue::new("mesh.listener", listener_name),
                        KeyValue::new("error.type", kind),
                    ],
                );
            });
        }
    });
    receiver
}

pub(super) fn incoming(
    listener: TcpListener,
    credentials: Arc<Credentials>,
    shutdown: Shutdown,
) -> impl Stream<Item = io::Result<MeshStream>> {
    use futures::StreamExt;
    let connections = accept_tls(
        listener,
        move || credentials.server_config(),
        "grpc",
        HandshakeLimits::default(),
        shutdown,
    );
    ReceiverStream::new(connections).map(move |(inner, address)| {
        let peer = Peer::of(&inner, address);
        Ok(MeshStream { inner, peer })
    })
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
    use tokio::{io::AsyncReadExt, net::TcpSocket};
    use tokio_rustls::TlsConnector;

    use super::*;

    async fn dial(from: &str, to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        let from = format!("{from}:0").parse().expect("an address");
        socket.bind(from).expect("bound");
        socket.connect(to).await.expect("a connection")
    }

    #[tokio::test]
    async fn silent_peers_keep_nobody_out() {
        crate::jose::install_crypto();
        let names = vec!["localhost".to_owned()];
        let own = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let certificate = own.cert.der().clone();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .expect("a configuration");
        let server = Arc::new(server);
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a root");
        let client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(client));
        let name = ServerName::try_from("localhost").expect("a name");

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let limits = HandshakeLimits {
            timeout: Duration::from_secs(3_600),
            at_once: 8,
            of_one_address: 4,
        };
        let shutdown = Shutdown::new();
        let mut accepted = accept_tls(
            listener,
            move || server.clone(),
            "test",
            limits,
            shutdown.clone(),
        );

        let slow = dial("127.0.0.1", address).await;
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(dial("127.0.0.2", address).await);
        }
        // The server hangs up on those that gave way to the last ones.
        for gone in &mut silent[..16] {
            let _ = gone.read(&mut [0; 1]).await;
        }
        let newcomer = dial("127.0.0.2", address).await;
        for stream in [slow, newcomer] {
            let from = stream.local_addr().expect("an address");
            let _stream = connector
                .connect(name.clone(), stream)
                .await
                .expect("a handshake");
            let (_, peer) = accepted.recv().await.expect("a connection");
            assert_eq!(peer, from);
        }
        shutdown.cancel();
    }
}
