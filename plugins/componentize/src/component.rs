//! Wrapping a core module into a component.

use std::fmt::Display;

use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, UnresolvedPackageGroup};

/// The package of the contract: `wit/`, file by file, in the order in which they refer to each other.
/// Names and texts.
pub const CONTRACT: [(&str, &str); 5] = [
    ("resolver.wit", include_str!("../../../wit/resolver.wit")),
    ("validator.wit", include_str!("../../../wit/validator.wit")),
    ("laws.wit", include_str!("../../../wit/laws.wit")),
    ("log.wit", include_str!("../../../wit/log.wit")),
    ("worlds.wit", include_str!("../../../wit/worlds.wit")),
];

/// Why a module can't become a component.
#[derive(Debug, thiserror::Error)]
pub enum ComponentizeError {
    /// The bytes are not WebAssembly.
    #[error("not a WebAssembly module: {0}")]
    NotWasm(String),
    /// It is a component already, and needs no wrapping.
    #[error("this is a component already, not a core module")]
    AlreadyComponent,
    /// The module's imports or exports don't fit the contract.
    #[error("the module doesn't fit the contract of plugins: {0}")]
    Mismatch(String),
}

/// What preview 1 of WASI is where a module can't do without: an adapter, as the component encoder calls it, as text.
const PREVIEW1: &str = include_str!("preview1.wat");

/// Wraps `core_module` into a component.
///
/// A module that carries a description of its world (Rust's and C's bindings embed one) is wrapped as that world says.
/// One without gets the smallest of the contract's worlds that has all the interfaces that it exports.
///
/// # Errors
/// See [`ComponentizeError`]; nothing was changed.
pub fn componentize(core_module: &[u8]) -> Result<Vec<u8>, ComponentizeError> {
    wrap(core_module, None)
}

/// Wraps a `core_module` whose runtime imports preview 1 of WASI and doesn't start without it, as Go's: the component has a
/// still-standing stand-in for it inside and imports nothing of a system.
///
/// # Errors
/// See [`ComponentizeError`]; nothing was changed.
pub fn componentize_on_stubs(core_module: &[u8]) -> Result<Vec<u8>, ComponentizeError> {
    let adapter = wat::parse_str(PREVIEW1).expect("preview1.wat is valid");
    wrap(core_module, Some(&adapter))
}

fn wrap(core_module: &[u8], preview1: Option<&[u8]>) -> Result<Vec<u8>, ComponentizeError> {
    let mut module = core_module.to_vec();
    let surface = Surface::of(core_module)?;
    if !surface.names_its_world {
        let resolve = contract();
        let package = resolve.packages.iter().next();
        let (package, _) = package.expect("the contract is one package");
        let world = resolve
            .select_world(&[package], Some(surface.world))
            .expect("the contract has the three worlds that `Surface` names");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .map_err(|error| mismatch(&error))?;
    }
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| match preview1 {
            Some(adapter) => encoder.adapter("wasi_snapshot_preview1", adapter),
            None => Ok(encoder),
        })
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| mismatch(&error))
}

fn mismatch(error: &impl Display) -> ComponentizeError {
    // The alternate form names the causes too.
    ComponentizeError::Mismatch(format!("{error:#}"))
}

fn contract() -> Resolve {
    let mut resolve = Resolve::default();
    let text = CONTRACT.map(|(_, text)| text).join("\n");
    let group =
        UnresolvedPackageGroup::parse("wit", &text).expect("the contract in `wit/` is valid WIT");
    resolve.push_group(group).expect("the contract refers to no other package");
    resolve
}

/// What a module shows of itself.
struct Surface {
    names_its_world: bool,
    world: &'static str,
}

impl Surface {
    fn of(module: &[u8]) -> Result<Self, ComponentizeError> {
        let not_wasm =
            |error: wasmparser::BinaryReaderError| ComponentizeError::NotWasm(error.to_string());
        if Parser::is_component(module) {
            return Err(ComponentizeError::AlreadyComponent);
        }
        let mut surface = Self { names_its_world: false, world: "plugin" };
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload.map_err(not_wasm)?;
            if let Payload::CustomSection(section) = &payload {
                surface.names_its_world |= section.name().starts_with("component-type");
            } else if let Payload::ExportSection(exports) = payload {
                for export in exports {
                    let name = export.map_err(not_wasm)?.name;
                    if name.starts_with("kinfold:merge/validator@") {
                        surface.world = "plugin-full";
                    } else if name.starts_with("kinfold:merge/laws@") && surface.world == "plugin" {
                        surface.world = "plugin-checked";
                    }
                }
            }
        }
        Ok(surface)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(body: &str) -> Vec<u8> {
        wat::parse_str(format!(
            r#"(module
                 {body}
                 (memory (export "memory") 1)
                 (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
                 (func (export "kinfold:merge/resolver@0.1.0#merge")
                   (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 0))"#
        ))
        .unwrap()
    }

    #[test]
    fn a_module_without_a_world_is_wrapped_by_its_exports() {
        for body in [
            "",
            r#"(func (export "kinfold:merge/laws@0.1.0#sample") (param i64 i32) (result i32) i32.const 0)
               (func (export "kinfold:merge/laws@0.1.0#equivalent")
                 (param i32 i32 i32 i32) (result i32) i32.const 0)"#,
        ] {
            let component = componentize(&module(body)).unwrap();
            assert!(Parser::is_component(&component));
            assert_eq!(component, componentize(&module(body)).unwrap());
        }
    }

    #[test]
    fn a_module_that_wants_a_system_gets_one_that_stands_still() {
        let module = module(
            r#"(import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
               (import "wasi_snapshot_preview1" "path_open"
                 (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
               (func (export "_initialize"))"#,
        );
        let component = componentize_on_stubs(&module).unwrap();
        let text = String::from_utf8_lossy(&component);
        assert!(!text.contains("wasi:"), "it imports something of a system");
        // Nobody else gets it: who imports a system's functions by mistake is told.
        let Err(ComponentizeError::Mismatch(reason)) = componentize(&module) else {
            panic!("a module that imports a clock was wrapped");
        };
        assert!(reason.contains("wasi_snapshot_preview1"), "{reason}");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_reason() {
        assert!(matches!(componentize(b"hello"), Err(ComponentizeError::NotWasm(_))));
        let component = componentize(&module("")).unwrap();
        assert!(matches!(componentize(&component), Err(ComponentizeError::AlreadyComponent)));
        let empty = wat::parse_str("(module)").unwrap();
        let Err(ComponentizeError::Mismatch(reason)) = componentize(&empty) else {
            panic!("an empty module was wrapped");
        };
        assert!(reason.contains("merge"), "{reason}");
    }
}
