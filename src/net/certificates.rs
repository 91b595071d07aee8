//! What TLS connections are accepted with: certificate, key and client CAs, read again when they change.
//!
//! Belongs to the acceptor: a connection gets what is current when it arrives, and keeps that.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, Ticketer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use crate::clock;
use crate::config::{ClientAuth, Config};
use crate::limits::{TLS_FILE_BYTES_MAX, TLS_FILES_INTERVAL, TLS_SESSIONS_MAX};

/// See the module.
pub struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    auth: ClientAuth,
    current: Arc<ServerConfig>,
    /// What the files looked like when they were last read.
    seen: Vec<Option<Look>>,
    looked: Instant,
}

/// What tells a file from what it was before: device, inode, length and time of modification.
type Look = (u64, u64, u64, i64, i64);

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
        let seen = look([&cert, &key].into_iter().chain(&client_ca));
        let current = build(&cert, &key, client_ca.as_deref(), auth)?;
        let looked = clock::monotonic();
        Ok(Some(Certificates { cert, key, client_ca, auth, current, seen, looked }))
    }

    /// What the next connection is accepted with.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current)
    }

    /// Reads the files again if they have changed, which is looked at every [`TLS_FILES_INTERVAL`].
    pub fn watch(&mut self) {
        let now = clock::monotonic();
        if now.duration_since(self.looked) < TLS_FILES_INTERVAL {
            return;
        }
        self.looked = now;
        if look(self.files()) != self.seen {
            self.reload();
        }
    }

    /// Reads the files again; what was there stays if they are not right.
    pub fn reload(&mut self) {
        // Looked at before they are read: a change in between is noticed the next time.
        self.seen = look(self.files());
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

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert, &self.key].into_iter().chain(&self.client_ca)
    }
}

fn look<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> Vec<Option<Look>> {
    paths
        .map(|path| {
            let meta = fs::metadata(path).ok()?;
            Some((meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
        })
        .collect()
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
