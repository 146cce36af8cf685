//! Plugins that fail: the node lives, the siblings stay, and the answer says why they were not merged.

use std::fs;
use std::path::Path;

use crate::site::Site;

const PREBUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/prebuilt");

fn install(site: &Site, plugin: &str) {
    let file = format!("{plugin}.wasm");
    fs::copy(Path::new(PREBUILT).join(&file), site.path("plugins").join(file)).unwrap();
}

#[test]
fn a_plugin_of_the_users_own_merges() {
    let site = Site::new(3, "");
    install(&site, "leaderboard");
    let _nodes = site.start_all();
    let create = ["bucket", "create", "boards", "--merge", "leaderboard", "--mode", "lattice"];
    site.boss(create.into_iter().chain(["--tombstones", "reset", "--plugin-config", "2"])).ends(0);
    site.app(["put", "boards", "spring", "ada\t50\nbea\t30"]).ends(0);
    site.app(["put", "boards", "spring", "bea\t40\ncyd\t35"]).ends(0);
    let best = site.app(["get", "--quiet", "--strict", "boards", "spring"]).ends(0);
    assert_eq!(best.text(), "ada\t50\nbea\t40\n");
}

#[test]
fn a_plugin_that_traps_loops_or_grows_costs_nothing_but_its_merge() {
    let site = Site::new(3, "");
    install(&site, "tripwire");
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "wires", "--merge", "tripwire", "--mode", "resolver"]).ends(0);
    site.boss(["bucket", "create", "carts", "--merge", "set-union"]).ends(0);
    let commands = [
        ("trap", "trap"),
        ("spin", "fuel"),
        ("panic at once", ""),
        ("allocate 4000000000", ""),
        ("answer 4000000000", ""),
        ("refuse it", ""),
        ("keep them", ""),
    ];
    for (n, (command, why)) in commands.into_iter().enumerate() {
        let key = format!("k{n}");
        site.app(["put", "wires", &key, command]).ends(0);
        site.app(["put", "wires", &key, "another"]).ends(0);
        let read = site.app(["get", "--json", "wires", &key]).ends(5).json();
        let values: Vec<_> = read["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v["utf8"].as_str().unwrap())
            .collect();
        let mut expected = vec!["another", command];
        expected.sort_unstable();
        assert_eq!(values, expected, "{read}");
        let failure = read["merge_failure"].as_str().unwrap_or_default();
        // After some failures in a row the plugin is not asked any more.
        let not_asked = failure.contains("not called for a while");
        assert!(
            !failure.is_empty() && (failure.contains(why) || not_asked),
            "{command}: {failure}"
        );

        site.app(["put", "carts", &key, "a"]).ends(0);
        site.app(["put", "carts", &key, "b"]).ends(0);
        assert_eq!(site.app(["get", "--quiet", "carts", &key]).ends(0).out, b"a\nb\n");
    }
    site.boss(["status"]).ends(0);
}

#[test]
fn a_bucket_whose_plugin_is_gone_keeps_its_siblings() {
    let site = Site::new(1, "");
    install(&site, "leaderboard");
    let mut nodes = site.start_all();
    let create = ["bucket", "create", "boards", "--merge", "leaderboard", "--mode", "lattice"];
    let create = create.into_iter().chain(["--tombstones", "reset"]);
    site.boss(create.clone()).ends(0);
    assert!(nodes.remove(0).terminate().success());
    fs::remove_file(site.path("plugins").join("leaderboard.wasm")).unwrap();
    let mut nodes = site.start_all();

    site.app(["put", "boards", "k", "ada\t1"]).ends(0);
    site.app(["put", "boards", "k", "bea\t2"]).ends(0);
    let read = site.app(["get", "--json", "boards", "k"]).ends(5).json();
    assert_eq!(read["values"].as_array().unwrap().len(), 2, "{read}");
    assert!(read["merge_failure"].as_str().unwrap().contains("no plugin `leaderboard`"), "{read}");
    site.boss(["bucket", "create", "more", "--merge", "leaderboard", "--mode", "resolver"])
        .says(1, "no plugin `leaderboard`");

    // When it is back, so are its merges.
    assert!(nodes.remove(0).terminate().success());
    install(&site, "leaderboard");
    let _nodes = site.start_all();
    assert_eq!(site.app(["get", "--quiet", "boards", "k"]).ends(0).out, b"bea\t2\nada\t1\n");
}

#[test]
fn components_that_want_more_than_they_may_have_are_refused() {
    let site = Site::new(1, "");
    let wants = r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#;
    for (file, bytes) in [
        ("wants.wasm", wat::parse_str(wants).unwrap()),
        ("core.wasm", wat::parse_str("(module)").unwrap()),
        ("empty.wasm", wat::parse_str("(component)").unwrap()),
        ("text.wasm", b"not WebAssembly at all".to_vec()),
    ] {
        fs::write(site.path("plugins").join(file), bytes).unwrap();
    }
    install(&site, "leaderboard");
    let nodes = site.start_all();
    let log = nodes[0].log();
    for (file, why) in [
        ("wants.wasm", "imports wasi:cli/environment"),
        ("core.wasm", "core module"),
        ("empty.wasm", "no manifest"),
        ("text.wasm", "not a WebAssembly file"),
    ] {
        let told = log.lines().any(|line| line.contains(file) && line.contains(why));
        assert!(told, "{file}: {why}: {log}");
    }
    // The others are there.
    site.boss(["bucket", "create", "boards", "--merge", "leaderboard", "--mode", "resolver"])
        .ends(0);
    site.boss(["bucket", "create", "b", "--merge", "wants", "--mode", "resolver"])
        .says(1, "no plugin `wants`");
}
