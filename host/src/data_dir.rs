//! The data directory: one folder, owned by one process, that belongs to one node of one cluster for ever.
//!
//! What must hold: no two processes have it open at once (an exclusive lock on the file `lock`, which the system lets go
//! of when the process dies, so a crash leaves nothing to clean up); nobody but its owner reads it (0700); and data
//! is never served under another node's name (the file `identity.toml`, written once, whole or not at all).

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const LOCK: &str = "lock";
const IDENTITY: &str = "identity.toml";
const IDENTITY_DRAFT: &str = "identity.toml.tmp";
const FORMAT: u32 = 1;

/// What a folder may hold and still count as new: our own leftovers, and what a fresh ext4 volume brings along.
const NOT_DATA: [&str; 3] = [LOCK, IDENTITY_DRAFT, "lost+found"];

/// An open data directory. Other processes are kept out until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Identity,
    _lock: File,
}

/// Whose data a directory holds. Written when the directory is made, and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: String,
    /// The node's name.
    pub node: String,
    /// 128 random bits: tells this directory from an earlier one of the same node.
    pub id: u128,
    /// When the directory was made: seconds since 1970, UTC, by this machine's clock.
    pub created: u64,
}

/// `identity.toml` as it lies on the disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    format: u32,
    cluster: String,
    node: String,
    id: String,
    created: u64,
}

/// The one field that every format of `identity.toml` has.
#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

/// Why a data directory was not opened. Nothing in it was changed, unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The system refused a step; a directory that was about to be made may be there without an identity.
    #[error("data directory: {step} {path} failed: {source}", path = .path.display())]
    Io {
        /// What was being done.
        step: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is something else at this path.
    #[error("{path} is not a directory: choose another data_dir", path = .0.display())]
    NotADirectory(PathBuf),
    /// Others may read or write the directory.
    #[error("data directory {path} has mode {mode:04o}, which lets others in: run `chmod 700 {path}`", path = .path.display())]
    Mode {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process has it open.
    #[error("data directory {path} is in use by another process: stop that process, or choose another data_dir", path = .0.display())]
    InUse(PathBuf),
    /// There is data, but nothing says whose.
    #[error("data directory {path} has no identity.toml but holds `{entry}`: restore identity.toml, or choose an empty data_dir", path = .path.display())]
    Unidentified {
        /// The directory.
        path: PathBuf,
        /// The first thing found in it.
        entry: String,
    },
    /// The directory is another node's, or another cluster's.
    #[error("data directory {path} belongs to node `{found_node}` of cluster `{found_cluster}`, not to node `{node}` of cluster `{cluster}`: choose that node's own data_dir", path = .path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The cluster it belongs to.
        found_cluster: String,
        /// The node it belongs to.
        found_node: String,
        /// The cluster that wanted it.
        cluster: String,
        /// The node that wanted it.
        node: String,
    },
    /// `identity.toml` can't be understood.
    #[error("{path} is damaged ({reason}): restore it from a backup, or let the node begin anew in an empty data_dir", path = .path.display())]
    Corrupt {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A later release wrote `identity.toml`.
    #[error("{path} has format {format}, and this release reads format 1 only: use the release that wrote it", path = .path.display())]
    Format {
        /// The identity file.
        path: PathBuf,
        /// The format it has.
        format: u32,
    },
    /// The system gave no random bits for a new identity.
    #[error("no random bits for a new identity: {0}")]
    Random(getrandom::Error),
}

impl DataDir {
    /// Opens the data directory of a node, and makes it (0700, with a new identity) where there is none.
    ///
    /// # Errors
    /// [`DataDirError`]: it is in use, open to others, another node's, damaged, or the system failed.
    pub fn open(path: &Path, cluster: &str, node: &str) -> Result<Self, DataDirError> {
        make_private(path)?;
        let lock = lock(path)?;
        let identity = match read_identity(&path.join(IDENTITY))? {
            Some(found) => found,
            None => begin(path, cluster, node)?,
        };
        if identity.cluster != cluster || identity.node != node {
            return Err(DataDirError::Foreign {
                path: path.to_owned(),
                found_cluster: identity.cluster,
                found_node: identity.node,
                cluster: cluster.to_owned(),
                node: node.to_owned(),
            });
        }
        Ok(Self { path: path.to_owned(), identity, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    move |source| DataDirError::Io { step, path: path.to_owned(), source }
}

fn make_private(path: &Path) -> Result<(), DataDirError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    match builder.create(path) {
        Ok(()) => {}
        Err(_) if path.exists() && !path.is_dir() => {
            return Err(DataDirError::NotADirectory(path.to_owned()));
        }
        Err(source) => return Err(failed("making", path)(source)),
    }
    let found = fs::metadata(path).map_err(failed("looking at", path))?;
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(DataDirError::Mode { path: path.to_owned(), mode })
}

fn lock(folder: &Path) -> Result<File, DataDirError> {
    let path = folder.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(failed("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed("locking", &path)(source)),
    }
}

fn read_identity(path: &Path) -> Result<Option<Identity>, DataDirError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("reading", path)(source)),
    };
    let corrupt = |reason: String| DataDirError::Corrupt { path: path.to_owned(), reason };
    let text = str::from_utf8(&bytes).map_err(|e| corrupt(e.to_string()))?;
    let AnyFormat { format } = toml::from_str(text).map_err(|e| corrupt(e.message().to_owned()))?;
    if format != FORMAT {
        return Err(DataDirError::Format { path: path.to_owned(), format });
    }
    let file: IdentityFile = toml::from_str(text).map_err(|e| corrupt(e.message().to_owned()))?;
    let hex = file.id.len() == 32 && file.id.bytes().all(|b| b.is_ascii_hexdigit());
    let id = u128::from_str_radix(&file.id, 16).ok().filter(|_| hex);
    Ok(Some(Identity {
        cluster: file.cluster,
        node: file.node,
        id: id.ok_or_else(|| corrupt("id is not 32 hexadecimal digits".to_owned()))?,
        created: file.created,
    }))
}

/// Gives an empty directory its identity.
fn begin(folder: &Path, cluster: &str, node: &str) -> Result<Identity, DataDirError> {
    for entry in fs::read_dir(folder).map_err(failed("listing", folder))? {
        let name = entry.map_err(failed("listing", folder))?.file_name();
        if !NOT_DATA.iter().any(|known| name == *known) {
            return Err(DataDirError::Unidentified {
                path: folder.to_owned(),
                entry: name.to_string_lossy().into_owned(),
            });
        }
    }
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(DataDirError::Random)?;
    let identity = Identity {
        cluster: cluster.to_owned(),
        node: node.to_owned(),
        id: u128::from_be_bytes(id),
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    };
    write_identity(folder, &identity)?;
    Ok(identity)
}

/// Writes aside, syncs, renames, syncs the folder: after a crash the file is there whole, or not there.
fn write_identity(folder: &Path, identity: &Identity) -> Result<(), DataDirError> {
    let (draft, path) = (folder.join(IDENTITY_DRAFT), folder.join(IDENTITY));
    let text = toml::to_string(&IdentityFile {
        format: FORMAT,
        cluster: identity.cluster.clone(),
        node: identity.node.clone(),
        id: format!("{:032x}", identity.id),
        created: identity.created,
    })
    .map_err(|e| failed("encoding", &path)(io::Error::other(e)))?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&draft).map_err(failed("making", &draft))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed("writing", &draft))?;
    fs::rename(&draft, &path).map_err(failed("renaming", &draft))?;
    sync_folder(folder)?;
    // The folder itself is an entry of its parent, and may be as new as the file.
    folder.canonicalize().map_err(failed("resolving", folder))?.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(folder: &Path) -> Result<(), DataDirError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("syncing", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_dir() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("deep/n1");
        (root, path)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// Puts a text in the place of the identity, and tells how opening fails.
    fn open_with_identity(text: &str) -> DataDirError {
        let (_root, path) = new_dir();
        drop(DataDir::open(&path, "c1", "n1").unwrap());
        fs::write(path.join(IDENTITY), text).unwrap();
        let error = DataDir::open(&path, "c1", "n1").unwrap_err();
        assert_eq!(fs::read_to_string(path.join(IDENTITY)).unwrap(), text);
        error
    }

    #[test]
    fn an_identity_is_kept() {
        let (_root, path) = new_dir();
        let first = DataDir::open(&path, "c1", "n1").unwrap().identity().clone();
        let again = DataDir::open(&path, "c1", "n1").unwrap();
        assert_eq!(*again.identity(), first);
        assert_eq!((first.cluster.as_str(), first.node.as_str()), ("c1", "n1"));
        assert!(!path.join(IDENTITY_DRAFT).exists());
    }

    #[test]
    fn each_directory_has_its_own_id() {
        let ((_a, one), (_b, two)) = (new_dir(), new_dir());
        let id = |path: &Path| DataDir::open(path, "c1", "n1").unwrap().identity().id;
        assert_ne!(id(&one), id(&two));
    }

    #[test]
    fn what_is_made_is_private() {
        let (_root, path) = new_dir();
        let _dir = DataDir::open(&path, "c1", "n1").unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join(IDENTITY)), 0o600);
        assert_eq!(mode(&path.join(LOCK)), 0o600);
    }

    #[test]
    fn a_directory_open_to_others_is_refused() {
        let (_root, path) = new_dir();
        drop(DataDir::open(&path, "c1", "n1").unwrap());
        fs::set_permissions(&path, PermissionsExt::from_mode(0o750)).unwrap();
        let said = DataDir::open(&path, "c1", "n1").unwrap_err().to_string();
        assert!(said.contains("0750") && said.contains("chmod 700"), "{said}");
    }

    #[test]
    fn one_holder_at_a_time() {
        let (_root, path) = new_dir();
        let first = DataDir::open(&path, "c1", "n1").unwrap();
        let second = DataDir::open(&path, "c1", "n1");
        assert!(matches!(second, Err(DataDirError::InUse(_))));
        drop(first);
        assert!(DataDir::open(&path, "c1", "n1").is_ok());
    }

    #[test]
    fn another_nodes_directory_is_refused() {
        let (_root, path) = new_dir();
        drop(DataDir::open(&path, "c1", "n1").unwrap());
        for (cluster, node) in [("c1", "n2"), ("c2", "n1")] {
            let error = DataDir::open(&path, cluster, node).unwrap_err();
            assert!(matches!(error, DataDirError::Foreign { .. }));
            let said = error.to_string();
            assert!(said.contains("node `n1` of cluster `c1`"), "{said}");
            assert!(said.contains(&format!("node `{node}` of cluster `{cluster}`")), "{said}");
        }
    }

    #[test]
    fn a_damaged_identity_is_never_replaced() {
        let cases = [
            "",
            "format = 1\n",
            "\u{0}\u{0}\u{0}",
            "format = 1\ncluster = \"c1\"\nnode = \"n1\"\nid = \"+0000000000000000000000000000001\"\ncreated = 1\n",
            "format = 1\ncluster = \"c1\"\nnode = \"n1\"\nid = \"abc\"\ncreated = 1\n",
        ];
        for text in cases {
            let error = open_with_identity(text);
            assert!(matches!(error, DataDirError::Corrupt { .. }), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_later_format_is_named() {
        let error = open_with_identity("format = 2\nsomething = \"new\"\n");
        assert!(matches!(error, DataDirError::Format { format: 2, .. }), "{error}");
    }

    #[test]
    fn data_without_an_identity_is_not_adopted() {
        let (_root, path) = new_dir();
        drop(DataDir::open(&path, "c1", "n1").unwrap());
        fs::remove_file(path.join(IDENTITY)).unwrap();
        fs::create_dir(path.join("store")).unwrap();
        let error = DataDir::open(&path, "c1", "n1").unwrap_err();
        assert!(matches!(error, DataDirError::Unidentified { .. }), "{error}");
        assert!(!path.join(IDENTITY).exists());
    }

    #[test]
    fn a_crash_before_the_rename_leaves_a_new_directory() {
        let (_root, path) = new_dir();
        drop(DataDir::open(&path, "c1", "n1").unwrap());
        fs::remove_file(path.join(IDENTITY)).unwrap();
        fs::write(path.join(IDENTITY_DRAFT), "form").unwrap();
        fs::create_dir(path.join("lost+found")).unwrap();
        let made = DataDir::open(&path, "c1", "n1").unwrap().identity().clone();
        assert_eq!(*DataDir::open(&path, "c1", "n1").unwrap().identity(), made);
    }

    #[test]
    fn a_file_is_not_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "").unwrap();
        let error = DataDir::open(&path, "c1", "n1").unwrap_err();
        assert!(matches!(error, DataDirError::NotADirectory(_)), "{error}");
    }
}
