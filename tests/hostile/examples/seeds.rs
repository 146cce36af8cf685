//! Writes the seeds of every decoder into a folder, one folder each: what a fuzzer begins with.

#![expect(clippy::unwrap_used, reason = "whoever runs this sees it fail")]

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let into = PathBuf::from(env::args_os().nth(1).expect("a folder"));
    for target in hostile::targets() {
        let folder = into.join(target.name);
        fs::create_dir_all(&folder).unwrap();
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
        println!("{}", target.name);
    }
}
