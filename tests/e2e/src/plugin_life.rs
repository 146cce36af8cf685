//! Plugins that are installed in a running cluster: tried, fetched, used, tried beside others, rolled back and removed.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::kinfold;
use crate::site::{Site, eventually, names};

const PREBUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/prebuilt");

fn prebuilt(plugin: &str) -> String {
    Path::new(PREBUILT).join(format!("{plugin}.wasm")).display().to_string()
}

/// Builds a plugin from WebAssembly text, or from the template's, and gives the component's path.
fn build(site: &Site, name: &str, text: Option<&str>) -> String {
    let folder = site.path(name).display().to_string();
    kinfold(["plugin", "new", name, "--lang", "wat", "--into", &folder], b"").ends(0);
    if let Some(text) = text {
        fs::write(site.path(name).join("plugin.wat"), text).unwrap();
    }
    kinfold(["plugin", "build", &folder], b"").ends(0);
    format!("{folder}/{name}.wasm")
}

fn ready(site: &Site, plugin: &str) -> Vec<String> {
    let shown = site.boss(["plugin", "show", plugin, "--json"]);
    let Ok(shown) = serde_json::from_slice::<Value>(&shown.out) else { return Vec::new() };
    let nodes = shown["nodes"].as_array().unwrap().iter();
    let ready = nodes.filter(|node| node["ready"] == true);
    ready.map(|node| node["name"].as_str().unwrap().to_owned()).collect()
}

fn installed(site: &Site) -> Vec<String> {
    let list = site.app(["plugin", "list", "--json"]).ends(0).json();
    let list = list.as_array().unwrap().iter().filter(|plugin| plugin["installed"] == true);
    list.map(|plugin| plugin["plugin"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_plugin_is_installed_on_one_node_and_the_others_fetch_it() {
    let site = Site::new(3, "");
    let mut nodes = site.start_all();
    let leaderboard = prebuilt("leaderboard");
    site.app(["plugin", "install", &leaderboard]).says(1, "admin");
    assert!(installed(&site).is_empty());

    // The third node is away meanwhile.
    assert!(nodes.pop().unwrap().terminate().success());
    let told = site.boss(["plugin", "install", &leaderboard, "--cases", "64", "--json"]).ends(0);
    let told = told.json();
    assert_eq!(told["plugin"], "leaderboard@1.0.0", "{told}");
    assert_eq!((&told["refused"], &told["missing"]), (&false.into(), &vec!["n3"].into()), "{told}");
    let laws = told["evidence"]["laws"].as_array().unwrap();
    assert!(laws.len() == 5 && laws.iter().all(|law| law["verdict"] == "held"), "{told}");
    eventually("two nodes are ready", || ready(&site, "leaderboard") == ["n1", "n2"]);
    site.boss(["plugin", "show", "leaderboard"]).ends(1);

    let create =
        ["bucket", "create", "boards", "--merge", "leaderboard@1.0.0", "--plugin-config", "2"];
    site.boss(create.into_iter().chain(["--wait", "1s"])).says(1, "n3 does not answer");
    site.app(["put", "boards", "spring", "ada\t1"]).says(1, "no bucket `boards`");
    site.boss(create.into_iter().chain(["--force"])).ends(0);
    let shown = site.boss(["bucket", "show", "boards", "--json"]).ends(0).json();
    assert_eq!((&shown["mode"], &shown["tombstones"]), (&"lattice".into(), &"reset".into()));
    site.app(["put", "boards", "spring", "ada\t50\nbea\t30"]).ends(0);
    site.app(["put", "boards", "spring", "bea\t40\ncyd\t35"]).ends(0);
    let get = ["get", "--quiet", "--r", "2", "boards", "spring"];
    assert_eq!(site.app(get).ends(0).text(), "ada\t50\nbea\t40\n");

    // Back again, it catches up by itself, and merges.
    nodes.push(site.start("n3"));
    eventually("all nodes are ready", || ready(&site, "leaderboard").len() == 3);
    site.boss(["plugin", "show", "leaderboard@1.0.0"]).ends(0);
    assert_eq!(names(&site.path("n3").join("components")).len(), 1);
    site.app(["put", "boards", "spring", "dov\t45"]).ends(0);
    let strict = ["get", "--quiet", "--strict", "--r", "3", "boards", "spring"];
    assert_eq!(site.app(strict).ends(0).text(), "ada\t50\ndov\t45\n");

    let stats = site.boss(["plugin", "stats", "boards", "--json"]).ends(0).json();
    let calls = |node: &Value| {
        node["merges"]["leaderboard@1.0.0"]["boards"]["merged"].as_u64().unwrap_or(0)
    };
    assert!(stats.as_array().unwrap().iter().map(calls).sum::<u64>() >= 2, "{stats}");
    let table = site.boss(["plugin", "stats"]).ends(0).text();
    assert!(table.contains("leaderboard@1.0.0") && table.contains("closed"), "{table}");

    // All of them killed and started again: what was installed is there before they serve.
    nodes.into_iter().for_each(crate::site::Node::crash);
    let _nodes = site.start_all();
    assert_eq!(site.app(strict).ends(0).text(), "ada\t50\ndov\t45\n");
    assert_eq!(ready(&site, "leaderboard").len(), 3);
}

#[test]
fn a_bucket_changes_its_plugin_and_goes_back() {
    let site = Site::new(3, "");
    let _nodes = site.start_all();
    let longest = build(&site, "longest", None);
    site.boss(["plugin", "install", &longest, "--cases", "64"]).ends(0);
    site.boss(["bucket", "create", "sets", "--merge", "set-union"]).ends(0);
    site.app(["put", "sets", "k", "a\n"]).ends(0);
    site.app(["put", "sets", "k", "b\n"]).ends(0);
    let get = ["get", "--quiet", "--strict", "--r", "3", "sets", "k"];
    assert_eq!(site.app(get).ends(0).text(), "a\nb\n");

    site.boss(["bucket", "rollback", "sets"]).says(1, "nothing to go back to");
    site.boss(["bucket", "set", "sets", "--merge", "longest@9"]).says(2, "there is longest@0.1.0");
    site.boss(["bucket", "set", "sets", "--merge", "longest"]).says(2, "there is longest@0.1.0");
    site.boss(["bucket", "set", "sets", "--merge", "longest@0.1.0"]).ends(0);
    site.app(["put", "sets", "k", "the longest of all\n"]).ends(0);
    assert_eq!(site.app(get).ends(0).text(), "the longest of all\n");
    site.boss(["plugin", "remove", "longest"]).says(1, "sets");
    assert_eq!(installed(&site), ["longest@0.1.0"]);

    site.app(["bucket", "rollback", "sets"]).says(1, "admin");
    site.boss(["bucket", "rollback", "sets"]).ends(0);
    site.app(["put", "sets", "k", "c\n"]).ends(0);
    assert_eq!(site.app(get).ends(0).text(), "c\nthe longest of all\n");

    site.app(["plugin", "remove", "longest"]).says(1, "admin");
    site.boss(["plugin", "remove", "longest"]).ends(0);
    assert!(installed(&site).is_empty());
    site.boss(["plugin", "remove", "longest"]).says(1, "no plugin `longest`");
    site.boss(["bucket", "rollback", "sets"]).says(1, "no plugin `longest@0.1.0`");
    let folder = site.path("n1").join("components");
    eventually("its component is cleared away", || names(&folder).is_empty());
}

#[test]
fn a_component_that_breaks_its_laws_is_refused_with_what_shows_it() {
    let site = Site::new(1, "");
    let _nodes = site.start_all();
    let planted = prebuilt("planted");
    let install = |fault: &str, more: &[&str]| {
        let arguments = ["plugin", "install", &planted, "--cases", "32", "--config", fault];
        site.boss(arguments.into_iter().chain(more.iter().copied()))
    };
    let refused = install("concatenation", &[]).ends(1);
    for said in [
        "BROKEN   associative",
        "not absorbing",
        "a = \"",
        "merge(merge(a, b), a)",
        "refused: nothing was installed",
    ] {
        assert!(refused.text().contains(said), "{said}: {}", refused.text());
    }
    let json = install("average", &["--json"]).ends(1).json();
    assert_eq!(json["refused"], true, "{json}");
    let garbage = site.path("garbage.wasm").display().to_string();
    fs::write(&garbage, "garbage").unwrap();
    site.boss(["plugin", "install", &garbage]).says(1, "not a WebAssembly file");
    assert!(installed(&site).is_empty());
    assert!(names(&site.path("n1").join("components")).is_empty());

    // One that keeps them and loses data all the same is let in with a warning, which stays with it.
    let warned = install("smallest", &[]).ends(0);
    assert!(warned.text().contains("installed, with warnings"), "{}", warned.text());
    eventually("the node is ready", || ready(&site, "planted").len() == 1);
    let shown = site.boss(["plugin", "show", "planted"]).ends(0).text();
    assert!(shown.contains("warning  size") && shown.contains("installed by boss"), "{shown}");

    // A version is one component for ever.
    let longest = build(&site, "longest", None);
    site.boss(["plugin", "install", &longest, "--cases", "8"]).ends(0);
    site.boss(["plugin", "install", &longest, "--cases", "8"]).ends(0);
    let toml = site.path("longest").join("plugin.toml");
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, format!("{text}\n# changed\n")).unwrap();
    kinfold(["plugin", "build", &site.path("longest").display().to_string()], b"").ends(0);
    site.boss(["plugin", "install", &longest, "--cases", "8"]).says(1, "another version");
}

/// Merges to a delete, and refuses values that start with `!`.
const STRICT: &str = r#"(module
  (memory (export "memory") 4)
  (global $next (mut i32) (i32.const 65536))
  (data (i32.const 16) "\01\00\00\00\40\00\00\00\0d\00\00\00")
  (data (i32.const 64) "starts with !")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $next)
    (global.set $next (i32.and
      (i32.add (i32.add (global.get $next) (local.get 3)) (i32.const 7)) (i32.const -8))))
  (func (export "kinfold:merge/resolver@0.1.0#merge")
    (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 32)
  (func (export "kinfold:merge/laws@0.1.0#sample") (param i64 i32) (result i32) i32.const 48)
  (func (export "kinfold:merge/laws@0.1.0#equivalent")
    (param i32 i32 i32 i32) (result i32) i32.const 1)
  (func (export "kinfold:merge/validator@0.1.0#validate")
    (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (if (i32.eqz (local.get 7)) (then (return (i32.const 32))))
    (if (i32.eq (i32.load8_u (local.get 6)) (i32.const 33)) (then (return (i32.const 16))))
    i32.const 32))"#;

#[test]
fn a_plugin_that_looks_at_values_refuses_a_malformed_put() {
    let site = Site::new(3, "");
    let _nodes = site.start_all();
    let strict = build(&site, "strict", Some(STRICT));
    site.boss(["plugin", "install", &strict, "--cases", "32"]).ends(0);
    let create = ["bucket", "create", "b", "--merge", "strict@0.1.0", "--mode", "resolver"];
    site.boss(create).ends(0);
    site.app(["put", "b", "k", "!malformed"]).says(1, "starts with !; nothing was written");
    site.app(["get", "b", "k"]).ends(3);
    site.app(["put", "b", "k", "fine"]).ends(0);
    assert_eq!(site.app(["get", "--quiet", "b", "k"]).ends(0).text(), "fine");
    let stats = site.boss(["plugin", "stats", "--json"]).ends(0).json();
    let of =
        |node: &Value, what: &str| node["merges"]["strict@0.1.0"]["b"][what].as_u64().unwrap_or(0);
    let sum = |what| stats.as_array().unwrap().iter().map(|node| of(node, what)).sum::<u64>();
    assert_eq!((sum("validated"), sum("invalid")), (2, 1), "{stats}");
}

#[test]
fn a_candidate_runs_beside_the_plugin_and_what_plugins_say_is_told() {
    let site = Site::new(1, "");
    fs::copy(prebuilt("tripwire"), site.path("plugins").join("tripwire.wasm")).unwrap();
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "sets", "--merge", "set-union"]).ends(0);
    site.boss(["bucket", "create", "plain"]).ends(0);
    site.boss(["plugin", "shadow", "plain", "max"]).says(1, "has no plugin");
    site.boss(["plugin", "shadow", "sets", "nobody"]).says(1, "no plugin `nobody`");
    site.boss(["plugin", "shadow", "sets", "set-union"]).says(1, "already");
    site.app(["plugin", "shadow", "sets", "last-write-wins"]).says(1, "admin");
    site.boss(["plugin", "shadow", "sets", "last-write-wins"]).ends(0);
    site.app(["put", "sets", "k", "a\n"]).ends(0);
    site.app(["put", "sets", "k", "b\n"]).ends(0);
    assert_eq!(site.app(["get", "--quiet", "sets", "k"]).ends(0).text(), "a\nb\n");
    let shadow = || {
        let stats = site.boss(["plugin", "stats", "sets", "--json"]).ends(0).json();
        stats[0]["shadows"]["sets"].clone()
    };
    eventually("the candidate is compared", || shadow()["different"].as_u64() >= Some(1));
    assert_eq!(shadow()["plugin"], "last-write-wins");
    let told = site.boss(["plugin", "stats"]).ends(0).text();
    assert!(told.contains("the last difference: k: "), "{told}");
    site.boss(["plugin", "shadow", "sets", "--off"]).ends(0);
    eventually("the candidate is gone", || shadow().is_null());

    site.boss(["bucket", "create", "wires", "--merge", "tripwire", "--mode", "resolver"]).ends(0);
    site.app(["put", "wires", "k", "keep both of them"]).ends(0);
    site.app(["put", "wires", "k", "another"]).ends(0);
    site.app(["get", "wires", "k"]).ends(5);
    let logs = site.app(["plugin", "logs", "--bucket", "wires"]).ends(0).text();
    assert!(logs.contains("tripwire  wires  failure: ") && logs.contains("both of them"), "{logs}");
    assert_eq!(site.app(["plugin", "logs", "--bucket", "plain"]).ends(0).text(), "");
}

#[test]
fn what_a_plugin_failed_on_is_kept_and_can_be_run_again() {
    let site = Site::new(1, "");
    fs::copy(prebuilt("tripwire"), site.path("plugins").join("tripwire.wasm")).unwrap();
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "wires", "--merge", "tripwire", "--mode", "resolver"]).ends(0);
    site.app(["put", "wires", "k", "trap"]).ends(0);
    site.app(["put", "wires", "k", "another"]).ends(0);
    for _ in 0..2 {
        site.app(["get", "wires", "k"]).ends(5);
    }
    site.app(["plugin", "failures", "tripwire"]).says(1, "admin");
    assert_eq!(site.boss(["plugin", "failures", "max", "--json"]).ends(0).json(), json!([]));
    let folder = site.path("failed");
    let folder = folder.to_str().unwrap();
    let failures = ["plugin", "failures", "tripwire", "--json", "--save", folder];
    let told = site.boss(failures).ends(0).json();
    assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
    assert_eq!((&told[0]["times"], &told[0]["bucket"]), (&json!(2), &json!("wires")));
    assert_eq!(told[0]["siblings"][1]["value"]["utf8"], "trap");

    let tripwire = site.path("plugins").join("tripwire.wasm");
    let tripwire = tripwire.to_str().unwrap();
    let again = kinfold(["plugin", "replay", tripwire, folder], b"").ends(1).text();
    assert_eq!(again.matches("trapped").count(), 2, "{again}");
    let mended = kinfold(["plugin", "replay", "last-write-wins", folder], b"").ends(0).text();
    assert!(mended.contains("7 bytes"), "{mended}");
    let corpus = format!("{folder}/siblings");
    let check = ["plugin", "check", "last-write-wins", "--cases", "8", "--corpus", &corpus];
    kinfold(check, b"").ends(0);
    kinfold(["plugin", "replay", "max", &corpus], b"").says(2, "no merge");
}
