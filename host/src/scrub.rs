//! Reads the disk back in the background, pass after pass, on a thread of its own: see [`kinfold_storage::Scrub`].
//!
//! A pass takes about as long as it may by the configuration, so that it costs hardly anything; one that an operator asks for goes
//! as fast as it is allowed, and both yield to the foreground. How far it has come is kept in the store, so a restart goes on there.
//!
//! What is found damaged is mended at a start. So once something was found the node is to be started again: at the end
//! of a pass that an operator asked for, or a little later otherwise.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kinfold_protocol::catalogue::BucketEntry;
use kinfold_protocol::cbor;
use kinfold_protocol::id::BucketName;
use kinfold_protocol::io::saved;
use kinfold_protocol::message::client::{ScrubPass, ScrubStatus};
use kinfold_protocol::pacer::{PaceLimits, Pacer};
use kinfold_protocol::ring::Ring;
use kinfold_protocol::store::Store;
use kinfold_protocol::time;
use kinfold_storage::{Cursor, Disk, Places, Scrub, Step};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::clock;
use crate::config;

/// What is kept of the scrub, under this name.
const KEPT: &str = "scrub";

/// How often that is saved.
const SAVE: Duration = Duration::from_secs(10);

/// Damage that was met is mended so long after it was first seen: what is met meanwhile is mended with it.
const GATHER: Duration = Duration::from_secs(30);

/// No start is followed by another one sooner, unless an operator asks.
const APART: Duration = Duration::from_secs(300);

/// Between two looks for damage that others have met.
const LOOK: Duration = Duration::from_secs(1);

/// Between two passes, however small the disk.
const REST: Duration = Duration::from_secs(3_600);

/// After a step that could not be made.
const RETRY: Duration = Duration::from_secs(60);

/// A step that read nothing is followed by the next one after this.
const BREATH: Duration = Duration::from_millis(1);

/// The scrub of one node, as others see it.
pub(crate) struct Scrubber {
    limits: config::Scrub,
    ring: Ring,
    begun: Instant,
    state: Mutex<State>,
    changed: Condvar,
    pacer: Mutex<Pacer>,
    /// Is the node to be started again, to be mended?
    hurt: watch::Sender<bool>,
}

struct State {
    /// None once the node stops: then the store is to be closed.
    disk: Option<Disk>,
    kept: Kept,
    /// An operator waits for this pass.
    hurried: bool,
    /// How often operators have asked.
    asked: u64,
    /// When damage was first seen.
    damaged: Option<Instant>,
}

/// What outlives the process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    cursor: (u8, u64, u64, u64),
    pass: ScrubPass,
    last: Option<ScrubPass>,
    passes: u64,
}

impl Scrubber {
    /// Starts the thread, which ends soon after [`Scrubber::stop`].
    pub(crate) fn start(
        disk: Disk,
        limits: config::Scrub,
        ring: Ring,
    ) -> (Arc<Self>, Option<JoinHandle<()>>) {
        let kept = disk.load(KEPT).ok().flatten();
        // What can't be read was written by another version: begun anew.
        let kept: Kept = kept.and_then(|bytes| cbor::decode(&bytes).ok()).unwrap_or_default();
        let pace = PaceLimits {
            least: PaceLimits::default().least.min(limits.mib_s << 20),
            most: limits.mib_s << 20,
            ..PaceLimits::default()
        };
        let (hurt, _) = watch::channel(false);
        let state =
            State { disk: Some(disk.clone()), kept, hurried: false, asked: 0, damaged: None };
        let scrubber = Arc::new(Self {
            limits,
            ring,
            begun: Instant::now(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            pacer: Mutex::new(Pacer::new(pace, time::Time(0))),
            hurt,
        });
        let worker = Arc::clone(&scrubber);
        let spawned = thread::Builder::new().name("scrub".into());
        let spawned = spawned.spawn(move || run(&worker, &disk));
        let thread = spawned.map_err(|error| {
            warn!(%error, "no thread for the scrub: nothing is read back");
        });
        (scrubber, thread.ok())
    }

    /// An operator wants a pass, from its beginning, as fast as may be.
    pub(crate) fn hurry(&self) {
        let mut state = self.lock();
        if !state.hurried {
            state.hurried = true;
            state.asked += 1;
            state.kept.cursor = Cursor::Begin.to_parts();
            state.kept.pass = ScrubPass::default();
        }
        self.changed.notify_all();
    }

    /// Ends the thread, after the step that it is making.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.keep();
        state.disk = None;
        self.changed.notify_all();
    }

    /// A client was answered after so long.
    pub(crate) fn answered(&self, took: Duration) {
        let took = time::Duration(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        let mut pacer = self.pacer.lock().unwrap_or_else(PoisonError::into_inner);
        pacer.answered(self.now(), took);
    }

    /// Whether the node is to be started again, to be mended.
    pub(crate) fn hurt(&self) -> watch::Receiver<bool> {
        self.hurt.subscribe()
    }

    /// How it stands.
    pub(crate) fn status(&self) -> ScrubStatus {
        let state = self.lock();
        let disk = state.disk.as_ref();
        ScrubStatus {
            hurried: state.hurried,
            pass: state.kept.pass.clone(),
            whole: disk.map(Scrub::whole).unwrap_or_default(),
            last: state.kept.last.clone(),
            passes: state.kept.passes,
            damaged: disk.is_some_and(Disk::is_damaged),
        }
    }

    /// Bytes a second that it may take at present.
    pub(crate) fn rate(&self) -> u64 {
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner).rate()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> time::Time {
        time::Time(u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Waits for so long, or until an operator asks again after so many times. Says whether the thread is to end.
    fn wait(&self, pause: Duration, asked: u64) -> bool {
        let state = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(state, pause, |state| state.disk.is_some() && state.asked == asked);
        waited.unwrap_or_else(PoisonError::into_inner).0.disk.is_none()
    }

    /// How long to wait after a step.
    fn pause(&self, bytes: u64) -> Duration {
        let state = self.lock();
        let (hurried, whole) = (state.hurried, state.disk.as_ref().map(Scrub::whole));
        drop(state);
        let mut pacer = self.pacer.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        pacer.spend(now, bytes);
        let fastest = Duration::from_micros(pacer.free_at().since(now).0).max(BREATH);
        if hurried {
            return fastest;
        }
        let seconds = f64::from(self.limits.days) * 86_400.0;
        let share = bytes as f64 / whole.unwrap_or_default().max(1) as f64;
        // Steps of no bytes, too, are spread a little.
        Duration::from_secs_f64(seconds * share.min(1.0)).max(fastest)
    }

    /// A step is made, which led from one place to another. Says whether it counts: the pass may have been begun anew meanwhile.
    fn made(&self, from: Cursor, step: &Step, to: Cursor) -> bool {
        let mut state = self.lock();
        if state.kept.cursor != from.to_parts() {
            return false;
        }
        let pass = &mut state.kept.pass;
        pass.began_us.get_or_insert_with(|| clock::wall().0);
        pass.bytes += step.bytes;
        pass.records += step.records;
        pass.damage += step.damage;
        pass.leaves += step.leaves;
        state.kept.cursor = to.to_parts();
        true
    }

    /// The pass is over. Says whether an operator had waited for it.
    fn over(&self) -> bool {
        let mut state = self.lock();
        let mut pass = std::mem::take(&mut state.kept.pass);
        pass.ended_us = Some(clock::wall().0);
        let ScrubPass { bytes, records, damage, leaves, .. } = pass;
        info!(bytes, records, damage, leaves, "all that is on the disk was read back");
        state.kept.last = Some(pass);
        state.kept.passes += 1;
        state.kept.cursor = Cursor::Begin.to_parts();
        state.keep();
        std::mem::take(&mut state.hurried)
    }

    /// Damage that any read has met is to be mended in time; `now` if somebody waits for that.
    fn look_for_damage(&self, now: bool) {
        let mut state = self.lock();
        if !state.disk.as_ref().is_some_and(Disk::is_damaged) {
            return;
        }
        let since = *state.damaged.get_or_insert_with(Instant::now);
        let due = since.elapsed() >= GATHER && self.begun.elapsed() >= APART;
        if (now || due) && !*self.hurt.borrow() {
            error!("stored data is damaged: the node stops, mends its store and starts again");
            self.hurt.send_replace(true);
        }
    }

    fn places(&self) -> Places {
        let disk = self.lock().disk.clone();
        let buckets = disk.and_then(|disk| disk.load(saved::CATALOGUE).ok().flatten());
        let none = Places { ring: self.ring, copies: BTreeMap::new() };
        places(self.ring, buckets.as_deref()).unwrap_or(none)
    }
}

impl State {
    fn keep(&self) {
        // On a disk that takes nothing more the next start begins the pass a little earlier.
        let mut disk = self.disk.clone();
        let _ = disk.as_mut().map(|disk| disk.save(KEPT, &cbor::encode(&self.kept)));
    }
}

/// Where keys lie, by the buckets as they are saved.
pub(crate) fn places(ring: Ring, buckets: Option<&[u8]>) -> Option<Places> {
    let buckets: BTreeMap<BucketName, BucketEntry> = match buckets {
        Some(bytes) => cbor::decode(bytes).ok()?,
        None => BTreeMap::new(),
    };
    let copies = buckets.into_iter().map(|(name, entry)| (name, entry.config.n)).collect();
    Some(Places { ring, copies })
}

fn run(scrubber: &Scrubber, disk: &Disk) {
    let cursor = || Cursor::from_parts(scrubber.lock().kept.cursor);
    let mut pass = Scrub::new(disk.clone(), cursor());
    let mut saved = Instant::now();
    loop {
        scrubber.look_for_damage(false);
        let asked = scrubber.lock().asked;
        let at = cursor();
        if at != pass.cursor() || pass.is_over() {
            pass = Scrub::new(disk.clone(), at);
        }
        let pause = if scrubber.limits.days == 0 && !scrubber.lock().hurried {
            RETRY
        } else {
            match pass.step(|| scrubber.places()) {
                Ok(step) => {
                    let counts = scrubber.made(at, &step, pass.cursor());
                    let pause = scrubber.pause(step.bytes);
                    if counts && pass.is_over() {
                        let waited_for = scrubber.over();
                        scrubber.look_for_damage(waited_for);
                        REST.max(pause)
                    } else {
                        pause
                    }
                }
                Err(error) => {
                    warn!(%error, "the scrub could not go on, and tries again");
                    RETRY
                }
            }
        };
        if saved.elapsed() >= SAVE {
            saved = Instant::now();
            scrubber.lock().keep();
        }
        // In pieces, since any read may meet damage meanwhile.
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if scrubber.wait(left.min(LOOK), asked) {
                return;
            }
            if left <= LOOK || scrubber.lock().asked != asked {
                break;
            }
            scrubber.look_for_damage(false);
        }
    }
}
