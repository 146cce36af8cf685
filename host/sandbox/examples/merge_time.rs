//! How long merges take on this machine: three siblings of 100 bytes, on one thread and on two.
//!
//! `cargo run --release -p kinfold-sandbox --example merge_time [COMPONENT...]`

use std::time::{Duration, Instant};
use std::{env, error, fs, thread};

use bytes::Bytes;
use kinfold_protocol::merge::{MergeInput, MergeRequest};
use kinfold_protocol::time::Timestamp;
use kinfold_sandbox::{BUILT_IN, Engine, Limits, Plugin};

const LASTING: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn error::Error>> {
    let engine = Engine::new(Limits::default(), 8)?;
    let mut components: Vec<(String, Vec<u8>)> =
        BUILT_IN.iter().map(|(name, component)| ((*name).to_owned(), component.to_vec())).collect();
    for path in env::args().skip(1) {
        let component = fs::read(&path)?;
        components.push((path, component));
    }
    for (name, component) in components {
        let start = Instant::now();
        let plugin = Plugin::load(&engine, &component)?;
        let loaded = start.elapsed();
        let fuel = plugin.merge(&request()).fuel;
        let alone = rate(&plugin);
        let both: f64 = thread::scope(|scope| {
            let threads = [(); 2].map(|()| scope.spawn(|| rate(&plugin)));
            threads.into_iter().map(|thread| thread.join().expect("measuring doesn't panic")).sum()
        });
        println!(
            "{name}: loads in {loaded:.1?}, {fuel} fuel, {:.1} us a merge, {alone:.0}/s on one thread, {both:.0}/s on two",
            1e6 / alone
        );
    }
    Ok(())
}

/// Merges a second on this thread.
fn rate(plugin: &Plugin) -> f64 {
    let request = request();
    let start = Instant::now();
    let mut merges = 0u32;
    while start.elapsed() < LASTING {
        for _ in 0..100 {
            std::hint::black_box(plugin.merge(&request));
        }
        merges += 100;
    }
    f64::from(merges) / start.elapsed().as_secs_f64()
}

/// Three siblings of a hundred bytes: ten lines that all the plugins take.
fn request() -> MergeRequest {
    let input = |first: u8, time: u64| {
        let line = |n: u8| [first, b'a' + n, b'\t', b'1', b'0', b'0', b'0', b'0', b'0', b'\n'];
        MergeInput {
            value: Some(Bytes::from((0..10).flat_map(line).collect::<Vec<u8>>())),
            time: Timestamp(time),
        }
    };
    MergeRequest {
        plugin: "plugin".into(),
        bucket: "bucket".into(),
        key: Bytes::from_static(b"key"),
        config: Bytes::new(),
        inputs: vec![input(b'a', 1), input(b'b', 2), input(b'c', 3)],
    }
}
