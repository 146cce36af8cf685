//! A store to talk to one job at a time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use bytes::Bytes;
use kinfold_protocol::causality::{Content, Context, Dot};
use kinfold_protocol::config::Shape;
use kinfold_protocol::id::{Actor, BucketName, Key, RequestId};
use kinfold_protocol::replica::{Job, Outcome, Put, Rules, Step, StoreJob, Task, Ticket};
use kinfold_protocol::ring::Ring;
use kinfold_protocol::store::{Bodies, StoreError, Stored};
use kinfold_protocol::time::Timestamp;
use kinfold_storage::{Done, Durability, Options, Storage, StoreEvent};

/// A small store that is quick to open.
pub(crate) fn options() -> Options {
    Options {
        cache_mib: 8,
        memtable_mib: 64,
        reserve_mib: 0,
        durability: Durability::Sync,
        workers: 2,
        readers: 1,
        queue: 1_024,
    }
}

pub(crate) fn key(name: &str) -> Key {
    let bucket = BucketName::new("bucket").unwrap();
    Key { bucket, key: Bytes::copy_from_slice(name.as_bytes()) }
}

/// Bytes that no compressor makes smaller, different for every seed.
pub(crate) fn noise(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let words = (0..len.div_ceil(8)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(len).collect()
}

pub(crate) fn read(key: Key) -> StoreJob {
    job(key, Task::Read { bodies: Bodies::All })
}

/// A put that replaces everything that `key` held, if `time` is later than all before it.
pub(crate) fn put(key: Key, time: u64, value: Bytes) -> StoreJob {
    let mut seen = Context::new();
    seen.insert(kinfold_protocol::causality::Interval {
        actor: Actor(1),
        from: Timestamp(1),
        to: Timestamp(time - 1),
    });
    let put = Put {
        seen,
        dot: Dot { time: Timestamp(time), actor: Actor(1) },
        content: Content::value(value),
        request: RequestId(u128::from(time).to_be_bytes()),
        stands_in: None,
        expires: None,
        wall: Timestamp(0),
    };
    let rules = Rules {
        shape: Shape::Siblings,
        can_merge: false,
        epoch: None,
        siblings: 64,
        object_bytes: u64::MAX,
    };
    job(key, Task::Apply { rules, steps: vec![Step::Put(put)] })
}

fn job(key: Key, task: Task) -> StoreJob {
    let position = Ring::new(4).unwrap().position(&key, 3);
    StoreJob::Key(Job { key, position, task })
}

/// A store and its events.
pub(crate) struct Shop {
    pub(crate) storage: Storage,
    pub(crate) events: Receiver<StoreEvent>,
    tickets: u64,
    pub(crate) path: PathBuf,
}

impl Shop {
    pub(crate) fn open(path: &Path, options: Options) -> Self {
        let (sender, events) = channel();
        let on_event = move |event| {
            // The test may have ended.
            let _ = sender.send(event);
        };
        let storage = Storage::open(path, options, on_event).unwrap();
        Self { storage, events, tickets: 0, path: path.into() }
    }

    pub(crate) fn reopen(self, options: Options) -> Self {
        let Self { storage, path, .. } = self;
        storage.close().unwrap();
        Self::open(&path, options)
    }

    pub(crate) fn submit(&mut self, job: StoreJob) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.storage.submit(ticket, job).unwrap();
        ticket
    }

    /// Runs a job, waits until it is durable, and gives what it came to. A failed sync fails the job.
    pub(crate) fn run(&mut self, job: StoreJob) -> Result<Done, StoreError> {
        let writes = match &job {
            StoreJob::Key(job) => !matches!(job.task, Task::Read { .. }),
            StoreJob::Save { .. } | StoreJob::Raise(_) | StoreJob::Forget(_) => true,
            StoreJob::Hints { .. } | StoreJob::Survey(_) => false,
        };
        let mine = self.submit(job);
        let StoreEvent::Done { ticket, result } = self.events.recv().unwrap() else {
            panic!("durable before it was done");
        };
        assert_eq!(ticket, mine);
        let done = result?;
        if writes {
            match self.events.recv().unwrap() {
                StoreEvent::Synced { ticket } => assert_eq!(ticket, mine),
                StoreEvent::SyncFailed { error, .. } => return Err(error),
                StoreEvent::Done { .. } => panic!("done twice"),
            }
        }
        Ok(done)
    }

    pub(crate) fn put(&mut self, name: &str, time: u64, value: Bytes) {
        self.run(put(key(name), time, value)).unwrap();
    }

    pub(crate) fn read(&mut self, name: &str) -> Result<Option<Stored>, StoreError> {
        let done = self.run(read(key(name)))?;
        let Done::Key(Outcome::Read(found)) = done else {
            panic!("a read came to {done:?}");
        };
        Ok(found.filter(|stored| *stored != Stored::default()))
    }

    /// The one value of a key; `None` if there is no such key.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.read(name)?.map(|stored| {
            let [only] = stored.object.versions.as_slice() else {
                panic!("not one version: {stored:?}");
            };
            only.content.bytes().expect("all bytes were asked for").clone()
        }))
    }
}

/// A process that runs the ignored test `name` of this binary on the store at `path`. It ignores SIGXFSZ, so that a write
/// beyond its limit of file sizes fails as it would on a broken disk, instead of killing it.
pub(crate) fn child(name: &str, path: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(CHILD_PATH, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// In a child: the path of its store. `None` where somebody runs all ignored tests.
pub(crate) fn child_path() -> Option<PathBuf> {
    std::env::var_os(CHILD_PATH).map(PathBuf::from)
}

const CHILD_PATH: &str = "KINFOLD_STORAGE_TEST_PATH";

/// Every file below `path` whose folder is called `folder`.
pub(crate) fn files_in(path: &Path, folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() {
            found.extend(files_in(&entry, folder));
        } else if path.file_name().is_some_and(|name| name == folder) {
            found.push(entry);
        }
    }
    found.sort();
    found
}

pub(crate) fn bytes_of(files: &[PathBuf]) -> u64 {
    files.iter().map(|file| std::fs::metadata(file).unwrap().len()).sum()
}
