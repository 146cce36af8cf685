//! The file as it is read, and what makes a configuration of it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::check::{Refused, refused};
use super::{
    Address, AddressError, Certificates, Config, ConfigError, Durability, Limits, Log, Member,
    Merge, Metrics, Origin, Repair, Scrub, Storage, Traces,
};

/// The file as it is read, where what must be given somewhere may still be missing.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Draft {
    pub(super) cluster: Option<String>,
    pub(super) node: Option<String>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) advertise: Option<Address>,
    pub(super) partitions: Option<u32>,
    pub(super) durability: Durability,
    pub(super) interval_ms: Option<u64>,
    pub(super) shutdown_grace_s: Option<u64>,
    pub(super) plugins_dir: Option<PathBuf>,
    pub(super) certificates: DraftCertificates,
    pub(super) storage: Storage,
    pub(super) scrub: Scrub,
    pub(super) repair: Repair,
    pub(super) limits: Limits,
    pub(super) merge: Merge,
    pub(super) log: Log,
    pub(super) metrics: Metrics,
    pub(super) traces: Traces,
    pub(super) dial: BTreeMap<String, Address>,
    pub(super) members: Vec<Member>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DraftCertificates {
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl Draft {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut draft: Self = toml::from_str(&text)
            .map_err(|e| ConfigError::Parse { path: path.to_owned(), reason: e.to_string() })?;
        if let Some(folder) = path.parent() {
            let certificates = &mut draft.certificates;
            let paths = [
                &mut draft.data_dir,
                &mut draft.plugins_dir,
                &mut certificates.ca,
                &mut certificates.cert,
                &mut certificates.key,
            ];
            for path in paths.into_iter().flatten() {
                *path = folder.join(&*path);
            }
        }
        Ok(draft)
    }

    pub(super) fn complete(self, origin: &Origin) -> Result<Config, ConfigError> {
        let missing =
            |key, variable| ConfigError::Missing { origin: origin.clone(), key, variable };
        let invalid = |refused: Refused| ConfigError::Invalid {
            origin: origin.clone(),
            key: refused.key,
            reason: refused.reason,
        };
        let given = self.certificates;
        let listen = self.listen.ok_or_else(|| missing("listen", "KINFOLD_LISTEN"))?;
        let told = self.advertise.map_or_else(|| listen.to_string().parse(), Ok);
        let advertise = told.map_err(|_: AddressError| {
            let reason = format!("is needed, since others can't dial `listen`, which is {listen}");
            invalid(refused("advertise", reason))
        })?;
        let ca = given.ca.ok_or_else(|| missing("certificates.ca", "KINFOLD_CERTIFICATES_CA"))?;
        let cert =
            given.cert.ok_or_else(|| missing("certificates.cert", "KINFOLD_CERTIFICATES_CERT"))?;
        let key =
            given.key.ok_or_else(|| missing("certificates.key", "KINFOLD_CERTIFICATES_KEY"))?;
        let config = Config {
            cluster: self.cluster.ok_or_else(|| missing("cluster", "KINFOLD_CLUSTER"))?,
            node: self.node.ok_or_else(|| missing("node", "KINFOLD_NODE"))?,
            data_dir: self.data_dir.ok_or_else(|| missing("data_dir", "KINFOLD_DATA_DIR"))?,
            listen,
            advertise,
            partitions: self.partitions.unwrap_or(256),
            durability: self.durability,
            interval_ms: self.interval_ms.unwrap_or(50),
            shutdown_grace_s: self.shutdown_grace_s.unwrap_or(10),
            plugins_dir: self.plugins_dir,
            certificates: Certificates { ca, cert, key },
            storage: self.storage,
            scrub: self.scrub,
            repair: self.repair,
            limits: self.limits,
            merge: self.merge,
            log: self.log,
            metrics: self.metrics,
            traces: self.traces,
            dial: self.dial,
            members: self.members,
        };
        config.check().map_err(invalid)?;
        Ok(config)
    }
}
