//! A node's certificate and key, checked against the authority before anybody else checks them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kinfold_protocol::planted::{self, Bug};
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::identity::{IdentityError, Principal, Protocol};
use super::transport;
use crate::certificate::{self, PemFileError, Role};
use crate::config::Certificates;

/// Why a node's certificates can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file could not be read, or its mode lets others read a key.
    #[error(transparent)]
    File(#[from] PemFileError),
    /// A file is not the PEM that it should be.
    #[error("{path} holds no usable {what}: {reason}", path = .path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Key and certificate are not a pair.
    #[error("{key} is not the key of {cert}: pass the pair that was made together", key = .key.display(), cert = .cert.display())]
    KeyMismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The node's own certificate would be refused by everybody else.
    #[error("{cert} is refused by the authority in {ca}: {reason}", cert = .cert.display(), ca = .ca.display())]
    Untrusted {
        /// The certificate file.
        cert: PathBuf,
        /// The authority's file.
        ca: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The node's own certificate names nobody of the cluster.
    #[error("{path}: {source}", path = .path.display())]
    Identity {
        /// The certificate file.
        path: PathBuf,
        /// What is wrong.
        source: IdentityError,
    },
    /// The certificate is somebody else's.
    #[error("{path} is the certificate of {found}, and this is node `{node}`: issue one with role node and this name", path = .path.display())]
    NotThisNode {
        /// The certificate file.
        path: PathBuf,
        /// Whose it is.
        found: Principal,
        /// Who wanted to use it.
        node: String,
    },
}

/// A node's certificate and key, and the authority that it trusts, checked against each other.
#[derive(Clone)]
pub struct Credentials {
    cluster: String,
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    own: Arc<CertifiedKey>,
}

impl Credentials {
    /// Reads the files and checks that they fit: a certificate of this node of this cluster, valid now, vouched for by the
    /// authority (or one of several: while an authority is being replaced, `ca` holds both), with its key.
    ///
    /// # Errors
    /// [`CredentialsError`], which names the file and what to do.
    pub fn load(cluster: &str, node: &str, files: &Certificates) -> Result<Self, CredentialsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for root in read_chain(&files.ca)? {
            let added = roots.add(root);
            added.map_err(|e| content(&files.ca, "authority certificate", &e))?;
        }
        let own = read_pair(&files.cert, &files.key, &provider)?;
        check_trust(&own.cert, &roots).map_err(|reason| CredentialsError::Untrusted {
            cert: files.cert.clone(),
            ca: files.ca.clone(),
            reason,
        })?;
        let leaf =
            own.cert.first().ok_or_else(|| content(&files.cert, "certificate", &"it is empty"))?;
        let found = Principal::of_certificate(leaf, cluster)
            .map_err(|source| CredentialsError::Identity { path: files.cert.clone(), source })?;
        if found.role != Role::Node || found.name != node {
            return Err(CredentialsError::NotThisNode {
                path: files.cert.clone(),
                found,
                node: node.to_owned(),
            });
        }
        Ok(Self {
            cluster: cluster.to_owned(),
            provider,
            roots: Arc::new(roots),
            own: Arc::new(own),
        })
    }

    /// The DNS name to dial another node by, which its certificate must carry.
    #[must_use]
    pub fn server_name(&self, node: &str) -> String {
        certificate::dns_name(Role::Node, node, &self.cluster)
    }

    /// The configuration of the endpoint that clients and other nodes dial.
    #[must_use]
    pub fn server_config(&self) -> quinn::ServerConfig {
        transport::server(self.server_tls())
    }

    /// The configuration for dialling another node, under the name of [`server_name`](Self::server_name).
    #[must_use]
    pub fn peer_config(&self) -> quinn::ClientConfig {
        let mut tls = client_tls(&self.provider, &self.roots, Some(&self.own));
        tls.alpn_protocols = vec![Protocol::Peer.alpn().to_vec()];
        let mut config = transport::client(tls);
        config.transport_config(Arc::new(transport::peer_transport()));
        config
    }

    fn server_tls(&self) -> rustls::ServerConfig {
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::clone(&self.roots),
            Arc::clone(&self.provider),
        )
        .build()
        .expect("there is at least one root, since it verified our own certificate");
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring has the cipher suites of TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.own))));
        tls.alpn_protocols = vec![Protocol::Client.alpn().to_vec(), Protocol::Peer.alpn().to_vec()];
        tls.max_early_data_size = 0;
        tls.send_tls13_tickets = 0;
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        if planted::has(Bug::EarlyData) {
            tls.max_early_data_size = u32::MAX;
            tls.send_tls13_tickets = 2;
            tls.session_storage = ServerSessionMemoryCache::new(256);
        }
        tls
    }
}

fn client_tls(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    own: Option<&Arc<CertifiedKey>>,
) -> rustls::ClientConfig {
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring has the cipher suites of TLS 1.3")
        .with_root_certificates(Arc::clone(roots));
    let mut tls = match own {
        Some(own) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(own))))
        }
        None => builder.with_no_client_auth(),
    };
    tls.enable_early_data = false;
    tls.resumption = Resumption::disabled();
    tls
}

fn content(path: &Path, what: &'static str, reason: &dyn fmt::Display) -> CredentialsError {
    CredentialsError::Content { path: path.to_owned(), what, reason: reason.to_string() }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let bytes = certificate::read_certificate_file(path)?;
    let chain = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| content(path, "certificate", &e))?;
    if chain.is_empty() {
        let reason = "it has no `BEGIN CERTIFICATE` section";
        return Err(content(path, "certificate", &reason));
    }
    Ok(chain)
}

fn read_pair(
    cert: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, CredentialsError> {
    let chain = read_chain(cert)?;
    let bytes = certificate::read_key_file(key)?;
    let private =
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| content(key, "private key", &e))?;
    let signer = provider
        .key_provider
        .load_private_key(private)
        .map_err(|e| content(key, "private key", &e))?;
    let pair = CertifiedKey::new(chain, signer);
    match pair.keys_match() {
        Ok(()) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(CredentialsError::KeyMismatch { cert: cert.to_owned(), key: key.to_owned() })
        }
        Err(e) => Err(content(cert, "certificate", &e)),
    }
}

/// Checks what every peer will check, so that a node with a bad certificate says so when it starts.
fn check_trust(chain: &[CertificateDer<'static>], roots: &RootCertStore) -> Result<(), String> {
    let (leaf, rest) = chain.split_first().ok_or("it is empty")?;
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|e| explain(&e))?;
    for usage in [webpki::KeyUsage::client_auth(), webpki::KeyUsage::server_auth()] {
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &roots.roots,
            rest,
            UnixTime::now(),
            usage,
            None,
            None,
        )
        .map_err(|e| explain(&e))?;
    }
    Ok(())
}

fn explain(error: &webpki::Error) -> String {
    let known = if matches!(error, webpki::Error::CertExpired { .. }) {
        "it has expired; issue a new one"
    } else if matches!(error, webpki::Error::CertNotValidYet { .. }) {
        "it is not valid yet; check this machine's clock"
    } else if matches!(
        error,
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey
    ) {
        "another authority issued it; use the authority's file that came with it"
    } else if matches!(error, webpki::Error::RequiredEkuNotFoundContext(_)) {
        "it is not for a node, which both serves and dials; issue one with role node"
    } else {
        return error.to_string();
    };
    known.to_owned()
}

#[cfg(test)]
mod tests;
