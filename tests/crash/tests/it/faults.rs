//! Calls that fail.

use crash::faults::{Plan, Shim, Tally, faults};

use crate::{exe, skip};

/// Of the calls of a run every so manieth fails. The command without a stride tries all.
const STRIDE: u64 = 23;

/// The same where every run makes a store anew, which takes more calls.
const STRIDE_FRESH: u64 = 53;

fn failing(plan: Plan) -> Option<Tally> {
    match Shim::new() {
        Ok(shim) => Some(faults(exe(), &shim, plan).unwrap()),
        Err(why) => {
            skip(&format!("failing calls: {why}"));
            None
        }
    }
}

/// Whatever failed, nothing that was acknowledged is lost, and whoever can't go on says so.
fn holds(plan: Plan) {
    let Some(tally) = failing(plan) else { return };
    println!("{tally}");
    for kind in ["open", "write", "read", "fsync"] {
        let (told, _) = tally.told.get(kind).copied().unwrap_or_default();
        assert!(told > 0, "no {kind} that failed was told of: {tally}");
    }
    let (_, went_on) = tally.told["fsync"];
    assert_eq!(went_on, 0, "a store went on after an fsync that failed: {tally}");
}

#[test]
fn every_kind_of_call_may_fail_in_a_store_that_goes_on() {
    holds(Plan { seed: 1, stride: STRIDE, first: 1, fresh: false });
}

#[test]
fn every_kind_of_call_may_fail_in_a_store_that_is_new() {
    holds(Plan { seed: 2, stride: STRIDE_FRESH, first: 5, fresh: true });
}
