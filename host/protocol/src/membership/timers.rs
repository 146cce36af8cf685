//! What `foca` wants done: datagrams to be sent, timers, and news of members.

use alloc::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use foca::{Notification, Runtime, Timer};

use crate::id::NodeId;
use crate::membership::presence::Presence;
use crate::time::{Duration, Time};

/// Most datagrams that wait to be taken. One more takes the place of the oldest: they may be lost anyway.
const MOST_SENT: usize = 256;

/// Where it all lies until it is taken.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) now: Time,
    pub(crate) sent: VecDeque<(NodeId, Bytes)>,
    /// Has somebody come, gone or come back?
    pub(crate) changed: bool,
    /// By time, then by order of setting.
    timers: BTreeMap<(Time, u64), Timer<Presence>>,
    set: u64,
}

impl Desk {
    pub(crate) fn new(now: Time) -> Self {
        let (sent, timers) = (VecDeque::new(), BTreeMap::new());
        Self { now, sent, changed: false, timers, set: 0 }
    }

    /// The next timer that is due.
    pub(crate) fn due(&mut self) -> Option<Timer<Presence>> {
        self.next_due().filter(|due| *due <= self.now)?;
        self.timers.pop_first().map(|(_, timer)| timer)
    }

    pub(crate) fn next_due(&self) -> Option<Time> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }
}

impl Runtime<Presence> for Desk {
    fn notify(&mut self, _: Notification<'_, Presence>) {
        self.changed = true;
    }

    fn send_to(&mut self, to: Presence, data: &[u8]) {
        if self.sent.len() >= MOST_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back((to.node, Bytes::copy_from_slice(data)));
    }

    fn submit_after(&mut self, timer: Timer<Presence>, after: core::time::Duration) {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.set += 1;
        self.timers.insert((self.now.after(Duration(micros)), self.set), timer);
    }
}
