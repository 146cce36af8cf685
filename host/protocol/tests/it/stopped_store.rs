//! A store that has stopped fails each job at once: the node must not answer each failure with the same job again.

use kinfold_protocol::id::Actor;
use kinfold_protocol::io::{Input, Output, StoreEvent};
use kinfold_protocol::store::StoreError;
use kinfold_protocol::time::{LEASE, Now, Time, Timestamp};

use crate::founded::first_of;

#[test]
fn a_lease_that_can_not_be_kept_is_not_tried_again_at_once() {
    let begun = Timestamp(1_700_000_000_000_000);
    let mut node = first_of(1, Actor(1), begun);
    let late = Now { time: Time(LEASE.0), wall: Timestamp(begun.0 + LEASE.0) };
    node.handle(late, Input::Tick);
    let mut jobs = 0;
    for _ in 0..100 {
        while let Some(output) = node.poll_output() {
            if let Output::Store { ticket, .. } = output {
                jobs += 1;
                let result = Err(StoreError::Poisoned("no space left".into()));
                node.handle(late, Input::Store(StoreEvent::Done { ticket, result }));
                break;
            }
        }
    }
    assert!((1..10).contains(&jobs), "{jobs} jobs at one moment");
}
