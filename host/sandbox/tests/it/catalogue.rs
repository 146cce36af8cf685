//! A catalogue of components that mean harm, each with the reason that an operator is told. None takes more than its limits, and
//! none changes what the next merge gives.

use std::time::{Duration, Instant};

use kinfold_componentize::attach_manifest;
use kinfold_sandbox::Plugin;

use crate::support::{ENGINE, any_request, component, load, manifest, module, prebuilt, raw};

/// Nothing may take longer: the fuel of two small siblings is some milliseconds' work, and tests share a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const MEMORY: &str = r#"(memory (export "memory") 1)"#;

/// What a component does, the component, and a part of the reason why it is refused or its merge fails.
struct Entry {
    does: String,
    component: Vec<u8>,
    told: &'static str,
}

fn entry(does: &str, component: Vec<u8>, told: &'static str) -> Entry {
    Entry { does: does.to_owned(), component, told }
}

/// A component in text, with a manifest.
fn text(component: &str) -> Vec<u8> {
    let mut component = wat::parse_str(component).unwrap();
    attach_manifest(&mut component, &manifest("text"));
    component
}

/// The answer `ok(none)` unless the words of an answer are set before.
fn answer(words: &[(u32, i64)]) -> Vec<u8> {
    let stores =
        words.iter().map(|(at, word)| format!("(i32.store (i32.const {at}) (i32.const {word}))"));
    component(&format!("{} i32.const 0", stores.collect::<String>()))
}

fn traps() -> Vec<Entry> {
    let null_call = r#"(memory (export "memory") 1) (table 1 funcref) (type $t (func))"#;
    let typed = r#"(memory (export "memory") 1) (table funcref (elem $f)) (func $f) (type $t (func (param i32)))"#;
    vec![
        entry("says unreachable", component("unreachable"), "unreachable"),
        entry(
            "divides by zero",
            component("(i32.div_u (i32.const 1) (i32.const 0))"),
            "divide by zero",
        ),
        entry(
            "divides what has no positive",
            component("(i32.div_s (i32.const -2147483648) (i32.const -1))"),
            "integer overflow",
        ),
        entry(
            "reads beyond its memory",
            component("(i32.load (i32.const 65536))"),
            "out of bounds",
        ),
        entry(
            "converts what is no number",
            component("(i32.trunc_f32_s (f32.const nan))"),
            "invalid conversion to integer",
        ),
        entry(
            "calls nothing",
            module(null_call, "(call_indirect (type $t) (i32.const 0)) i32.const 0"),
            "uninitialized element",
        ),
        entry(
            "calls beyond its table",
            module(null_call, "(call_indirect (type $t) (i32.const 9)) i32.const 0"),
            "undefined element",
        ),
        entry(
            "calls a function of another type",
            module(typed, "(call_indirect (type $t) (i32.const 1) (i32.const 0)) i32.const 0"),
            "indirect call type mismatch",
        ),
        entry(
            "traps while memory is asked of it",
            raw("r", MEMORY, "unreachable", "i32.const 0"),
            "unreachable",
        ),
        entry(
            "traps after its answer",
            module(&format!("{MEMORY} {}", post_return("unreachable")), "i32.const 0"),
            "unreachable",
        ),
    ]
}

fn post_return(body: &str) -> String {
    format!(r#"(func (export "cabi_post_kinfold:merge/resolver@0.1.0#merge") (param i32) {body})"#)
}

fn endless() -> Vec<Entry> {
    let fuel = "used up its fuel";
    let forever = "(loop $l (br $l))";
    let tail = r#"(memory (export "memory") 1) (func $f (return_call $f))"#;
    let recursion = r#"(memory (export "memory") 1) (func $f (call $f))"#;
    let wide = format!(
        "{MEMORY} (func $f (param i64) (local {}) (call $f (local.get 0)) (drop (local.get 99)))",
        "i64 ".repeat(200)
    );
    vec![
        entry("never ends", component(&format!("{forever} i32.const 0")), fuel),
        entry("never ends, by tail calls", module(tail, "(call $f) i32.const 0"), fuel),
        entry(
            "never gives memory",
            raw("r", MEMORY, &format!("{forever} i32.const 0"), "i32.const 0"),
            fuel,
        ),
        entry(
            "never ends after its answer",
            module(&format!("{MEMORY} {}", post_return(forever)), "i32.const 0"),
            fuel,
        ),
        entry(
            "never starts",
            module(&format!("{MEMORY} (func $s {forever}) (start $s)"), "i32.const 0"),
            fuel,
        ),
        entry(
            "clears its memory for ever",
            component(
                "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $l)) i32.const 0",
            ),
            fuel,
        ),
        entry(
            "moves its memory for ever",
            component(
                "(loop $l (memory.copy (i32.const 1) (i32.const 0) (i32.const 65000)) (br $l)) i32.const 0",
            ),
            fuel,
        ),
        entry(
            "logs for ever",
            component(
                "(loop $l (call $log (i32.const 1) (i32.const 0) (i32.const 60000)) (br $l)) i32.const 0",
            ),
            fuel,
        ),
        entry(
            "recurses for ever",
            module(recursion, "(call $f) i32.const 0"),
            "call stack exhausted",
        ),
        entry(
            "recurses in wide steps",
            module(&wide, "(call $f (i64.const 0)) i32.const 0"),
            "call stack exhausted",
        ),
    ]
}

fn bombs() -> Vec<Entry> {
    let memory = "exceeded its memory limit";
    let grow = |pages: u32| {
        component(&format!(
            "(loop $l (drop (memory.grow (i32.const {pages}))) (br $l)) i32.const 0"
        ))
    };
    let two = r#"(memory (export "memory") 1) (memory $other 1)"#;
    let table = r#"(memory (export "memory") 1) (table $t 1 funcref)"#;
    let tables = format!("{MEMORY} {}", "(table 20000 funcref) ".repeat(6));
    let start = format!("{MEMORY} (func $s (drop (memory.grow (i32.const 1000)))) (start $s)");
    vec![
        entry("grows its memory page by page", grow(1), memory),
        entry("grows its memory at once", grow(65_535), memory),
        entry(
            "grows two memories",
            module(
                two,
                "(drop (memory.grow (i32.const 300))) (drop (memory.grow $other (i32.const 300))) i32.const 0",
            ),
            memory,
        ),
        entry(
            "grows its table",
            module(
                table,
                "(loop $l (drop (table.grow $t (ref.null func) (i32.const 9999))) (br $l)) i32.const 0",
            ),
            memory,
        ),
        entry("grows while it starts", module(&start, "i32.const 0"), memory),
        entry("has large tables to begin with", module(&tables, "i32.const 0"), "no instance"),
        entry(
            "has a large memory to begin with",
            module(r#"(memory (export "memory") 513)"#, "i32.const 0"),
            "memory",
        ),
        entry(
            "has more memories than there may be",
            module(&format!("{MEMORY} {}", "(memory 1) ".repeat(4)), "i32.const 0"),
            "not valid",
        ),
        entry(
            "has data beyond its memory",
            module(&format!("{MEMORY} (data (i32.const 65535) \"too long\")"), "i32.const 0"),
            "out of bounds",
        ),
    ]
}

fn results() -> Vec<Entry> {
    let refused = "result was refused";
    let not_text = format!("{MEMORY} (data (i32.const 64) \"\\ff\\fe\\fd\")");
    let error_of = "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store8 (i32.const 4) (i32.const 2))
        (i32.store (i32.const 8) (i32.const 64)) (i32.store (i32.const 12) (i32.const 3)) i32.const 0";
    vec![
        entry("answers beyond its memory", component("i32.const 65536"), refused),
        entry("answers where nothing can be", component("i32.const -4"), refused),
        entry("answers between two words", component("i32.const 2"), refused),
        entry("answers with neither value nor error", answer(&[(0, 7)]), refused),
        entry("answers with neither some nor none", answer(&[(4, 9)]), refused),
        entry("answers with an error that is none", answer(&[(0, 1), (4, 3)]), refused),
        entry("answers with more bytes than it has", answer(&[(4, 1), (12, 100_000)]), refused),
        entry("answers with more bytes than there are", answer(&[(4, 1), (12, -1)]), refused),
        entry("answers with bytes from elsewhere", answer(&[(4, 1), (8, -8), (12, 1)]), refused),
        entry("fails with words that are no text", module(&not_text, error_of), refused),
        entry(
            "fails with words from elsewhere",
            answer(&[(0, 1), (4, 2), (8, 65_530), (12, 99)]),
            refused,
        ),
        entry(
            "gives memory beyond its own",
            raw("r", MEMORY, "i32.const 65535", "i32.const 0"),
            "realloc",
        ),
        entry(
            "gives memory between two words",
            raw("r", MEMORY, "i32.const 32769", "i32.const 0"),
            "realloc",
        ),
        entry(
            "logs what it does not have",
            component("(call $log (i32.const 1) (i32.const 65530) (i32.const 99)) i32.const 0"),
            refused,
        ),
        entry(
            "logs at a level that is none",
            component("(call $log (i32.const 9) (i32.const 0) (i32.const 1)) i32.const 0"),
            refused,
        ),
    ]
}

fn powers() -> Vec<Entry> {
    let imports = [
        "wasi:clocks/wall-clock@0.2.0",
        "wasi:clocks/monotonic-clock@0.2.6",
        "wasi:random/random@0.2.0",
        "wasi:filesystem/types@0.2.0",
        "wasi:sockets/tcp@0.2.0",
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:cli/environment@0.2.0",
        "kinfold:merge/random@0.1.0",
        "kinfold:merge/log",
    ];
    let import = |name: &&str| {
        let component = text(&format!(r#"(component (import "{name}" (instance)))"#));
        entry(&format!("imports {name}"), component, "can only import kinfold:merge/log")
    };
    let mut entries: Vec<_> = imports.iter().map(import).collect();
    for (does, items) in [
        ("shares memory with threads", "(memory 1 1 shared)"),
        ("has a memory of 64 bits", "(memory i64 1)"),
        (
            "computes what processors differ in",
            "(func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))",
        ),
    ] {
        let component = text(&format!("(component (core module {items}))"));
        entries.push(entry(does, component, "not valid"));
    }
    entries
}

fn strangers() -> Vec<Entry> {
    let other = r#"(component
        (core module $m (func (export "f") (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))
        (instance $r (export "run" (func $f)))
        (export "example:other/world@1.0.0" (instance $r)))"#;
    let half = &prebuilt("set-union")[..9_000];
    let mut two = component("i32.const 0");
    attach_manifest(&mut two, &manifest("other"));
    let mut unnamed = wat::parse_str("(component)").unwrap();
    attach_manifest(&mut unnamed, "version = '1'");
    vec![
        entry("is nothing", Vec::new(), "not a WebAssembly file"),
        entry("is garbage", vec![0xff; 4096], "not a WebAssembly file"),
        entry("is a core module", wat::parse_str("(module)").unwrap(), "core module"),
        entry("is cut off", half.to_vec(), "not valid"),
        entry("has no manifest", wat::parse_str("(component)").unwrap(), "no manifest"),
        entry("has two manifests", two, "more than one"),
        entry("has a manifest without a name", unnamed, "manifest can't be read"),
        entry("is of another world", text(other), "does not export kinfold:merge/resolver@0.1.0"),
        entry(
            "is of a later contract",
            text(
                r#"(component (instance $r) (export "kinfold:merge/resolver@0.2.0" (instance $r)))"#,
            ),
            "for kinfold:merge/resolver@0.2.0, and this node knows kinfold:merge/resolver@0.1.0",
        ),
        entry("is empty", text("(component)"), "does not export kinfold:merge/resolver@0.1.0"),
    ]
}

/// What became of a component: the reason why it is not loaded, or why its merge failed.
fn told(component: &[u8]) -> String {
    let plugin = match Plugin::load(&ENGINE, component) {
        Ok(plugin) => plugin,
        Err(error) => return error.to_string(),
    };
    let outcome = plugin.merge(&any_request("hostile"));
    assert_eq!(plugin.merge(&any_request("hostile")), outcome, "a second run differs");
    match outcome.result {
        Ok(value) => format!("it merged: {value:?}"),
        Err(failure) => failure.to_string(),
    }
}

#[test]
fn every_one_is_stopped_for_the_reason_it_should_be() {
    let healthy = load("set-union");
    let merged = healthy.merge(&any_request("set-union"));
    let all = [traps(), endless(), bombs(), results(), powers(), strangers()];
    let mut count = 0;
    for Entry { does, component, told: reason } in all.into_iter().flatten() {
        let start = Instant::now();
        let told = told(&component);
        assert!(told.contains(reason), "one that {does}: {told}");
        assert!(start.elapsed() < PATIENCE, "one that {does} took {:?}", start.elapsed());
        assert_eq!(healthy.merge(&any_request("set-union")), merged, "after one that {does}");
        count += 1;
    }
    assert!(count >= 40, "{count}");
}

#[test]
fn one_that_counts_its_calls_always_gives_the_first_answer() {
    let items = r#"(memory (export "memory") 1) (global $calls (mut i32) (i32.const 0))"#;
    let count = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (global.get $calls)))
        (i32.store8 (i32.const 4) (i32.const 1)) (i32.store (i32.const 8) (i32.const 64))
        (i32.store (i32.const 12) (i32.const 4)) i32.const 0";
    let plugin = Plugin::load(&ENGINE, &module(items, count)).unwrap();
    for _ in 0..50 {
        let value = plugin.merge(&any_request("hostile")).result.unwrap().unwrap();
        assert_eq!(value[..], [1, 0, 0, 0]);
    }
}

#[test]
fn bombs_for_the_compiler_are_compiled_or_refused() {
    let nested = format!("{MEMORY} (func {} {})", "(block ".repeat(20_000), ")".repeat(20_000));
    let locals =
        format!("{MEMORY} {}", format!("(func (local {}))", "i64 ".repeat(40_000)).repeat(20));
    let functions = format!("{MEMORY} {}", "(func (result i32) i32.const 7)".repeat(20_000));
    let choices = format!(
        "{MEMORY} (func (param i32) (block (br_table {} (local.get 0))))",
        "0 ".repeat(60_000)
    );
    for items in [nested, locals, functions, choices] {
        let start = Instant::now();
        if let Ok(plugin) = Plugin::load(&ENGINE, &module(&items, "i32.const 0")) {
            assert_eq!(plugin.merge(&any_request("hostile")).result, Ok(None));
        }
        assert!(start.elapsed() < PATIENCE * 3, "{:?}", start.elapsed());
    }
}
