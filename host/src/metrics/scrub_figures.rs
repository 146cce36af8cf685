//! Figures of the scrub.

use kinfold_protocol::message::client::{ScrubPass, ScrubStatus};

use super::sheet::{Sheet, label};

pub(super) fn add(sheet: &mut Sheet, scrub: &ScrubStatus, rate: u64) {
    let none = ScrubPass::default();
    let last = scrub.last.as_ref().unwrap_or(&none);
    let passes = [("present", &scrub.pass), ("last", last)];
    let figure = |of: fn(&ScrubPass) -> u64| {
        passes.map(|(which, pass)| (label("pass", which), of(pass) as f64))
    };
    let help = "Bytes of the disk that were read back";
    sheet.levels("scrub_bytes", help, figure(|pass| pass.bytes));
    let help = "Records that were read back";
    sheet.levels("scrub_records", help, figure(|pass| pass.records));
    let help = "Files and partitions that were found damaged";
    sheet.levels("scrub_damage", help, figure(|pass| pass.damage));
    let help = "Leaves of trees that were wrong, and were set right";
    sheet.levels("scrub_leaves", help, figure(|pass| pass.leaves));
    let help = "Bytes that a whole pass reads, about";
    sheet.level("scrub_whole_bytes", help, scrub.whole as f64);
    let help = "Bytes a second that the scrub may read at present";
    sheet.level("scrub_rate_bytes", help, rate as f64);
    let ended = last.ended_us.map(|us| us as f64 / 1e6).unwrap_or_default();
    let help = "When the last whole pass ended, in seconds since 1970; 0 if there was none";
    sheet.level("scrub_last_seconds", help, ended);
    let help = "Is there damage that is not taken out yet?";
    sheet.level("store_damaged", help, f64::from(u8::from(scrub.damaged)));
}
