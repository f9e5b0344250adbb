//! TLS in front of any server under test: ends it on a port of its own and passes the bytes on, unread.
//!
//! The servers themselves speak plain HTTP, so the oracle can look into the bucket without any TLS.
//! Authorities and certificates are made anew for each test: none is stored, none expires.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::env::Tree;

/// Somebody who vouches for servers, and whom no system trusts by itself.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: Tree,
}

impl Authority {
    /// All have the same name: only the key tells one from another.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "s3haul test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority signs itself");
        let directory = Tree::new();
        directory.file("ca.pem", issuer.pem());
        Self { issuer, directory }
    }

    /// The PEM file for `--ca-file`.
    pub(crate) fn file(&self) -> String {
        let path = self.directory.path().join("ca.pem");
        path.to_str().expect("UTF-8").to_owned()
    }

    fn certify(&self, params: &CertificateParams) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        // Without ALPN, so that no client speaks HTTP/2 to a server that expects HTTP/1.1.
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .expect("the key belongs to the certificate")
    }
}

/// What a good certificate for `host`, a name or an address, says.
pub(crate) fn certificate_for(host: &str) -> CertificateParams {
    CertificateParams::new([host.to_owned()]).expect("a host")
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    handshakes: AtomicUsize,
}

/// A port of 127.0.0.1 that speaks TLS for a server that does not. Closed when dropped.
pub(crate) struct TlsFront {
    address: SocketAddr,
    counts: Arc<Counts>,
    _runtime: tokio::runtime::Runtime,
}

impl TlsFront {
    /// Stands before the server at `url`, with a certificate that `authority` signs.
    pub(crate) fn start(url: &str, authority: &Authority, certificate: &CertificateParams) -> Self {
        let server = url.strip_prefix("http://").expect("a plain server").to_owned();
        let acceptor = TlsAcceptor::from(Arc::new(authority.certify(certificate)));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_io()
            .build()
            .expect("runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        let counts = Arc::<Counts>::default();
        runtime.spawn(accept_all(listener, acceptor, server, counts.clone()));
        Self {
            address,
            counts,
            _runtime: runtime,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Connections on which both sides accepted each other.
    pub(crate) fn handshakes(&self) -> usize {
        self.counts.handshakes.load(Ordering::Relaxed)
    }
}

async fn accept_all(listener: TcpListener, acceptor: TlsAcceptor, server: String, counts: Arc<Counts>) {
    while let Ok((client, _)) = listener.accept().await {
        counts.connections.fetch_add(1, Ordering::Relaxed);
        let (acceptor, server, counts) = (acceptor.clone(), server.clone(), counts.clone());
        tokio::spawn(async move {
            // What goes wrong on either side is the subject of the test and is seen by its other end.
            let Ok(mut client) = acceptor.accept(client).await else {
                return;
            };
            counts.handshakes.fetch_add(1, Ordering::Relaxed);
            if let Ok(mut server) = TcpStream::connect(server).await {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}
