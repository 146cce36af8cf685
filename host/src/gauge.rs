//! A bound on how much of something is under way: a number of items, and the bytes that they hold.
//!
//! Whoever brings an item asks first, and is told at once if it is too much: nothing waits here. An item counts until its
//! [`Permit`] is dropped, so the bound is on what is held, wherever in the node it is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How much is under way, and how much may be.
#[derive(Debug)]
pub(crate) struct Gauge {
    most_items: usize,
    most_bytes: usize,
    items: AtomicUsize,
    bytes: AtomicUsize,
    emptied: Notify,
}

/// One item under way.
#[derive(Debug)]
pub(crate) struct Permit {
    gauge: Arc<Gauge>,
    bytes: usize,
}

impl Gauge {
    pub(crate) fn new(most_items: usize, most_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            most_items,
            most_bytes,
            items: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            emptied: Notify::new(),
        })
    }

    /// Counts an item of so many bytes; `None` if it would be too much.
    pub(crate) fn enter(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        let within = |most: usize| {
            move |under_way: usize, more: usize| {
                under_way.checked_add(more).filter(|sum| *sum <= most)
            }
        };
        let (items, sizes) = (within(self.most_items), within(self.most_bytes));
        let order = (Ordering::AcqRel, Ordering::Acquire);
        self.items.fetch_update(order.0, order.1, |n| items(n, 1)).ok()?;
        if self.bytes.fetch_update(order.0, order.1, |n| sizes(n, bytes)).is_err() {
            self.leave(0);
            return None;
        }
        Some(Permit { gauge: Arc::clone(self), bytes })
    }

    /// Items under way.
    pub(crate) fn items(&self) -> usize {
        self.items.load(Ordering::Acquire)
    }

    /// Bytes that the items hold.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Items that may be under way.
    pub(crate) fn most_items(&self) -> usize {
        self.most_items
    }

    /// Waits until nothing is under way.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.items() == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn leave(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        if self.items.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.emptied.notify_waiters();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gauge.leave(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_refused_and_counts_nothing() {
        let gauge = Gauge::new(2, 100);
        let first = gauge.enter(60).unwrap();
        assert!(gauge.enter(41).is_none());
        let second = gauge.enter(40).unwrap();
        assert!(gauge.enter(0).is_none());
        drop(first);
        assert!(gauge.enter(60).is_some());
        drop(second);
        assert_eq!(gauge.items(), 0);
    }

    #[tokio::test]
    async fn whoever_waits_hears_when_the_last_one_leaves() {
        let gauge = Gauge::new(2, 100);
        let permits = [gauge.enter(1), gauge.enter(1)];
        let waits = tokio::spawn({
            let gauge = Arc::clone(&gauge);
            async move { gauge.emptied().await }
        });
        tokio::task::yield_now().await;
        drop(permits);
        waits.await.unwrap();
    }
}
