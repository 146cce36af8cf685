//! What is refused at load, and what its author is told.

use kinfold_componentize::attach_manifest;
use kinfold_protocol::merge::MergeFailure;
use kinfold_sandbox::{Engine, Limits, LoadError, Plugin};

use crate::support::{ENGINE, any_request, component, manifest, module, prebuilt};

fn refused(component: &[u8]) -> LoadError {
    Plugin::load(&ENGINE, component).unwrap_err()
}

/// A component in text, with a manifest.
fn text(component: &str) -> Vec<u8> {
    let mut component = wat::parse_str(component).unwrap();
    attach_manifest(&mut component, &manifest("text"));
    component
}

#[test]
fn garbage_is_refused() {
    for garbage in [&b""[..], b"hello", b"\0asm", &[0xff; 4096]] {
        assert_eq!(refused(garbage), LoadError::NotWasm);
    }
    let whole = prebuilt("set-union");
    let mut half = whole[..whole.len() / 2].to_vec();
    assert!(matches!(refused(&half), LoadError::Malformed(_)));
    half.extend(vec![0xaa; whole.len() / 2]);
    assert!(matches!(refused(&half), LoadError::Malformed(_)));
}

#[test]
fn any_flipped_byte_is_survived() {
    let whole = prebuilt("last-write-wins");
    for position in (8..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[position] ^= 0x41;
        if let Ok(plugin) = Plugin::load(&ENGINE, &damaged) {
            let _ = plugin.merge(&any_request("damaged"));
        }
    }
}

#[test]
fn a_core_module_is_told_how_to_become_a_component() {
    let module = wat::parse_str("(module)").unwrap();
    let error = refused(&module);
    assert_eq!(error, LoadError::CoreModule);
    assert!(error.to_string().contains("kinfold plugin build"));
}

#[test]
fn what_is_too_large_is_not_even_read() {
    let limits = Limits { component: 1000, ..Limits::default() };
    let engine = Engine::new(limits, 1).unwrap();
    let error = Plugin::load(&engine, &[0; 1001]).unwrap_err();
    assert_eq!(error, LoadError::TooLarge { size: 1001, limit: 1000 });
}

#[test]
fn a_clock_is_refused_by_name_and_with_the_fix() {
    let clock = text(
        r#"(component
             (import "wasi:clocks/monotonic-clock@0.2.0" (instance (export "now" (func (result u64)))))
             (import "kinfold:merge/log@0.1.0" (instance)))"#,
    );
    let error = refused(&clock);
    let LoadError::ForbiddenImports { imports, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(imports[..], ["wasi:clocks/monotonic-clock@0.2.0"]);
    let said = error.to_string();
    assert!(said.contains("wasi:clocks/monotonic-clock@0.2.0"), "{said}");
    assert!(said.contains("--stub-wasi"), "{said}");
}

#[test]
fn other_imports_and_other_logs_are_refused() {
    for import in ["kinfold:merge/log", "kinfold:merge/random@0.1.0", "log"] {
        let error = refused(&text(&format!(r#"(component (import "{import}" (instance)))"#)));
        assert!(
            matches!(&error, LoadError::ForbiddenImports { imports, .. } if imports[..] == [import]),
            "{error}"
        );
    }
}

/// A contract of another version is named beside the one that is known, wherever the component shows it.
#[test]
fn another_version_of_the_contract_is_told_with_both_versions() {
    let import = text(r#"(component (import "kinfold:merge/log@0.2.0" (instance)))"#);
    let error = refused(&import).to_string();
    for part in ["kinfold:merge/log@0.2.0", "kinfold:merge/log@0.1.0"] {
        assert!(error.contains(part), "{error}");
    }
    for interface in ["resolver", "laws", "validator"] {
        let export = format!(
            r#"(component
                 (core module $m (func (export "f") (result i32) i32.const 0))
                 (core instance $i (instantiate $m))
                 (func $f (result u32) (canon lift (core func $i "f")))
                 (instance $r (export "merge" (func $f)))
                 (export "kinfold:merge/{interface}@0.2.0" (instance $r)))"#
        );
        let error = refused(&text(&export)).to_string();
        for version in ["0.2.0", "0.1.0"] {
            let named = format!("kinfold:merge/{interface}@{version}");
            assert!(error.contains(&named), "{error}");
        }
    }
}

#[test]
fn a_log_with_other_functions_is_refused() {
    let log = r#"(component (import "kinfold:merge/log@0.1.0" (instance (export "read" (func)))))"#;
    assert!(matches!(refused(&text(log)), LoadError::WrongWorld(_)));
}

#[test]
fn a_component_that_is_no_plugin_is_refused() {
    let LoadError::WrongWorld(reason) = refused(&text("(component)")) else {
        panic!("an empty component was loaded");
    };
    assert!(reason.contains("kinfold:merge/resolver@0.1.0"), "{reason}");
    let merge = |params: &str| {
        format!(
            r#"(component
                 (core module $m (func (export "f") {params} (result i32) i32.const 0))
                 (core instance $i (instantiate $m))
                 (func $f (param "a" u32) (result u32) (canon lift (core func $i "f")))
                 (instance $r (export "merge" (func $f)))
                 (export "kinfold:merge/resolver@0.1.0" (instance $r)))"#
        )
    };
    let LoadError::WrongWorld(reason) = refused(&text(&merge("(param i32)"))) else {
        panic!("a function of another type was taken");
    };
    assert!(reason.contains("contract"), "{reason}");
}

#[test]
fn a_manifest_is_needed_exactly_once() {
    assert_eq!(refused(&wat::parse_str("(component)").unwrap()), LoadError::NoManifest);
    let mut bad = wat::parse_str("(component)").unwrap();
    attach_manifest(&mut bad, "name = 'Up'");
    assert!(matches!(refused(&bad), LoadError::Manifest(_)));
    let mut two = component("i32.const 0");
    attach_manifest(&mut two, &manifest("other"));
    assert!(matches!(refused(&two), LoadError::Malformed(_)));
}

#[test]
fn a_component_that_can_not_start_is_refused() {
    let memory = module(r#"(memory (export "memory") 513)"#, "i32.const 0");
    let error = refused(&memory);
    assert!(matches!(error, LoadError::Instance(_) | LoadError::Malformed(_)), "{error}");
    let start = r#"(memory (export "memory") 1) (func $f (loop $l (br $l))) (start $f)"#;
    assert_eq!(
        refused(&module(start, "i32.const 0")),
        LoadError::Instance(MergeFailure::OutOfFuel.to_string())
    );
}

#[test]
fn threads_and_relaxed_simd_are_refused() {
    let shared = "(memory 1 1 shared)";
    let relaxed = "(func (param v128 v128) (result v128)
        (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))";
    for items in [shared, relaxed] {
        let error = refused(&text(&format!("(component (core module {items}))")));
        assert!(matches!(error, LoadError::Malformed(_)), "{error}");
    }
}
