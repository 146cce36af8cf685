//! Writes per second of this store, beside the floor of the machine: `cargo run --release -p kinfold-storage --example bench`.
//!
//! Both do the same for a caller: 10 KB that can't be compressed are durable before the next are sent. The floor is a plain
//! file, one append a value and one fdatasync a group. Everything after that is the price of an index.
//!
//! Arguments: seconds (10), callers (64), bytes a value (10240), workers (2), rounds (1), directory (the system's temporary one).

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_protocol::causality::{Content, Context, Dot};
use kinfold_protocol::config::Shape;
use kinfold_protocol::id::{Actor, BucketName, Key, RequestId};
use kinfold_protocol::replica::{Job, Put, Rules, Step, StoreJob, Task, Ticket};
use kinfold_protocol::ring::Ring;
use kinfold_protocol::time::Timestamp;
use kinfold_storage::{Options, Storage, StoreEvent};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default: usize| arguments.next().map_or(default, |a| a.parse().expect("a number"));
    let (seconds, callers, len) = (number(10), number(64), number(10_240));
    let (workers, repeat) = (number(2), number(1));
    let directory = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(directory).expect("the directory can be written");
    let time = Duration::from_secs(seconds as u64);
    println!("{callers} callers, {len} bytes a value, {seconds} s each, {workers} workers");
    for _ in 0..repeat {
        let floor = append(directory.path(), time, callers, len).report("append + fdatasync");
        let store = store(directory.path(), time, callers, len, workers).report("store");
        println!("store / floor: {:.2}", store / floor);
    }
}

/// Latencies of all writes, and how long they took together.
struct Run {
    latencies: Vec<Duration>,
    took: Duration,
}

impl Run {
    /// Says how it went, and gives the writes a second.
    fn report(mut self, name: &str) -> f64 {
        self.latencies.sort_unstable();
        let rate = self.latencies.len() as f64 / self.took.as_secs_f64();
        let at = |share: f64| {
            let index = (self.latencies.len() - 1) as f64 * share;
            self.latencies[index as usize].as_secs_f64() * 1_000.0
        };
        println!(
            "{name:>20}: {rate:>7.0} writes/s, ms: p50 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.1}",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
        rate
    }
}

/// Bytes that no compressor makes smaller.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn value(&mut self, len: usize) -> Bytes {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(len).collect()
    }
}

fn store(directory: &Path, time: Duration, callers: usize, len: usize, workers: usize) -> Run {
    let (synced, events) = mpsc::channel();
    let options = Options { reserve_mib: 64, workers, ..Options::default() };
    let path = directory.join("store");
    let storage = Storage::open(&path, options, move |event| match event {
        StoreEvent::Done { result, .. } => drop(result.expect("the write is applied")),
        StoreEvent::Synced { ticket } => synced.send(ticket).expect("the bench listens"),
        StoreEvent::SyncFailed { error, .. } => panic!("{error}"),
    })
    .expect("the store opens");
    let ring = Ring::new(256).expect("256 is a power of two");
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    let values: Vec<_> = (0..64).map(|_| noise.value(len)).collect();
    let mut written = 0u64;
    let mut submit = || {
        written += 1;
        // Every value is another: a counter in front of the noise.
        let mut value = written.to_be_bytes().to_vec();
        value.extend_from_slice(&values[written as usize % values.len()][8.min(len)..]);
        let name = noise.next().to_be_bytes();
        let key = Key {
            bucket: BucketName::new("bench").expect("the name is good"),
            key: Bytes::copy_from_slice(&name),
        };
        let put = Put {
            seen: Context::new(),
            dot: Dot { time: Timestamp(written), actor: Actor(1) },
            content: Content::value(value.into()),
            request: RequestId(u128::from(written).to_be_bytes()),
            stands_in: None,
            expires: None,
            wall: Timestamp(0),
        };
        let rules = Rules {
            shape: Shape::Siblings,
            can_merge: false,
            epoch: None,
            siblings: 64,
            object_bytes: 1 << 30,
        };
        let task = Task::Apply { rules, steps: vec![Step::Put(put)] };
        let job = Job { position: ring.position(&key, 3), key, task };
        storage.submit(Ticket(written), StoreJob::Key(job)).expect("the queue has room");
        written
    };
    let started = Instant::now();
    let mut sent = std::collections::BTreeMap::new();
    let mut latencies = Vec::new();
    for _ in 0..callers {
        sent.insert(submit(), Instant::now());
    }
    while !sent.is_empty() {
        let Ticket(ticket) = events.recv().expect("the store lives");
        let begun = sent.remove(&ticket).expect("the ticket was sent");
        latencies.push(begun.elapsed());
        if started.elapsed() < time {
            sent.insert(submit(), Instant::now());
        }
    }
    let took = started.elapsed();
    let stats = storage.stats().expect("the file system answers");
    println!(
        "{:>20}  {:.1} writes an fsync of {:.2} ms, {} stalls of {:.0} ms together, {} MiB on the disk",
        "",
        stats.commits as f64 / stats.syncs as f64,
        stats.syncing.as_secs_f64() * 1_000.0 / stats.syncs as f64,
        stats.stalls,
        stats.stalled.as_secs_f64() * 1_000.0,
        stats.disk_bytes >> 20,
    );
    storage.close().expect("everything is durable");
    std::fs::remove_dir_all(path).expect("the store can be removed");
    Run { latencies, took }
}

/// What waits to be appended.
#[derive(Default)]
struct Waiting {
    values: VecDeque<(usize, Bytes)>,
    closed: bool,
}

fn append(directory: &Path, time: Duration, callers: usize, len: usize) -> Run {
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    let values: Vec<_> = (0..64).map(|_| noise.value(len)).collect();
    let path = directory.join("append");
    let mut file = File::create(&path).expect("the file can be made");
    let waiting = Mutex::new(Waiting::default());
    let arrived = Condvar::new();
    let (synced, events) = mpsc::channel();
    let mut latencies = Vec::new();
    let started = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            let synced = synced;
            loop {
                let lock = waiting.lock().expect("nobody panics under it");
                let mut lock = arrived
                    .wait_while(lock, |w| w.values.is_empty() && !w.closed)
                    .expect("nobody panics under it");
                let group = std::mem::take(&mut lock.values);
                drop(lock);
                if group.is_empty() {
                    return;
                }
                for (_, value) in &group {
                    file.write_all(value).expect("the disk takes it");
                }
                file.sync_data().expect("the disk keeps it");
                for (caller, _) in group {
                    synced.send(caller).expect("the bench listens");
                }
            }
        });
        let send = |caller: usize| {
            let value = values[caller % values.len()].clone();
            waiting.lock().expect("nobody panics under it").values.push_back((caller, value));
            arrived.notify_one();
            Instant::now()
        };
        let mut begun: Vec<_> = (0..callers).map(send).collect();
        let mut outstanding = callers;
        while outstanding > 0 {
            let caller = events.recv().expect("the appender lives");
            latencies.push(begun[caller].elapsed());
            if started.elapsed() < time {
                begun[caller] = send(caller);
            } else {
                outstanding -= 1;
            }
        }
        waiting.lock().expect("nobody panics under it").closed = true;
        arrived.notify_one();
    });
    let took = started.elapsed();
    std::fs::remove_file(path).expect("the file can be removed");
    Run { latencies, took }
}
