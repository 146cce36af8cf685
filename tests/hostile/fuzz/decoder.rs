//! The decoders under libFuzzer: the functions, seeds and bounds of `tests/it`, and bytes that coverage leads to. `tests/fuzz` runs it.
//!
//! One program for all of them, so that there is no second list: KINFOLD_DECODER says which. With KINFOLD_CORPUS it writes what is
//! there to begin with into that folder, a folder for each decoder, and ends.

#![no_main]

use std::sync::LazyLock;
use std::{env, fs, process};

use hostile::{Target, targets};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = env::var("KINFOLD_DECODER").expect("KINFOLD_DECODER names a decoder");
    targets().into_iter().find(|target| target.name == name).expect("a decoder of that name")
});

/// Writes the seeds of all decoders, and what was kept for them, as a fuzzer wants to have them.
fn write_corpus() {
    let Some(folder) = env::var_os("KINFOLD_CORPUS") else { return };
    for target in targets() {
        let folder = std::path::Path::new(&folder).join(target.name);
        fs::create_dir_all(&folder).expect("a folder that can be made");
        for (number, bytes) in (target.seeds)().into_iter().chain(target.kept()).enumerate() {
            fs::write(folder.join(format!("seed-{number}")), bytes).expect("room for a seed");
        }
        println!("{}", target.name);
    }
    process::exit(0);
}

fuzz_target!(init: write_corpus(), |bytes: &[u8]| TARGET.check(bytes));
