//! A listener that speaks TLS.

use axum::serve::Listener;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

/// Every address that the server may have.
const ADDRESSES: [&str; 4] = ["192.0.2.2", "2001:db8::2", "127.0.0.1", "::1"];

/// Handshakes that are done and wait to be served.
const BACKLOG: usize = 64;

/// Another listener's connections, with TLS. Handshakes are tasks of their own, so that a slow one holds up nobody.
pub struct Tls<L: Listener> {
    secured: mpsc::Receiver<(TlsStream<L::Io>, L::Addr)>,
    addr: L::Addr,
}

impl<L: Listener> Tls<L>
where
    L::Io: AsyncRead + AsyncWrite + Unpin + Send,
    L::Addr: Clone,
{
    /// Makes a certificate, and writes it to the file `cert`.
    pub fn new(mut inner: L, cert: &str) -> Result<Tls<L>, Box<dyn std::error::Error>> {
        let acceptor = acceptor(cert)?;
        let addr = inner.local_addr()?;
        let (sender, secured) = mpsc::channel(BACKLOG);
        tokio::spawn(async move {
            loop {
                let (stream, from) = inner.accept().await;
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    // A handshake that fails is the client's matter; a closed channel is the server's end.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = sender.send((stream, from)).await;
                    }
                });
            }
        });
        Ok(Tls { secured, addr })
    }
}

fn acceptor(file: &str) -> Result<TlsAcceptor, Box<dyn std::error::Error>> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(ADDRESSES.map(String::from))?;
    std::fs::write(file, cert.pem())?;
    let key = PrivateKeyDer::try_from(signing_key.serialize_der())?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
    Ok(Arc::new(config.with_single_cert(vec![cert.der().clone()], key)?).into())
}

impl<L: Listener> Listener for Tls<L>
where
    L::Io: AsyncRead + AsyncWrite + Unpin + Send,
    L::Addr: Clone,
{
    type Io = TlsStream<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.secured.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await, // the task that accepts has ended, with the runtime
        }
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        Ok(self.addr.clone())
    }
}
