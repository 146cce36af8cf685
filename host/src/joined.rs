//! What a node that joined a cluster knows from then on: who it is, and the ring's record as it was told when it asked to join.
//!
//! Nodes that a cluster was founded with have this from their configuration instead. The identity is chosen once for a data
//! directory: a node of the same name with an empty disk is another node.
//!
//! The file holds both as CBOR, and after it the first 16 bytes of the BLAKE3 of that: with another bit in its identity the node would be
//! another one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kinfold_protocol::cbor::{self, CborError};
use kinfold_protocol::id::NodeId;
use kinfold_protocol::record::Record;
use serde::{Deserialize, Serialize};

/// The file in the data directory.
const FILE: &str = "joined";

/// Who a node is that joined, and what it was told then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Its identity.
    pub id: NodeId,
    /// The ring's record, before it was in it.
    pub record: Record,
}

/// Why what a node was told can't be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum JoinedError {
    /// The system refused.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file can't be understood.
    #[error(
        "{path} is damaged ({source}): let the node begin anew in an empty data_dir, and replace this one by it",
        path = .path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: Harm,
    },
    /// The system gave no random bits for an identity.
    #[error("no random bits for the node's identity: {0}")]
    Random(getrandom::Error),
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum Harm {
    /// It does not parse.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// It is not what was written.
    #[error("its bytes are not those that were written")]
    Checksum,
}

/// Bytes of the checksum at the end.
const CHECKSUM: usize = 16;

impl Joined {
    /// A node of a new identity that was told this record.
    ///
    /// # Errors
    /// [`JoinedError::Random`].
    pub fn new(record: Record) -> Result<Self, JoinedError> {
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(JoinedError::Random)?;
        Ok(Self { id: NodeId(u64::from_be_bytes(id)), record })
    }

    /// Reads it from a data directory; none if the node was there from the beginning.
    ///
    /// # Errors
    /// [`JoinedError`]: it can't be read or understood.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, JoinedError> {
        let path = data_dir.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => match from_bytes(&bytes) {
                Ok(joined) => Ok(Some(joined)),
                Err(source) => Err(JoinedError::Damaged { path, source }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(JoinedError::Io { path, source }),
        }
    }

    /// Keeps it in a data directory, whole or not at all.
    ///
    /// # Errors
    /// [`JoinedError::Io`].
    pub fn keep(&self, data_dir: &Path) -> Result<(), JoinedError> {
        let path = data_dir.join(FILE);
        let draft = data_dir.join("joined.new");
        let write = || {
            let mut file = File::create(&draft)?;
            file.write_all(&to_bytes(self))?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(data_dir)?.sync_all()
        };
        write().map_err(|source| JoinedError::Io { path: path.clone(), source })
    }
}

fn to_bytes(joined: &Joined) -> Vec<u8> {
    let mut bytes = cbor::encode(joined);
    let checksum = checksum(&bytes);
    bytes.extend(checksum);
    bytes
}

fn from_bytes(bytes: &[u8]) -> Result<Joined, Harm> {
    match bytes.split_last_chunk::<CHECKSUM>() {
        Some((text, kept)) if checksum(text) == *kept => Ok(cbor::decode(text)?),
        _ => Err(Harm::Checksum),
    }
}

fn checksum(text: &[u8]) -> [u8; CHECKSUM] {
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&blake3::hash(text).as_bytes()[..CHECKSUM]);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinfold_protocol::layout::{Layout, Member};
    use kinfold_protocol::ring::Ring;

    #[test]
    fn what_was_kept_is_read_again_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Joined::read(folder.path()).unwrap(), None);
        let member = Member {
            id: NodeId(1),
            name: "n1".into(),
            address: "n1:7401".into(),
            zone: "z".into(),
            capacity: 1,
        };
        let layout = Layout::compute(vec![member], Ring::new(8).unwrap(), 3, None).unwrap();
        let joined = Joined::new(Record::founding(layout)).unwrap();
        joined.keep(folder.path()).unwrap();
        assert_eq!(Joined::read(folder.path()).unwrap(), Some(joined.clone()));
        let path = folder.path().join(FILE);
        let bytes = fs::read(&path).unwrap();
        for bit in 0..8 * bytes.len() {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, other).unwrap();
            assert!(Joined::read(folder.path()).is_err(), "bit {bit}");
        }
        for part in 0..bytes.len() {
            fs::write(&path, &bytes[..part]).unwrap();
            let said = Joined::read(folder.path()).unwrap_err().to_string();
            assert!(said.contains("damaged"), "{part} bytes: {said}");
        }
    }
}
