//! What one certificate may take of the places that all clients share: three quarters.
//!
//! A place is taken before anything is known to be good: a connection that may never ask, a request of which only its lengths are here.
//! Without a share, sixteen streams that announce the longest value and send none of it would keep all others out for as long
//! as a request may take to arrive. What is here whole is no longer counted: an honest client's requests arrive in milliseconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::gauge::Gauge;

/// The shares of those who are connected.
#[derive(Debug)]
pub(crate) struct Shares {
    connections: usize,
    requests: usize,
    bytes: usize,
    of: Mutex<BTreeMap<String, Weak<Share>>>,
}

/// The share of one certificate, however many connections it has.
#[derive(Debug)]
pub(crate) struct Share {
    /// Its connections.
    pub(crate) connections: Arc<Gauge>,
    /// Its requests that are not here whole.
    pub(crate) arriving: Arc<Gauge>,
}

impl Shares {
    /// Shares of so many connections, requests and bytes of them.
    pub(crate) fn new(connections: usize, requests: usize, bytes: usize) -> Self {
        let share = |most: usize| most - most / 4;
        Self {
            connections: share(connections),
            requests: share(requests),
            bytes: share(bytes),
            of: Mutex::default(),
        }
    }

    /// The share of `principal`, which all of its connections have together.
    pub(crate) fn of(&self, principal: &str) -> Arc<Share> {
        let mut shares = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(principal).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Share {
            connections: Gauge::new(self.connections, 0),
            arriving: Gauge::new(self.requests, self.bytes),
        });
        shares.insert(principal.to_owned(), Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_is_kept_from_each() {
        let shares = Shares::new(8, 4, 100);
        let one = shares.of("one");
        let held: Vec<_> = (0..6).map(|_| one.connections.enter(0).unwrap()).collect();
        assert!(shares.of("one").connections.enter(0).is_none(), "its share is one share");
        assert!(shares.of("other").connections.enter(0).is_some());
        assert!(one.arriving.enter(76).is_none() && one.arriving.enter(75).is_some());
        drop((held, one));
        assert!(shares.of("one").connections.enter(0).is_some());
        shares.of("third");
        assert!(shares.of.lock().unwrap().len() <= 2, "who is gone is forgotten");
    }

    #[test]
    fn small_bounds_have_nothing_to_keep() {
        assert!(Shares::new(1, 1, 1).of("one").connections.enter(0).is_some());
    }
}
