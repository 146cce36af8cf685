//! `kinfold plugin`: a new plugin in every language builds, keeps the laws and merges; a faulty one is refused.
//!
//! A language whose tools this machine lacks is skipped, and says so: it has not passed.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::program::kinfold;

const PREBUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/prebuilt");

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("kinfold-e2e-").tempdir().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Makes, builds, checks, runs and measures a plugin in this language.
fn life(language: &str) {
    let parent = folder();
    let plugin = parent.path().join("my-plugin");
    let plugin = text(&plugin);
    kinfold(["plugin", "new", "my-plugin", "--lang", language, "--into", plugin], b"").ends(0);
    kinfold(["plugin", "new", "my-plugin", "--lang", language, "--into", plugin], b"")
        .says(2, "exists already");

    let built = kinfold(["plugin", "build", plugin], b"");
    if built.code == Some(1) && built.err.contains("is missing. To install it:") {
        eprintln!("SKIPPED: {language}: {}", built.err.trim());
        return;
    }
    let built = built.ends(0);
    assert!(built.text().contains("blake3 "), "{}", built.text());

    let report =
        kinfold(["plugin", "check", plugin, "--cases", "32", "--json"], b"").ends(0).json();
    assert_eq!(report["refused"], false, "{report}");
    let laws = report["laws"].as_array().unwrap();
    assert!(laws.iter().all(|law| law["verdict"] == "held"), "{report}");

    let component = format!("{plugin}/my-plugin.wasm");
    let run = |siblings: &[&str]| {
        let arguments = ["plugin", "run", "--text", &component].into_iter();
        kinfold(arguments.chain(siblings.iter().copied()), b"").ends(0).out
    };
    assert_eq!(run(&["milk", "bread", "tea"]), b"bread");
    assert_eq!(run(&["ab", "ba", "a"]), b"ba");
    let costs = kinfold(["plugin", "bench", "--seconds", "1", "--json", &component], b"").ends(0);
    assert_eq!(costs.json()["merges"].as_array().unwrap().len(), 2);
}

#[test]
fn a_plugin_in_rust() {
    life("rust");
}

#[test]
fn a_plugin_in_c() {
    life("c");
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
fn a_faulty_plugin_is_refused_with_its_counterexample() {
    let planted = format!("{PREBUILT}/planted.wasm");
    let check = |config: &str, more: &[&str]| {
        let arguments = ["plugin", "check", "--cases", "32", "--config", config, &planted];
        kinfold(arguments.into_iter().chain(more.iter().copied()), b"")
    };
    let refused = check("concatenation", &[]).ends(1);
    for said in
        ["BROKEN   associative", "not absorbing", "a = \"", "merge(merge(a, b), a)", "refused"]
    {
        assert!(refused.text().contains(said), "{said}: {}", refused.text());
    }
    let json = check("concatenation", &["--json"]).ends(1).json();
    assert_eq!(json["refused"], true);
    let warned = check("smallest", &[]).ends(0);
    assert!(warned.text().contains("passed, with warnings"), "{}", warned.text());
}

#[test]
fn a_corpus_beside_the_source_is_tried() {
    let parent = folder();
    let plugin = parent.path().join("p");
    kinfold(["plugin", "new", "p", "--lang", "wat", "--into", text(&plugin)], b"").ends(0);
    kinfold(["plugin", "build", text(&plugin)], b"").ends(0);
    fs::create_dir(plugin.join("corpus")).unwrap();
    fs::write(plugin.join("corpus/one"), "milk").unwrap();
    let report = kinfold(["plugin", "check", "--cases", "8", "--json", text(&plugin)], b"");
    assert_eq!(report.ends(0).json()["values"]["corpus"], 1);
}

#[test]
fn what_can_not_be_built_or_loaded_says_why() {
    let parent = folder();
    let plugin = parent.path().join("p");
    kinfold(["plugin", "build", text(parent.path())], b"").says(1, "plugin.toml");
    kinfold(["plugin", "new", "P", "--lang", "wat"], b"").says(2, "can't be the name of a plugin");
    kinfold(["plugin", "new", "p", "--lang", "wat", "--into", text(&plugin)], b"").ends(0);
    kinfold(["plugin", "check", text(&plugin)], b"").says(2, "kinfold plugin build");
    fs::write(plugin.join("plugin.wat"), "(module").unwrap();
    kinfold(["plugin", "build", text(&plugin)], b"").says(1, "plugin.wat");
    fs::write(plugin.join("plugin.wat"), "(module)").unwrap();
    kinfold(["plugin", "build", text(&plugin)], b"").says(1, "doesn't fit the contract");
    let garbage = parent.path().join("garbage.wasm");
    fs::write(&garbage, "garbage").unwrap();
    kinfold(["plugin", "check", text(&garbage)], b"").says(1, "not a WebAssembly file");
    kinfold(["plugin", "run", "last-write-wins", "--text", "a", "--delete", "9"], b"").ends(3);
}

/// The carts in other languages give what the one in Rust gives, byte for byte, and refuse what it refuses.
fn cart(language: &str, source: &str, every: usize) {
    let parent = folder();
    let plugin = parent.path().join("cart");
    kinfold(["plugin", "new", "cart", "--lang", language, "--into", text(&plugin)], b"").ends(0);
    let carts = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/cart");
    fs::copy(Path::new(carts).join(language).join(source), plugin.join(source)).unwrap();
    let built = kinfold(["plugin", "build", text(&plugin)], b"");
    if built.code == Some(1) && built.err.contains("is missing. To install it:") {
        eprintln!("SKIPPED: {language}: {}", built.err.trim());
        return;
    }
    built.ends(0);
    let component = plugin.join("cart.wasm");
    for siblings in [
        &["milk\t1\nbread\t2\n", "milk\t3\neggs\t12"][..],
        &["", "b\t007\na\t0\n\t5\n"],
        &["a\t1\nab\t2\na\u{1}\t3\né\t4\n", "a\t9\nb\t1", "a\t10"],
        &["a\t1", "a"],
        &["a\t1", "b\t2\n\nc\t1"],
        &["a\t1000000000", "b\t1"],
        &["a\t1", "b\t1.5"],
        &["a\t1", "b\t"],
    ]
    .into_iter()
    .step_by(every)
    {
        let merge = |plugin: &str| {
            let arguments = ["plugin", "run", "--text", plugin].into_iter();
            kinfold(arguments.chain(siblings.iter().copied()), b"")
        };
        let (ours, rust) = (merge(text(&component)), merge("cart"));
        assert_eq!((ours.code, &ours.out), (rust.code, &rust.out), "{siblings:?}: {ours}");
        if rust.code != Some(0) {
            let said = |err: &str| err.lines().last().map(str::to_owned);
            assert_eq!(said(&ours.err), said(&rust.err), "{siblings:?}");
        }
    }
    let corpus = parent.path().join("corpus");
    fs::create_dir(&corpus).unwrap();
    for (name, cart) in
        [("one", "milk\t1\nbread\t2\n"), ("other", "milk\t3\neggs\t12\n"), ("empty", "")]
    {
        fs::write(corpus.join(name), cart).unwrap();
    }
    let check = ["plugin", "check", "--cases", "8", "--corpus", text(&corpus), text(&plugin)];
    kinfold(check, b"").ends(0);
}

#[test]
fn the_cart_in_c() {
    cart("c", "plugin.c", 1);
}

#[test]
fn the_cart_in_typescript() {
    // Loading one of these takes seconds.
    cart("typescript", "plugin.ts", 2);
}
