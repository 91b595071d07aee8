//! What TLS connections are accepted with: certificate, key and client CAs, read again when they change.
//!
//! Belongs to the acceptor: a connection gets what is current when it arrives, and keeps that.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, Ticketer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::files::Files;
use crate::config::{ClientAuth, Config};
use crate::limits::{TLS_FILE_BYTES_MAX, TLS_SESSIONS_MAX};

/// See the module.
pub struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    auth: ClientAuth,
    current: Arc<ServerConfig>,
    files: Files,
}

impl Certificates {
    /// Reads the files; `None` if TLS is not served.
    ///
    /// # Errors
    ///
    /// What is wrong with which of the files.
    pub fn load(config: &Config) -> Result<Option<Certificates>, String> {
        let (Some(cert), Some(key)) = (config.tls_cert.clone(), config.tls_key.clone()) else {
            return Ok(None);
        };
        let client_ca = config.tls_client_ca.clone();
        let auth = config.client_auth();
        let files = [&cert, &key].into_iter().chain(&client_ca).cloned().collect();
        let files = Files::new(files);
        let current = build(&cert, &key, client_ca.as_deref(), auth)?;
        Ok(Some(Certificates { cert, key, client_ca, auth, current, files }))
    }

    /// What the next connection is accepted with.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current)
    }

    /// Reads the files again if they have changed, or if somebody `asked` for it; what was there stays if
    /// they are not right.
    pub fn reload(&mut self, asked: bool) {
        if !self.files.is_due(asked) {
            return;
        }
        match build(&self.cert, &self.key, self.client_ca.as_deref(), self.auth) {
            Ok(current) => {
                self.current = current;
                tracing::info!("the files of TLS have been read again");
            }
            Err(problem) => {
                tracing::warn!(%problem, "the files of TLS are not right; the old ones stay in use");
            }
        }
    }
}

/// What the files say. Sessions do not outlive it: a client that the new CA would refuse must not get
/// in with an old ticket.
fn build(
    cert: &Path,
    key: &Path,
    client_ca: Option<&Path>,
    auth: ClientAuth,
) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(cert)?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|_| format!("{} has no private key in PEM", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier(client_ca, auth, provider)?)
        .with_single_cert(chain, private)
        .map_err(|error| format!("{} and {} do not fit: {error}", cert.display(), key.display()))?;
    config.session_storage = ServerSessionMemoryCache::new(TLS_SESSIONS_MAX);
    config.ticketer = Ticketer::new().map_err(|error| error.to_string())?;
    Ok(Arc::new(config))
}

fn verifier(
    client_ca: Option<&Path>,
    auth: ClientAuth,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let Some(path) = client_ca else { return Ok(Arc::new(NoClientAuth)) };
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    match auth {
        ClientAuth::Off => return Ok(Arc::new(NoClientAuth)),
        ClientAuth::Optional => builder.allow_unauthenticated().build(),
        ClientAuth::Required => builder.build(),
    }
    .map_err(|error| wrong(&error))
}

/// The certificates of a file, of which there is at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| format!("{} is not PEM: {error:?}", path.display()))?;
    if found.is_empty() {
        return Err(format!("{} has no certificate in PEM", path.display()));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let file = File::open(path);
    let result = file.and_then(|file| file.take(TLS_FILE_BYTES_MAX + 1).read_to_end(&mut text));
    match result {
        Ok(_) if text.len() as u64 <= TLS_FILE_BYTES_MAX => Ok(text),
        Ok(_) => Err(io::Error::other(format!("it is longer than {TLS_FILE_BYTES_MAX} bytes"))),
        Err(error) => Err(error),
    }
    .map_err(|error| format!("cannot read {}: {error}", path.display()))
}
