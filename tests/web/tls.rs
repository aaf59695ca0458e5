//! TLS over our stream, with a certificate made here.

use crate::{SERVER, hosts, run};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tunstack::aio::{TcpListener, TcpStream};

/// A server that has the certificate of `name`, and a client that trusts it.
fn configs(name: &str) -> (TlsAcceptor, TlsConnector) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).unwrap();
    let cert: CertificateDer<'static> = cert.der().clone();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![cert.clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server).into(), Arc::new(client).into())
}

#[test]
fn tls_carries_a_megabyte_each_way_and_a_wrong_name_is_refused() {
    for threads in [1, 2] {
        run(threads, async {
            let (near, far) = hosts();
            let (acceptor, connector) = configs("stack.example");
            let listener = TcpListener::bind_on(&far, (SERVER, 443)).await.unwrap();
            let serving = tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        // A handshake that fails is the client's matter.
                        let Ok(mut stream) = acceptor.accept(stream).await else { return };
                        let mut all = Vec::new();
                        stream.read_to_end(&mut all).await.unwrap();
                        stream.write_all(&all).await.unwrap();
                        stream.shutdown().await.unwrap();
                    });
                }
            });
            let connect = |name: &'static str| {
                let (near, connector) = (near.clone(), connector.clone());
                async move {
                    let stream = TcpStream::connect_on(&near, (SERVER, 443)).await.unwrap();
                    connector.connect(ServerName::try_from(name).unwrap(), stream).await
                }
            };
            let refused = connect("other.example").await.unwrap_err();
            assert!(refused.to_string().contains("certificate"), "{refused}");
            let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let mut stream = connect("stack.example").await.unwrap();
            stream.write_all(&sent).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).await.unwrap();
            assert!(back == sent);
            serving.abort();
        });
    }
}
