//! The trace of a run: a hash over every event in its order. Two runs with one hash were the same run.

use crate::event::Event;
use crate::imprint::Imprint;

/// A trace in the making.
#[derive(Debug, Default)]
pub struct Trace {
    hasher: blake3::Hasher,
    imprint: Imprint,
    events: u64,
    printed: bool,
}

impl Trace {
    /// A trace; `printed` writes every event to standard output too.
    #[must_use]
    pub fn new(printed: bool) -> Self {
        Self { printed, ..Self::default() }
    }

    /// An event happens.
    pub fn note(&mut self, now: u64, event: &Event) {
        if self.printed {
            println!("{now:>12} {event:?}");
        }
        self.events += 1;
        self.hasher.update(self.imprint.take(now, event));
    }

    /// How many events happened.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The hash of the trace so far.
    #[must_use]
    pub fn hash(&self) -> String {
        self.hasher.finalize().to_hex()[..16].to_owned()
    }
}
