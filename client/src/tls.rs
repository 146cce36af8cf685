//! Who we are and whom we trust, as QUIC needs it.
//!
//! TLS 1.3 only, both ends show certificates. No early data: a put that was sent as 0-RTT could be replayed by anyone who
//! recorded it. No session tickets either, so that an expired certificate ends at the next connection.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, IdleTimeout, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::Error;
use crate::options::Options;

/// The application protocol of clients.
const ALPN: &[u8] = b"kinfold/1";

/// Often enough that neither end, nor a NAT between them, forgets an idle connection.
const KEEP_ALIVE: Duration = Duration::from_secs(8);

/// Three keep-alives lost in a row.
const IDLE: Duration = Duration::from_secs(25);

/// Bytes of one answer that may be under way, unread.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;

/// Bytes of all answers of one node that may be under way, unread.
const WINDOW: u32 = 32 * 1024 * 1024;

/// The DNS name that every node of a cluster answers to.
#[must_use]
pub fn server_name(cluster: &str) -> String {
    format!("node.{cluster}.kinfold")
}

/// The configuration of every connection to a node.
///
/// # Errors
/// [`Error::Config`]: the certificates or the key can't be used.
pub fn config(options: &Options) -> Result<ClientConfig, Error> {
    let bad = |what: &str, why: &dyn std::fmt::Display| {
        Error::Config(format!("{what} can't be used: {why}"))
    };
    let mut roots = RootCertStore::empty();
    for root in chain(&options.ca).map_err(|e| bad("the authority's certificate", &e))? {
        roots.add(root).map_err(|e| bad("the authority's certificate", &e))?;
    }
    let certificates = chain(&options.cert).map_err(|e| bad("the client's certificate", &e))?;
    let key = PrivateKeyDer::from_pem_slice(&options.key)
        .map_err(|e| bad("the client's private key", &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| bad("TLS 1.3", &e))?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates, key)
        .map_err(|e| bad("the client's certificate with its key", &e))?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.resumption = Resumption::disabled();
    tls.enable_early_data = false;
    let crypto = QuicClientConfig::try_from(tls).map_err(|e| bad("TLS 1.3 over QUIC", &e))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport()));
    Ok(config)
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("it is not valid PEM ({e})"))?;
    if chain.is_empty() { Err("there is none in it".to_owned()) } else { Ok(chain) }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = u32::try_from(IDLE.as_millis()).unwrap_or(u32::MAX);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))));
    transport
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_no_certificate_is_named() {
        let options = Options {
            cluster: "c1".to_owned(),
            seeds: vec!["127.0.0.1:1".to_owned()],
            ca: b"nonsense".to_vec(),
            cert: Vec::new(),
            key: Vec::new(),
            deadline: Duration::from_secs(1),
            addresses: BTreeMap::new(),
        };
        let said = config(&options).unwrap_err().to_string();
        assert!(said.contains("authority's certificate"), "{said}");
    }
}
