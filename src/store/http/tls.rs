//! Whom TLS connections trust: the system's certificate authorities and those of `--ca-file`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, ErrorKind, Result};

/// Bytes of a TLS record, at most. What is copied into a record of 16 KiB, the most that there is, glibc copies with
/// `rep movsb`, which on some processors takes several times as long as its other ways, those for less than 8 KiB.
const RECORD_BYTES: usize = 8 * 1024;

/// The settings of all TLS connections of a process, made when the first one is wanted: reading the system's
/// certificates takes milliseconds.
#[derive(Debug)]
pub(in crate::store) struct Tls {
    ca_file: Option<PathBuf>,
    made: OnceLock<Arc<ClientConfig>>,
}

impl Tls {
    pub(in crate::store) fn new(ca_file: Option<&Path>) -> Arc<Self> {
        Arc::new(Self {
            ca_file: ca_file.map(Path::to_owned),
            made: OnceLock::new(),
        })
    }

    /// The settings.
    ///
    /// # Errors
    /// A `ca_file` that cannot be read or holds no certificate.
    pub(in crate::store) fn config(&self) -> Result<Arc<ClientConfig>> {
        if let Some(made) = self.made.get() {
            return Ok(made.clone());
        }
        let config = make(self.ca_file.as_deref())?;
        Ok(self.made.get_or_init(|| config).clone())
    }
}

fn make(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    // What the system cannot give is not fatal: the server's certificate may be signed by `ca_file`.
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = ca_file {
        add_file(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Internal, "TLS cannot be set up").with_source(error))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.max_fragment_size = Some(RECORD_BYTES);
    Ok(Arc::new(config))
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<()> {
    let unusable = |what: &str| {
        Error::new(
            ErrorKind::Configuration,
            format!("certificate file '{}' {what}", path.display()),
        )
        .with_hint("--ca-file takes a PEM file with '-----BEGIN CERTIFICATE-----' blocks")
    };
    let pem = fs::read(path).map_err(|error| unusable("cannot be read").with_source(error))?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable("is not valid PEM").with_source(error))?;
    if certificates.is_empty() {
        return Err(unusable("holds no certificate"));
    }
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| unusable("holds something that is no certificate").with_source(error))?;
    }
    Ok(())
}
