//! Components and requests for the tests.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs};

use bytes::Bytes;
use kinfold_componentize::{attach_manifest, componentize};
use kinfold_protocol::merge::{MergeInput, MergeRequest, canonical};
use kinfold_protocol::time::Timestamp;
use kinfold_sandbox::{Engine, Limits, Plugin};

/// One engine for all tests of this process: it sets aside a lot of address space.
pub(crate) static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(Limits::default(), 8).unwrap());

/// A component that is committed, or a rebuilt one where the environment names their folder.
pub(crate) fn prebuilt(name: &str) -> Vec<u8> {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/prebuilt");
    let folder = env::var_os("KINFOLD_PREBUILT_PLUGINS").map_or(committed.into(), PathBuf::from);
    fs::read(folder.join(format!("{name}.wasm"))).unwrap()
}

pub(crate) fn load(name: &str) -> Plugin {
    Plugin::load(&ENGINE, &prebuilt(name)).unwrap()
}

/// A component whose `merge` has this body. The module has a memory of one page, a `realloc` that always gives the middle
/// of it, and at 0 a result that is `ok(none)`.
pub(crate) fn component(body: &str) -> Vec<u8> {
    module(r#"(memory (export "memory") 1)"#, &format!("(drop (i32.const 0)) {body}"))
}

/// The same with a memory of one's own.
pub(crate) fn module(items: &str, body: &str) -> Vec<u8> {
    named("hostile", items, body)
}

pub(crate) fn named(name: &str, items: &str, body: &str) -> Vec<u8> {
    let realloc = "i32.const 32768";
    raw(name, items, realloc, body)
}

/// The same with a `realloc` that gives out memory upwards, so that siblings arrive whole.
pub(crate) fn growing(body: &str) -> Vec<u8> {
    let items = r#"(memory (export "memory") 400) (global $next (mut i32) (i32.const 65536))"#;
    let realloc = "(global.get $next)
        (global.set $next (i32.and (i32.add (i32.add (global.get $next) (local.get 3)) (i32.const 7)) (i32.const -8)))";
    raw("growing", items, realloc, body)
}

/// A component of these items, and these bodies of `realloc` and `merge`.
pub(crate) fn raw(name: &str, items: &str, realloc: &str, body: &str) -> Vec<u8> {
    let module = wat::parse_str(format!(
        r#"(module
             (import "kinfold:merge/log@0.1.0" "write" (func $log (param i32 i32 i32)))
             {items}
             (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
             (func (export "kinfold:merge/resolver@0.1.0#merge")
               (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
               {body}))"#
    ))
    .unwrap();
    let mut component = componentize(&module).unwrap();
    attach_manifest(&mut component, &manifest(name));
    component
}

pub(crate) fn manifest(name: &str) -> String {
    format!("name = '{name}'\nversion = '1'\ncontract = 'resolver'\ntombstones = 'pass'")
}

pub(crate) fn input(value: impl Into<Option<&'static str>>, time: u64) -> MergeInput {
    MergeInput {
        value: value.into().map(|value| Bytes::from_static(value.as_bytes())),
        time: Timestamp(time),
    }
}

pub(crate) fn request(plugin: &str, inputs: &[MergeInput]) -> MergeRequest {
    MergeRequest {
        plugin: plugin.into(),
        bucket: "bucket".into(),
        key: Bytes::from_static(b"key"),
        config: Bytes::new(),
        inputs: canonical(inputs.to_vec()),
    }
}

/// Two ordinary siblings, for plugins that don't look at them.
pub(crate) fn any_request(plugin: &str) -> MergeRequest {
    request(plugin, &[input("a", 1), input("b", 2)])
}

/// A component that merges everything to a delete, and refuses to have values written that start with `!`; at `?` it traps.
pub(crate) fn validating(name: &str) -> Vec<u8> {
    let module = wat::parse_str(
        r#"(module
             (memory (export "memory") 4)
             (global $next (mut i32) (i32.const 65536))
             (data (i32.const 16) "\01\00\00\00\40\00\00\00\0d\00\00\00")
             (data (i32.const 64) "starts with !")
             (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
               (global.get $next)
               (global.set $next (i32.and
                 (i32.add (i32.add (global.get $next) (local.get 3)) (i32.const 7))
                 (i32.const -8))))
             (func (export "kinfold:merge/resolver@0.1.0#merge")
               (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 32)
             (func (export "kinfold:merge/laws@0.1.0#sample") (param i64 i32) (result i32)
               i32.const 48)
             (func (export "kinfold:merge/laws@0.1.0#equivalent")
               (param i32 i32 i32 i32) (result i32) i32.const 1)
             (func (export "kinfold:merge/validator@0.1.0#validate")
               (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
               (if (i32.eqz (local.get 7)) (then (return (i32.const 32))))
               (if (i32.eq (i32.load8_u (local.get 6)) (i32.const 63)) (then unreachable))
               (if (i32.eq (i32.load8_u (local.get 6)) (i32.const 33))
                 (then (return (i32.const 16))))
               i32.const 32))"#,
    )
    .unwrap();
    let mut component = componentize(&module).unwrap();
    attach_manifest(&mut component, &manifest(name));
    component
}
