//! A node's plain file: one thread appends what waits, syncs once, and tells everybody.
//!
//! What comes while the disk works waits and goes together, so a lone write waits for nobody, and under load an fdatasync
//! is shared by many.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;

use super::wire::Frame;

/// Pieces that one write takes, the most that the system does.
const PIECES: usize = 1024;

/// What is to be appended, and what to do once it is durable.
pub(super) struct Entry {
    pub(super) key: Bytes,
    pub(super) frame: Frame,
    pub(super) durable: Box<dyn FnOnce() + Send>,
}

/// A file that only grows.
pub(super) struct Appended {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    file: File,
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    /// Where the bytes of a key lie.
    places: Mutex<HashMap<Bytes, (u64, usize)>>,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    closed: bool,
}

impl Appended {
    /// Makes the file.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(path)?;
        let shared = Arc::new(Shared {
            file,
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            places: Mutex::default(),
        });
        let appender = Arc::clone(&shared);
        let name = "floor-file".to_owned();
        let thread = thread::Builder::new().name(name).spawn(move || appender.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Has an entry appended.
    pub(super) fn append(&self, entry: Entry) {
        lock(&self.shared.waiting).entries.push_back(entry);
        self.shared.arrived.notify_one();
    }

    /// Does the file hold this key?
    pub(super) fn has(&self, key: &[u8]) -> bool {
        lock(&self.shared.places).contains_key(key)
    }

    /// The bytes of a key.
    pub(super) fn read(&self, key: &[u8]) -> io::Result<Option<Bytes>> {
        let place = lock(&self.shared.places).get(key).copied();
        let Some((at, length)) = place else { return Ok(None) };
        let mut bytes = vec![0; length];
        self.shared.file.read_exact_at(&mut bytes, at)?;
        Ok(Some(bytes.into()))
    }

    /// Appends what waits, and ends the thread.
    pub(super) fn close(&self) {
        lock(&self.shared.waiting).closed = true;
        self.shared.arrived.notify_one();
        if let Some(thread) = lock(&self.thread).take() {
            // It has said why on standard error, as every thread that panics.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut end = 0;
        loop {
            let waiting = self
                .arrived
                .wait_while(lock(&self.waiting), |waiting| {
                    waiting.entries.is_empty() && !waiting.closed
                })
                .map(|mut waiting| std::mem::take(&mut waiting.entries));
            let entries = waiting.unwrap_or_default();
            if entries.is_empty() {
                return;
            }
            // Nobody is told, so the requests fail at their clients: a floor on a failing disk is no floor.
            if let Err(error) = self.write(&entries) {
                tracing::error!(%error, "the floor's file can't be written");
                return;
            }
            let mut places = lock(&self.places);
            let mut told = Vec::with_capacity(entries.len());
            for Entry { key, frame, durable } in entries {
                let length: usize = frame.body.iter().map(Bytes::len).sum();
                let at = end + frame.head.len() as u64;
                end = at + length as u64;
                places.insert(key, (at, length));
                told.push(durable);
            }
            drop(places);
            told.into_iter().for_each(|durable| durable());
        }
    }

    fn write(&self, entries: &VecDeque<Entry>) -> io::Result<()> {
        let pieces = |entry: &Entry| {
            std::iter::once(entry.frame.head.clone()).chain(entry.frame.body.clone())
        };
        let pieces: Vec<Bytes> = entries.iter().flat_map(pieces).collect();
        for pieces in pieces.chunks(PIECES) {
            let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let mut slices = slices.as_mut_slice();
            while !slices.is_empty() {
                let written = (&self.file).write_vectored(slices)?;
                IoSlice::advance_slices(&mut slices, written);
            }
        }
        self.file.sync_data()
    }
}

// No code that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn what_is_appended_in_pieces_is_read_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = Appended::create(&folder.path().join("f")).unwrap();
        let (tell, told) = mpsc::channel();
        for n in 0..3_000_u32 {
            let key = Bytes::from(n.to_string());
            let body = vec![key.clone(), Bytes::from(vec![b'x'; 10])];
            let tell = tell.clone();
            let durable = Box::new(move || tell.send(n).unwrap());
            let frame = Frame { head: Bytes::from_static(b"head"), body };
            file.append(Entry { key, frame, durable });
        }
        assert_eq!(told.iter().take(3_000).count(), 3_000);
        for n in [0, 999, 2_999] {
            let found = file.read(n.to_string().as_bytes()).unwrap().unwrap();
            assert_eq!(found, format!("{n}xxxxxxxxxx"));
        }
        assert_eq!(file.read(b"none").unwrap(), None);
        file.close();
    }
}
