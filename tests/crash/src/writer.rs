//! The process that writes until it is killed, its disk is gone, or a call fails. It tells of every operation that is durable,
//! on its standard output, as soon as it knows.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use kinfold_protocol::replica::Ticket;
use kinfold_protocol::store::StoreError;
use kinfold_storage::{Durability, Storage, StoreEvent};

use crate::load::{Counts, LANES, Load, options};
use crate::report::Report;

/// What the process is to do.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Task {
    /// The directory of the store.
    pub path: PathBuf,
    /// The seed of the load.
    #[arg(long)]
    pub seed: u64,
    /// The first operation of each lane.
    #[arg(long, value_delimiter = ',', required = true)]
    pub from: Vec<u64>,
    /// Operations of a lane that are under way at one time.
    #[arg(long, default_value_t = 8)]
    pub window: u64,
    /// Operations of a lane after which the store is closed; none: it goes on.
    #[arg(long)]
    pub most: Option<u64>,
    /// Writes all memory out and compacts once, after the last operation.
    #[arg(long)]
    pub tidy: bool,
    /// Acknowledges what is not durable yet: so that the judges can show that they see it.
    #[arg(long)]
    pub hasty: bool,
    /// Writes all memory out and compacts, time and again.
    #[arg(long)]
    pub compact: bool,
}

/// Does it. Returns once everything was written, or nothing more can be.
///
/// # Errors
/// If whoever started it does not listen any more.
pub fn run(task: &Task) -> io::Result<()> {
    let (sender, events) = channel();
    let mut options = options();
    if task.hasty {
        options.durability = Durability::Interval(Duration::from_secs(3_600));
    }
    let storage = Storage::open(&task.path, options, move |event| {
        // Nobody listens once the process is about to end.
        let _ = sender.send(event);
    });
    let storage = match storage {
        Ok(storage) => storage,
        Err(error) => return tell(&Report::Refused(error.to_string())),
    };
    tell(&Report::Opened)?;
    let mut writer = Writer::new(task, &storage, &events);
    std::thread::scope(|scope| {
        if task.compact {
            let disk = storage.disk();
            scope.spawn(move || while disk.compact().is_ok() {});
        }
        writer.write()
    })?;
    if task.tidy
        && let Err(error) = storage.disk().compact()
    {
        tell(&Report::Failed(format!("compacting: {error}")))?;
    }
    match storage.close() {
        Ok(()) => tell(&Report::Closed),
        Err(error) => tell(&Report::Failed(format!("closing: {error}"))),
    }
}

fn tell(report: &Report) -> io::Result<()> {
    // One call a line, so that a line is there whole or not at all.
    io::stdout().lock().write_all(format!("{report}\n").as_bytes())
}

struct Writer<'s> {
    task: &'s Task,
    load: Load,
    storage: &'s Storage,
    events: &'s Receiver<StoreEvent>,
    next: Counts,
    done: Counts,
    under_way: BTreeMap<Ticket, (usize, u64)>,
    /// A lane in which something failed is at its end: what would come after it would leave a hole.
    ended: [bool; LANES],
}

impl<'s> Writer<'s> {
    fn new(task: &'s Task, storage: &'s Storage, events: &'s Receiver<StoreEvent>) -> Self {
        let from = [task.from[0], task.from[1]];
        let under_way = BTreeMap::new();
        let load = Load::new(task.seed);
        Self {
            task,
            load,
            storage,
            events,
            next: from,
            done: from,
            under_way,
            ended: [false; LANES],
        }
    }

    fn write(&mut self) -> io::Result<()> {
        for lane in 0..LANES {
            for _ in 0..self.task.window {
                self.submit(lane)?;
            }
        }
        while !self.under_way.is_empty() {
            match self.events.recv().expect("the store lives as long as its jobs") {
                StoreEvent::Done { ticket, result: Ok(_) } => {
                    self.done[self.under_way[&ticket].0] += 1;
                }
                StoreEvent::Synced { ticket } => {
                    let (lane, number) = self.under_way.remove(&ticket).expect("told once");
                    tell(&Report::Durable { lane, number })?;
                    self.submit(lane)?;
                }
                StoreEvent::Done { ticket, result: Err(error) }
                | StoreEvent::SyncFailed { ticket, error } => {
                    let (lane, number) = self.under_way.remove(&ticket).expect("told once");
                    self.failed(lane, number, &error)?;
                }
            }
        }
        Ok(())
    }

    fn submit(&mut self, lane: usize) -> io::Result<()> {
        let number = self.next[lane];
        let begun = number - self.task.from[lane];
        if self.ended[lane] || self.task.most.is_some_and(|most| begun >= most) {
            return Ok(());
        }
        self.next[lane] += 1;
        let ticket = Ticket(number * LANES as u64 + lane as u64);
        self.under_way.insert(ticket, (lane, number));
        let job = self.load.job(lane, number, self.done);
        match self.storage.submit(ticket, job) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.under_way.remove(&ticket);
                self.failed(lane, number, &error)
            }
        }
    }

    fn failed(&mut self, lane: usize, number: u64, error: &StoreError) -> io::Result<()> {
        self.ended[lane] = true;
        tell(&Report::Failed(format!("operation {number} of lane {lane}: {error}")))
    }
}

/// The arguments that have the program `exe` do it in a process of its own.
#[must_use]
pub fn arguments(path: &Path, seed: u64, from: Counts) -> Vec<String> {
    let from = from.map(|number| number.to_string()).join(",");
    ["write", &path.display().to_string(), "--seed", &seed.to_string(), "--from", &from]
        .map(str::to_owned)
        .to_vec()
}
