//! Kills and power cuts.

use crash::chain::{Crash, crash, crash_writer};
use crash::image::Image;

use crate::{exe, skip};

/// How many of each.
const CRASHES: u64 = 100;

/// Can this machine cut the power of a file system?
fn has_power() -> bool {
    let image = Image::new(64);
    image.inspect_err(|why| skip(&format!("power cuts: {why}"))).is_ok()
}

#[test]
fn every_acknowledged_write_survives_kills() {
    let tally = crash(exe(), Crash::Kill, CRASHES, 1).unwrap();
    println!("{tally}");
    assert!(tally.acknowledged > 10 * CRASHES && tally.while_opening > 0, "{tally}");
}

#[test]
fn every_acknowledged_write_survives_power_cuts() {
    if has_power() {
        let tally = crash(exe(), Crash::PowerCut, CRASHES, 1_001).unwrap();
        println!("{tally}");
        assert!(tally.acknowledged > 10 * CRASHES && tally.while_opening > 0, "{tally}");
    }
}

/// What is acknowledged before it is durable is lost sooner or later, and seen.
#[test]
fn a_writer_that_acknowledges_too_early_is_caught() {
    let error = crash_writer(exe(), Crash::Kill, 40, 2_001, true).unwrap_err();
    assert!(error.contains("acknowledged writes are gone"), "{error}");
    if has_power() {
        let error = crash_writer(exe(), Crash::PowerCut, 40, 2_001, true).unwrap_err();
        assert!(error.contains("acknowledged writes are gone"), "{error}");
    }
}
