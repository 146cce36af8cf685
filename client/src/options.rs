//! What a client needs to know before it can connect.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How long a request may take where nobody says otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// What a client needs to know before it can connect.
#[derive(Clone)]
pub struct Options {
    /// The cluster's name; its nodes prove with their certificates that they belong to it.
    pub cluster: String,
    /// Addresses (`HOST:PORT`) of a few nodes, to learn the others from. At least one.
    pub seeds: Vec<String>,
    /// The certificate of the cluster's authority, PEM; two of them while it is being replaced.
    pub ca: Vec<u8>,
    /// This client's certificate, PEM.
    pub cert: Vec<u8>,
    /// This client's private key, PEM.
    pub key: Vec<u8>,
    /// How long a request may take, all its attempts together, unless it says otherwise. At most one minute makes sense:
    /// nodes wait no longer.
    pub deadline: Duration,
    /// Addresses (`HOST:PORT`) to dial nodes by, by their name, instead of those that the layout has: for NAT and tunnels.
    pub addresses: BTreeMap<String, String>,
}

/// The file `client.toml`: how to reach a cluster, and as whom. Relative paths start at the file's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The cluster's name.
    pub cluster: String,
    /// Addresses of a few nodes.
    pub seeds: Vec<String>,
    /// The file of the authority's certificate.
    pub ca: PathBuf,
    /// The file of this client's certificate.
    pub cert: PathBuf,
    /// The file of this client's private key.
    pub key: PathBuf,
    /// Milliseconds that a request may take; [`DEFAULT_DEADLINE`] if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Addresses to dial nodes by, by name, instead of those that the layout has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<String, String>,
}

impl Profile {
    /// Reads a profile; its paths come back resolved against the file's folder.
    ///
    /// # Errors
    /// [`Error::Config`]: the file can't be read, or is not a profile.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|e| {
            Error::Config(format!("the profile {} can't be read: {e}", path.display()))
        })?;
        let mut profile: Self = toml::from_str(&text)
            .map_err(|e| Error::Config(format!("the profile {}: {e}", path.display())))?;
        if let Some(folder) = path.parent() {
            for file in [&mut profile.ca, &mut profile.cert, &mut profile.key] {
                *file = folder.join(&*file);
            }
        }
        Ok(profile)
    }
}

impl Options {
    /// Options from a profile: reads the three files it names.
    ///
    /// # Errors
    /// [`Error::Config`]: a file can't be read.
    pub fn from_profile(profile: &Profile) -> Result<Self, Error> {
        let read = |path: &Path| {
            fs::read(path)
                .map_err(|e| Error::Config(format!("{} can't be read: {e}", path.display())))
        };
        Ok(Self {
            cluster: profile.cluster.clone(),
            seeds: profile.seeds.clone(),
            ca: read(&profile.ca)?,
            cert: read(&profile.cert)?,
            key: read(&profile.key)?,
            deadline: profile.deadline_ms.map_or(DEFAULT_DEADLINE, Duration::from_millis),
            addresses: profile.addresses.clone(),
        })
    }

    /// Options from the file of a profile, such as the `client.toml` that `kinfold dev` writes.
    ///
    /// # Errors
    /// [`Error::Config`]: the profile, or a file that it names, can't be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::from_profile(&Profile::read(path.as_ref())?)
    }
}

/// All but the private key.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("cluster", &self.cluster)
            .field("seeds", &self.seeds)
            .field("deadline", &self.deadline)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_finds_its_files_beside_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.toml");
        for name in ["ca.pem", "me.pem", "me.key"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let text = "cluster = 'c1'\nseeds = ['127.0.0.1:7401']\n\
                    ca = 'ca.pem'\ncert = 'me.pem'\nkey = 'me.key'\n";
        fs::write(&path, text).unwrap();
        let options = Options::from_file(&path).unwrap();
        assert_eq!((options.key.as_slice(), options.deadline), (&b"me.key"[..], DEFAULT_DEADLINE));
        assert!(!format!("{options:?}").contains("key"));
    }

    #[test]
    fn a_misspelt_profile_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.toml");
        fs::write(&path, "clutser = 'c1'\n").unwrap();
        let said = Options::from_file(&path).unwrap_err().to_string();
        assert!(said.contains("client.toml") && said.contains("clutser"), "{said}");
    }
}
