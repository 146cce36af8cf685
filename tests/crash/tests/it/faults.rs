//! Calls that fail.

use crash::faults::{Plan, Shim, Tally, faults};

use crate::{exe, skip};

/// Of each kind of call about so many fail. The command without a number tries all.
const EACH: u64 = 12;

/// The same where every run makes a store anew.
const EACH_FRESH: u64 = 5;

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
    for kind in ["open", "write", "read", "fsync", "rename"] {
        let (told, _) = tally.told.get(kind).copied().unwrap_or_default();
        assert!(told > 0, "no {kind} that failed was told of: {tally}");
    }
    let (_, went_on) = tally.told["fsync"];
    assert_eq!(went_on, 0, "a store went on after an fsync that failed: {tally}");
}

#[test]
fn every_kind_of_call_may_fail_in_a_store_that_goes_on() {
    holds(Plan { seed: 1, each: Some(EACH), fresh: false });
}

#[test]
fn every_kind_of_call_may_fail_in_a_store_that_is_new() {
    holds(Plan { seed: 2, each: Some(EACH_FRESH), fresh: true });
}
