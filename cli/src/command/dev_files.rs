//! The files of a development cluster: certificates, a configuration for each node, a profile for clients.
//!
//! ```text
//! FOLDER/lock          held while the cluster runs
//! FOLDER/ca.pem .key   the authority
//! FOLDER/dev.pem .key  an operator's certificate
//! FOLDER/client.toml   the profile that uses it
//! FOLDER/n1.toml       the first node's configuration, with n1.pem and n1.key; and so on
//! FOLDER/n1/           its data
//! ```
//!
//! What must hold: one process a folder; and a throw-away folder begins empty, whatever a crash has left in it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kinfold_client::{Options, Profile};
use kinfold_host::certificate::{Authority, Role};
use serde::Serialize;

use crate::command::cert::write_profile;
use crate::command::cluster::issue;
use crate::dev_folder::{self, PROFILE};
use crate::exit::Failure;
use crate::join::Newcomer;

const CLUSTER: &str = "dev";
const LOCK: &str = "lock";

/// How long the certificate of a node is good that joins later.
const VALIDITY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many nodes, and where they listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Nodes, 1 to 9.
    pub(crate) nodes: u8,
    /// The first one's UDP port; 0 for ports that are free.
    pub(crate) port: u16,
}

/// The files of a development cluster.
pub(crate) struct DevFiles {
    folder: PathBuf,
    configs: Vec<PathBuf>,
    /// Held until the end.
    _lock: File,
    keep: bool,
    was_there: bool,
}

#[derive(Serialize)]
struct NodeFile<'m> {
    cluster: &'static str,
    node: &'m str,
    data_dir: &'m str,
    listen: &'m str,
    certificates: Certificates,
    storage: Storage,
    members: &'m [Member],
}

#[derive(Serialize)]
struct Certificates {
    ca: &'static str,
    cert: String,
    key: String,
}

/// Little, since all nodes share one machine with whoever develops on it.
#[derive(Serialize)]
struct Storage {
    cache_mib: u64,
    memtable_mib: u64,
    reserve_mib: u64,
}

#[derive(Serialize)]
struct Member {
    name: String,
    address: String,
    zone: String,
}

impl DevFiles {
    /// Files that are gone after [`done`](Self::done).
    pub(crate) fn throw_away(folder: &Path, shape: Shape) -> Result<Self, Failure> {
        dev_folder::ensure(folder)?;
        let lock = lock(folder)?;
        clear(folder)?;
        let configs = make(folder, shape)?;
        Ok(Self { folder: folder.to_owned(), configs, _lock: lock, keep: false, was_there: false })
    }

    /// Files that stay: those that are there, or new ones of this shape.
    pub(crate) fn keep(folder: &Path, shape: Shape) -> Result<Self, Failure> {
        dev_folder::ensure(folder)?;
        let folder = fs::canonicalize(folder).map_err(Failure::file(folder))?;
        let lock = lock(&folder)?;
        // The profile is written last: with it, everything is there.
        let was_there = folder.join(PROFILE).exists();
        let configs = if was_there {
            let configs = (1..=9).map(|n| folder.join(format!("n{n}.toml")));
            configs.filter(|config| config.exists()).collect()
        } else {
            make(&folder, shape)?
        };
        Ok(Self { folder, configs, _lock: lock, keep: true, was_there })
    }

    /// Where they are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The nodes' configurations.
    pub(crate) fn configs(&self) -> &[PathBuf] {
        &self.configs
    }

    /// Were they there before?
    pub(crate) fn was_there(&self) -> bool {
        self.was_there
    }

    /// Another node of this name, that is to join the cluster once it runs.
    pub(crate) fn newcomer(&self, name: &str) -> Result<Newcomer, Failure> {
        let authority = Authority::open(&self.folder)?;
        let profile = Options::from_file(self.folder.join(PROFILE))?;
        let seed = profile.seeds.into_iter().next().unwrap_or_default();
        Ok(Newcomer {
            seed,
            token: issue(&authority, name, VALIDITY)?,
            folder: self.folder.join(name),
            listen: Some(free_socket()?.local_addr()?),
            advertise: None,
            zone: format!("z{name}"),
            capacity: 1,
        })
    }

    /// Removes what is to be thrown away.
    pub(crate) fn done(self) -> Result<(), Failure> {
        if self.keep {
            return Ok(());
        }
        fs::remove_dir_all(&self.folder).map_err(Failure::file(self.folder))
    }
}

fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(LOCK);
    let options = File::options().write(true).create(true).truncate(false).open(&path);
    let file = options.map_err(Failure::file(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::Usage(format!(
            "another `kinfold dev` runs in {}: use that one, or pass --dir for one more",
            folder.display()
        ))),
        Err(TryLockError::Error(e)) => Err(Failure::file(path)(e)),
    }
}

fn clear(folder: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(folder).map_err(Failure::file(folder))? {
        let entry = entry.map_err(Failure::file(folder))?;
        let path = entry.path();
        if entry.file_name() == LOCK {
            continue;
        }
        let kind = entry.file_type().map_err(Failure::file(&path))?;
        let removed =
            if kind.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(Failure::file(path))?;
    }
    Ok(())
}

fn make(folder: &Path, shape: Shape) -> Result<Vec<PathBuf>, Failure> {
    let members = members(shape)?;
    let authority = Authority::create(CLUSTER)?;
    authority.save(folder)?;
    authority.issue(Role::Admin, "dev")?.save(folder, "dev")?;
    let mut configs = Vec::new();
    for member in &members {
        authority.issue(Role::Node, &member.name)?.save(folder, &member.name)?;
        let path = folder.join(format!("{}.toml", member.name));
        let file = NodeFile {
            cluster: CLUSTER,
            node: &member.name,
            data_dir: &member.name,
            listen: &member.address,
            certificates: Certificates {
                ca: "ca.pem",
                cert: format!("{}.pem", member.name),
                key: format!("{}.key", member.name),
            },
            storage: Storage { cache_mib: 32, memtable_mib: 16, reserve_mib: 64 },
            members: &members,
        };
        let text = toml::to_string(&file)
            .map_err(|e| Failure::Usage(format!("a configuration can't be written: {e}")))?;
        fs::write(&path, text).map_err(Failure::file(&path))?;
        configs.push(path);
    }
    let profile = Profile {
        cluster: CLUSTER.to_owned(),
        seeds: members.into_iter().map(|member| member.address).collect(),
        ca: "ca.pem".into(),
        cert: "dev.pem".into(),
        key: "dev.key".into(),
        deadline_ms: None,
        addresses: Default::default(),
    };
    write_profile(&folder.join(PROFILE), &profile)?;
    Ok(configs)
}

fn members(shape: Shape) -> Result<Vec<Member>, Failure> {
    // Held together, so that no port is given out twice.
    let mut held = Vec::new();
    let mut port = |n: u8| -> Result<u16, Failure> {
        if shape.port != 0 {
            let port = shape.port.checked_add(u16::from(n) - 1);
            return port.ok_or_else(|| {
                Failure::Usage(format!("there are no {} ports from {} on", shape.nodes, shape.port))
            });
        }
        let socket = free_socket()?;
        let port = socket.local_addr()?.port();
        held.push(socket);
        Ok(port)
    };
    (1..=shape.nodes)
        .map(|n| {
            Ok(Member {
                name: format!("n{n}"),
                address: format!("127.0.0.1:{}", port(n)?),
                zone: format!("z{n}"),
            })
        })
        .collect()
}

/// A socket on a port that is free, and that stays so until a node has it. The system gives out ports to whoever asks for any
/// from a range above these; and each process looks in a block of its own first, so that two which start their clusters at the
/// same time don't choose the same ports.
fn free_socket() -> io::Result<UdpSocket> {
    let start = first_port(std::process::id());
    (start..PORTS.end)
        .chain(PORTS.start..start)
        .find_map(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok())
        .ok_or_else(|| io::Error::other("no UDP port from 10000 to 29999 is free"))
}

const PORTS: Range<u16> = 10_000..30_000;

/// Where the block of this process begins. Processes that run together mostly have ids near each other.
fn first_port(process: u32) -> u16 {
    /// One for each node that a cluster can have, and one more.
    const BLOCK: u32 = 10;
    let blocks = (PORTS.end - PORTS.start) as u32 / BLOCK;
    PORTS.start + (process % blocks * BLOCK) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinfold_client::Options;
    use kinfold_host::config::{Config, Overrides};

    const FREE: Shape = Shape { nodes: 3, port: 0 };

    #[test]
    fn nodes_and_clients_can_use_them() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("dev");
        let files = DevFiles::throw_away(&folder, FREE).unwrap();
        for config in files.configs() {
            let config = Config::load(Some(config), |_| None, Overrides::default()).unwrap();
            assert_eq!(config.members.len(), 3);
        }
        let options = Options::from_file(folder.join(PROFILE)).unwrap();
        assert_eq!((options.cluster.as_str(), options.seeds.len()), ("dev", 3));
        files.done().unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn one_process_a_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("dev");
        let files = DevFiles::throw_away(&folder, FREE).unwrap();
        let second = DevFiles::throw_away(&folder, FREE).err().unwrap().to_string();
        assert!(second.contains("another `kinfold dev`"), "{second}");
        drop(files);
        // As after a crash: what it left is cleared away.
        DevFiles::throw_away(&folder, FREE).unwrap();
    }

    #[test]
    fn kept_files_are_found_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("dev");
        let first = DevFiles::keep(&folder, FREE).unwrap();
        let configs = first.configs().to_vec();
        assert!(!first.was_there());
        first.done().unwrap();
        let again = DevFiles::keep(&folder, Shape { nodes: 5, port: 1 }).unwrap();
        assert!(again.was_there());
        assert_eq!(again.configs(), configs);
    }

    #[test]
    fn processes_with_ids_near_each_other_take_no_port_of_each_other() {
        let mut starts: Vec<_> = (65_000..67_000).map(first_port).collect();
        starts.sort_unstable();
        assert!(starts.windows(2).all(|two| two[1] - two[0] > 9), "{starts:?}");
        assert!(starts.iter().all(|start| PORTS.contains(start) && PORTS.contains(&(start + 8))));
    }

    #[test]
    fn ports_end_somewhere() {
        assert!(members(Shape { nodes: 2, port: u16::MAX }).is_err());
        assert_eq!(members(Shape { nodes: 2, port: 1 }).unwrap()[1].address, "127.0.0.1:2");
    }
}
