//! Holds the directions of dependencies: between crates as ARCHITECTURE.md has them, and inside `host/protocol` as the table
//! in its `lib.rs` has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A crate, the crates of ours that it may use, and those that its own tests may use besides.
struct Rule {
    of: &'static str,
    may_use: &'static [&'static str],
    in_tests: &'static [&'static str],
}

const fn rule(of: &'static str, may_use: &'static [&'static str]) -> Rule {
    Rule { of, may_use, in_tests: &[] }
}

/// The shipped plugins natively, to measure what their sandbox costs.
const PROGRAM: &[&str] = &[
    "kinfold-client",
    "kinfold-host",
    "kinfold-sandbox",
    "kinfold-componentize",
    "kinfold-plugin-sdk",
    "cart",
    "counter",
    "json",
    "last-write-wins",
    "leaderboard",
    "max",
    "or-set",
    "set-union",
];

const SANDBOX: &[&str] = &["kinfold-protocol"];

const RULES: &[Rule] = &[
    rule("kinfold", PROGRAM),
    rule("kinfold-client", &["kinfold-protocol", "kinfold-values"]),
    rule("kinfold-host", &["kinfold-protocol", "kinfold-storage", "kinfold-sandbox"]),
    rule("kinfold-storage", &["kinfold-protocol"]),
    // Its tests make components to be refused.
    Rule { of: "kinfold-sandbox", may_use: SANDBOX, in_tests: &["kinfold-componentize"] },
    rule("kinfold-protocol", &[]),
    rule("kinfold-componentize", &[]),
    rule("kinfold-plugin-sdk", &[]),
    rule("kinfold-values", &[]),
    rule("automerge-document", &["kinfold-plugin-sdk"]),
    rule("cart", &["kinfold-plugin-sdk", "kinfold-values"]),
    rule("counter", &["kinfold-plugin-sdk", "kinfold-values"]),
    rule("json", &["kinfold-plugin-sdk", "kinfold-values"]),
    rule("last-write-wins", &["kinfold-plugin-sdk"]),
    rule("leaderboard", &["kinfold-plugin-sdk"]),
    rule("max", &["kinfold-plugin-sdk", "kinfold-values"]),
    rule("or-set", &["kinfold-plugin-sdk", "kinfold-values"]),
    rule("planted", &["kinfold-plugin-sdk"]),
    rule("set-union", &["kinfold-plugin-sdk", "kinfold-values"]),
    rule("tripwire", &["kinfold-plugin-sdk"]),
    rule("sim", &["kinfold-protocol"]),
    rule("crash", &["kinfold-protocol", "kinfold-storage"]),
    // From outside too, and judged by the simulator's checkers.
    rule("chaos", &["kinfold-client", "kinfold-protocol", "sim"]),
    // Whatever reads bytes from outside.
    rule(
        "hostile",
        &[
            "kinfold-componentize",
            "kinfold-host",
            "kinfold-protocol",
            "kinfold-sandbox",
            "kinfold-storage",
            "kinfold-values",
        ],
    ),
    // Everything, from outside: it starts the program, and speaks its protocol. Components it also loads by itself, since those of
    // some languages take too long to load for each merge; and of `crash` it takes the file system that can lose power.
    Rule {
        of: "e2e",
        may_use: &[],
        in_tests: &["crash", "kinfold-client", "kinfold-protocol", "kinfold-sandbox"],
    },
];

/// What breaks the rules in an answer of `cargo metadata`.
fn breaches(metadata: &Value) -> Vec<String> {
    let packages = list(&metadata["packages"]);
    let ours: Vec<&str> = packages.iter().map(|package| text(&package["name"])).collect();
    let mut breaches = Vec::new();
    for package in packages {
        let name = text(&package["name"]);
        let Some(rule) = RULES.iter().find(|rule| rule.of == name) else {
            breaches.push(format!("{name} has no rule: say in house.rs what it may use"));
            continue;
        };
        for dependency in list(&package["dependencies"]) {
            let used = text(&dependency["name"]);
            let in_tests = dependency["kind"] == "dev" && rule.in_tests.contains(&used);
            if ours.contains(&used) && !rule.may_use.contains(&used) && !in_tests {
                let kind = dependency["kind"].as_str().unwrap_or("normal");
                breaches.push(format!("{name} must not use {used} ({kind})"));
            }
        }
    }
    breaches
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Modules by name with their levels, from the table in the head of the core's `lib.rs`.
fn levels(lib: &str) -> BTreeMap<String, u32> {
    let mut levels = BTreeMap::new();
    for row in lib.lines().filter_map(|line| line.strip_prefix("//! |")) {
        let mut columns = row.split('|').map(str::trim);
        let Some(level) = columns.next().and_then(|level| level.parse().ok()) else { continue };
        for module in columns.next().unwrap_or_default().split(',') {
            let module = module.trim().trim_matches(['[', ']', '`']);
            levels.insert(module.to_owned(), level);
        }
    }
    levels
}

/// The modules that a `lib.rs` declares.
fn declared(lib: &str) -> Vec<String> {
    let module = |line: &str| {
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        line.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned)
    };
    lib.lines().filter_map(module).collect()
}

/// The modules of its own crate that a source names, comments aside: every `crate::NAME`, and `crate::{NAME, ...}`.
fn named(source: &str) -> Vec<String> {
    let code: String = source
        .lines()
        .map(|line| line.find("//").map_or(line, |comment| &line[..comment]))
        .fold(String::new(), |code, line| code + line + "\n");
    let mut named = Vec::new();
    for mention in code.split("crate::").skip(1) {
        match mention.strip_prefix('{') {
            Some(group) => named.extend(heads(group)),
            None => named.extend(identifier(mention)),
        }
    }
    named
}

/// The first names of the paths in a `{...}` whose opening brace was read.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut heads) = (1, 0, Vec::new());
    for (at, sign) in group.char_indices() {
        match sign {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => {}
            _ => continue,
        }
        if (sign == ',' && depth == 1) || depth == 0 {
            heads.extend(identifier(group[start..at].trim_start()));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn identifier(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let word = &text[..end];
    // Types and macros at the crate's root are no modules.
    word.starts_with(|c: char| c.is_ascii_lowercase()).then(|| word.to_owned())
}

/// What a source in `module` names above its level.
fn climbs(levels: &BTreeMap<String, u32>, module: &str, source: &str) -> Vec<String> {
    let Some(own) = levels.get(module) else {
        return vec![format!("module {module} has no level: add it to the table in lib.rs")];
    };
    named(source)
        .into_iter()
        .filter_map(|other| match levels.get(&other) {
            None => Some(format!("{module} names {other}, which has no level")),
            Some(level) if level > own => {
                Some(format!("{module} (level {own}) names {other} (level {level})"))
            }
            Some(_) => None,
        })
        .collect()
}

/// All sources under a folder, each with the top module that it belongs to.
fn sources(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            sources.extend(below(&path).into_iter().map(|path| (module.clone(), path)));
        } else if module != "lib" {
            sources.push((module, path));
        }
    }
    sources
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn crates_use_only_what_they_may() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(breaches(&metadata), [""; 0]);
    assert_eq!(list(&metadata["packages"]).len(), RULES.len(), "a rule without a crate");
}

/// The features of the core in a build of a package.
fn features_of_the_core(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree =
        ["tree", "--locked", "--offline", "-e", "normal", "--prefix", "none", "-f", "{p} {f}"];
    let output = Command::new(cargo).args(tree).args(arguments).current_dir(root()).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let core: String = text.lines().filter(|line| line.starts_with("kinfold-protocol ")).collect();
    assert!(!core.is_empty(), "{text}");
    core
}

/// Besides, `kinfold` does not compile with them.
#[test]
fn no_bug_is_planted_in_what_is_released() {
    assert!(!features_of_the_core(&["-p", "kinfold"]).contains("planted"));
    let planted = features_of_the_core(&["-p", "sim", "--features", "planted"]);
    assert!(planted.contains("planted"), "the check can fail");
}

#[test]
fn lower_levels_of_the_core_never_name_higher_ones() {
    let folder = root().join("host/protocol/src");
    let lib = fs::read_to_string(folder.join("lib.rs")).unwrap();
    let levels = levels(&lib);
    let without: Vec<_> =
        declared(&lib).into_iter().filter(|module| !levels.contains_key(module)).collect();
    assert_eq!(without, [""; 0], "modules without a level in lib.rs");
    let climbs: Vec<_> = sources(&folder)
        .into_iter()
        .flat_map(|(module, path)| climbs(&levels, &module, &fs::read_to_string(path).unwrap()))
        .collect();
    assert_eq!(climbs, [""; 0]);
}

/// Names in backticks that look like a test's, three underscores at least, and stand in no source.
fn unknown_tests(document: &str, sources: &str) -> Vec<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let known: BTreeSet<&str> = sources.split(|c| !word(c)).collect();
    let quoted = document.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let named = quoted.flat_map(|text| text.split(|c| !word(c)));
    let tests = named.filter(|name| name.matches('_').count() >= 3 && *name == name.to_lowercase());
    tests.filter(|name| !known.contains(name)).map(str::to_owned).collect()
}

/// Each claim names its test, and the test is there.
#[test]
fn every_test_that_the_documents_name_is_there() {
    let folders = ["cli", "client", "host", "plugin-sdk", "plugins", "tests"];
    let mut all = String::new();
    for folder in folders {
        for path in rust_files(&root().join(folder)) {
            all += &fs::read_to_string(path).unwrap();
        }
    }
    for document in ["README.md", "ARCHITECTURE.md", "docs/TESTING.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        assert_eq!(unknown_tests(&text, &all), [""; 0], "{document}");
    }
    let made_up = ["no", "such", "test", "is", "anywhere"].join("_");
    assert_eq!(unknown_tests(&format!("`sim a::{made_up}`"), &all), [made_up]);
}

/// A source of a package, by the module that it is.
struct Source {
    package: String,
    module: Vec<String>,
    text: String,
}

/// All sources of a crate in this folder.
fn sources_of(package: &str, folder: &Path) -> Vec<Source> {
    let read = |path: PathBuf| {
        let below = path.strip_prefix(folder).unwrap().with_extension("");
        let parts = below.iter().map(|part| part.to_str().unwrap().to_owned());
        // `src/twins/tests.rs` and `mod tests` in `src/twins.rs` are both `twins::tests`; `tests/it/twins.rs` is `twins`.
        let rooted =
            usize::from(below.starts_with("src")) + 2 * usize::from(below.starts_with("tests/it"));
        let module = parts
            .skip(rooted)
            .filter(|part| !["mod", "main", "lib"].contains(&part.as_str()))
            .collect();
        Source { package: package.to_owned(), module, text: fs::read_to_string(path).unwrap() }
    };
    rust_files(folder).into_iter().map(read).collect()
}

impl Source {
    /// Does it hold the test with this path in it, or any test if that ends in `*`?
    fn has(&self, path: &[&str]) -> bool {
        let Some((name, modules)) = path.split_last() else { return false };
        let inner = modules.last() == Some(&"tests") && self.text.contains("mod tests {");
        let modules = if inner { &modules[..modules.len() - 1] } else { modules };
        let module: Vec<_> = self.module.iter().map(String::as_str).collect();
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (modules.is_empty() || module.windows(modules.len()).any(|part| part == modules))
            && ["test]", "::test("].iter().any(|sign| self.text.contains(sign))
            && (*name == "*" || self.text.split(|c| !word(c)).any(|known| known == *name))
    }
}

/// Tests that a document names in backticks by their paths, `PACKAGE module::name` or `module::*`, and that no source has.
fn missing_paths(document: &str, sources: &[Source]) -> Vec<String> {
    let quoted = document.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let paths = quoted.filter(|text| text.contains("::") && !text.contains(['/', '(', '<']));
    let missing = paths.filter(|text| {
        let (package, path) =
            text.split_once(' ').map_or((None, *text), |(p, path)| (Some(p), path));
        let path: Vec<_> = path
            .split("::")
            .map(|part| if part == "tests" && text.ends_with(part) { "*" } else { part })
            .collect();
        let own = |source: &&Source| package.is_none_or(|package| source.package == package);
        !sources.iter().filter(own).any(|source| source.has(&path))
    });
    missing.map(str::to_owned).collect()
}

/// Files and folders of ours that a document names in backticks, and that are not there.
fn missing_files(document: &str) -> Vec<String> {
    let quoted = document.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let words = quoted.flat_map(str::split_whitespace);
    let folders =
        ["cli/", "client/", "docs/", "host/", "plugins/", "plugin-sdk/", "tests/", "wit/"];
    let ours = words.filter(|word| folders.iter().any(|folder| word.starts_with(folder)));
    // Not patterns, nor names to be filled in.
    let plain = ours.filter(|word| !word.contains(['{', '*', '=']) && !word.contains("NAME"));
    let missing = plain.filter(|word| !root().join(word).exists());
    missing.map(str::to_owned).collect()
}

#[test]
fn what_the_documents_name_by_its_path_is_there() {
    let crates = [
        ("kinfold", "cli"),
        ("kinfold-client", "client"),
        ("kinfold-host", "host"),
        ("kinfold-protocol", "host/protocol"),
        ("kinfold-sandbox", "host/sandbox"),
        ("kinfold-storage", "host/storage"),
        ("chaos", "tests/chaos"),
        ("crash", "tests/crash"),
        ("e2e", "tests/e2e"),
        ("hostile", "tests/hostile"),
        ("sim", "tests/sim"),
    ];
    let sources: Vec<_> =
        crates.iter().flat_map(|(name, folder)| sources_of(name, &root().join(folder))).collect();
    for document in ["README.md", "docs/TESTING.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        assert_eq!(missing_paths(&text, &sources), [""; 0], "{document}");
    }
    for document in ["README.md", "ARCHITECTURE.md", "docs/TESTING.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        assert_eq!(missing_files(&text), [""; 0], "{document}");
    }
    let wrong = "`sim nowhere::*`, `sim twins::*`, `kinfold-client house::*`, `tests/nowhere.rs`";
    let found = ["sim nowhere::*", "kinfold-client house::*"];
    assert_eq!(missing_paths(wrong, &sources), found);
    assert_eq!(missing_files(wrong), ["tests/nowhere.rs"]);
}

/// Every Rust source below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| {
        let name = path.file_name().unwrap_or_default().to_owned();
        if path.is_dir() && name != "target" {
            rust_files(&path)
        } else if path.extension().is_some_and(|end| end == "rs") {
            vec![path]
        } else {
            Vec::new()
        }
    });
    files.collect()
}

#[test]
fn a_crate_that_uses_what_it_must_not_is_caught() {
    let package = |name: &str, uses: &[(&str, Option<&str>)]| {
        let uses: Vec<_> = uses
            .iter()
            .map(|(name, kind)| serde_json::json!({ "name": name, "kind": kind }))
            .collect();
        serde_json::json!({ "name": name, "dependencies": uses })
    };
    let metadata = serde_json::json!({ "packages": [
        package("kinfold-protocol", &[("bytes", None), ("kinfold-storage", Some("dev"))]),
        package("kinfold-storage", &[("kinfold-protocol", None)]),
        package("kinfold-sandbox", &[("kinfold-componentize", Some("dev"))]),
        package("kinfold-componentize", &[]),
        package("kinfold-host", &[("kinfold-componentize", None)]),
        package("newcomer", &[]),
    ]});
    assert_eq!(
        breaches(&metadata),
        [
            "kinfold-protocol must not use kinfold-storage (dev)",
            "kinfold-host must not use kinfold-componentize (normal)",
            "newcomer has no rule: say in house.rs what it may use",
        ]
    );
}

#[test]
fn a_module_that_names_a_higher_level_is_caught() {
    let lib = "\
//! | level | modules | what they are |
//! | --- | --- | --- |
//! | 4 | [`io`], [`node`] | the top |
//! | 0 | `time` | the bottom |
pub mod io;
mod node;
pub(crate) mod odd;
mod time;
";
    let levels = levels(lib);
    assert_eq!(levels.len(), 3);
    assert_eq!(declared(lib), ["io", "node", "odd", "time"]);
    let source = "\
//! Says crate::node, which is a comment.
use crate::{io::{Input, Output}, time::Time};
use crate::time::{self, Now}; // and crate::node
fn f(node: &crate::node::Node) -> crate::Error { crate::elsewhere::g() }
";
    assert_eq!(
        climbs(&levels, "time", source),
        [
            "time (level 0) names io (level 4)",
            "time (level 0) names node (level 4)",
            "time names elsewhere, which has no level",
        ]
    );
    assert_eq!(climbs(&levels, "node", "use crate::{io, time::Time};"), [""; 0]);
    let said = "module lost has no level: add it to the table in lib.rs";
    assert_eq!(climbs(&levels, "lost", ""), [said]);
}
