//! Looking at a component before anything of it is compiled or run.

use wasmtime::wasmparser::{BinaryReaderError, Parser, Payload};

use crate::contract::LOG;
use crate::manifest::{MANIFEST_SECTION, Manifest, ManifestError};

/// Why a component was not loaded. Nothing of it was run, unless the reason says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is larger than a component may be.
    #[error("the component has {size} bytes, where {limit} are allowed")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The bytes are not WebAssembly at all.
    #[error("this is not a WebAssembly file")]
    NotWasm,
    /// It is WebAssembly, but a core module.
    #[error(
        "this is a core module, not a component: `kinfold plugin build` makes a component of it"
    )]
    CoreModule,
    /// It is not valid, or uses what the engine has switched off.
    #[error("the component is not valid: {0}")]
    Malformed(String),
    /// It imports something that plugins can't have.
    #[error("the component imports {}, but a plugin can only import {LOG}; {fix}", .imports.join(", "))]
    ForbiddenImports {
        /// What it imports, by name.
        imports: Vec<String>,
        /// What its author can do.
        fix: &'static str,
    },
    /// It does not export the contract, or exports something else under its name.
    #[error("the component is not a plugin: {0}")]
    WrongWorld(String),
    /// It was built against a version of the contract that this host does not know.
    #[error(
        "the component was built for {found}, and this node knows {known}: build it against that, or run a node that knows its version"
    )]
    OtherVersion {
        /// The interface that it exports or imports.
        found: String,
        /// The one that is known here.
        known: &'static str,
    },
    /// It has no manifest.
    #[error("the component has no manifest: `kinfold plugin build` adds the text of plugin.toml")]
    NoManifest,
    /// Its manifest was refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An instance of it could not be made; its start code may have run.
    #[error("no instance of the component can be made: {0}")]
    Instance(String),
    /// Another plugin has its name.
    #[error("there is another plugin called `{0}`")]
    NameTaken(String),
    /// The file can't be read.
    #[error("the file can't be read: {0}")]
    File(String),
}

const WASI_FIX: &str = "build it without WASI: Rust for wasm32-unknown-unknown, componentize-py and componentize-qjs with \
     --stub-wasi, C with -nodefaultlibs -lc";
const OTHER_FIX: &str = "take the code that uses it out";

/// Checks everything that can be checked by reading, and returns the manifest.
pub(crate) fn inspect(bytes: &[u8], limit: usize) -> Result<Manifest, LoadError> {
    if bytes.len() > limit {
        let size = bytes.len();
        return Err(LoadError::TooLarge { size, limit });
    }
    if Parser::is_core_wasm(bytes) {
        return Err(LoadError::CoreModule);
    }
    if !Parser::is_component(bytes) {
        return Err(LoadError::NotWasm);
    }
    let surface = Surface::of(bytes).map_err(|error| LoadError::Malformed(error.to_string()))?;
    let unversioned = |name: &str| name.split('@').next().map(str::to_owned);
    if let Some(found) = surface
        .forbidden
        .iter()
        .find(|name| name.contains('@') && unversioned(name) == unversioned(LOG))
    {
        return Err(LoadError::OtherVersion { found: found.clone(), known: LOG });
    }
    if !surface.forbidden.is_empty() {
        let wasi = surface.forbidden.iter().any(|import| import.starts_with("wasi:"));
        return Err(LoadError::ForbiddenImports {
            imports: surface.forbidden,
            fix: if wasi { WASI_FIX } else { OTHER_FIX },
        });
    }
    match surface.manifests[..] {
        [] => Err(LoadError::NoManifest),
        [manifest] => Ok(Manifest::parse(manifest)?),
        [_, ..] => {
            Err(LoadError::Malformed(format!("it has more than one section `{MANIFEST_SECTION}`")))
        }
    }
}

/// What a component shows at its outermost level.
struct Surface<'a> {
    forbidden: Vec<String>,
    manifests: Vec<&'a [u8]>,
}

impl<'a> Surface<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, BinaryReaderError> {
        let mut surface = Self { forbidden: Vec::new(), manifests: Vec::new() };
        let mut level = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            if let Payload::Version { .. } = payload {
                level += 1;
            } else if let Payload::End(_) = payload {
                level -= 1;
            }
            // Modules and components within this one have imports and sections of their own, a level deeper.
            if level != 1 {
                continue;
            }
            if let Payload::ComponentImportSection(imports) = payload {
                for import in imports {
                    let name = import?.name.name;
                    if !is_log(name) {
                        surface.forbidden.push(name.to_owned());
                    }
                }
            } else if let Payload::CustomSection(section) = payload
                && section.name() == MANIFEST_SECTION
            {
                surface.manifests.push(section.data());
            }
        }
        Ok(surface)
    }
}

/// Whether an import is the log, of a version that this host's answers.
fn is_log(import: &str) -> bool {
    let without_patch = |name: &str| name.rsplit_once('.').map(|(front, _)| front.to_owned());
    without_patch(import) == without_patch(LOG)
}
