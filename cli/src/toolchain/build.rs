//! From a plugin's folder to a component.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kinfold_componentize::{
    ComponentizeError, attach_manifest, componentize, componentize_on_stubs,
};
use kinfold_sandbox::{Manifest, ManifestError};
use serde::Deserialize;
use wasmparser::Parser;

use crate::toolchain::tool::{Tool, run};
use crate::toolchain::{Language, go, python, rust, zig};

const CLANG: Tool =
    Tool { programs: &["clang"], install: "sudo apt-get install -y clang lld wasi-libc" };
const WASM_LD: Tool = Tool { programs: &["wasm-ld"], install: CLANG.install };
const ASC: Tool =
    Tool { programs: &["asc"], install: "npm install --global assemblyscript@0.28.20" };
const QJS: Tool = Tool {
    programs: &["componentize-qjs"],
    install: "npm install --global componentize-qjs@0.4.5",
};
const TSC: Tool = Tool { programs: &["tsc"], install: "npm install --global typescript@7.0.2" };

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The folder has no `plugin.toml`, or a file can't be read or written.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `plugin.toml` is not a plugin's.
    #[error("plugin.toml: {0}")]
    Manifest(#[from] ManifestError),
    /// `plugin.toml` doesn't say what to build with.
    #[error(
        "plugin.toml: `language` is missing or none of rust, c, zig, go, wat, assemblyscript, javascript, typescript, python"
    )]
    Language,
    /// A tool is not installed.
    #[error("`{tool}` is missing. To install it:\n    {install}")]
    Missing {
        /// Which.
        tool: &'static str,
        /// The command.
        install: &'static str,
    },
    /// A tool failed. It has said why.
    #[error("{tool} failed: {why}")]
    Failed {
        /// Which.
        tool: String,
        /// How.
        why: String,
    },
    /// The text of a module is not valid.
    #[error("plugin.wat: {0}")]
    Text(String),
    /// What the tool made doesn't fit the contract.
    #[error(transparent)]
    Componentize(#[from] ComponentizeError),
}

/// A component that was built.
pub(crate) struct Built {
    /// Where it was written.
    pub(crate) path: PathBuf,
    /// Its bytes.
    pub(crate) component: Vec<u8>,
}

/// The part of `plugin.toml` that is about building.
#[derive(Deserialize)]
struct Source {
    language: Language,
}

/// Builds the plugin in `folder` into `NAME.wasm` in the same folder.
pub(crate) fn build(folder: &Path) -> Result<Built, BuildError> {
    let manifest = read(&folder.join("plugin.toml"))?;
    let name = Manifest::parse(&manifest)?.name;
    let manifest = String::from_utf8_lossy(&manifest);
    let source: Source = toml::from_str(&manifest).map_err(|_| BuildError::Language)?;
    let target = folder.join("target");
    fs::create_dir_all(&target).map_err(at(&target))?;
    // The tools run in the folder, where a path that is relative to this program's would lead elsewhere.
    let absolute = folder.canonicalize().map_err(at(folder))?;
    let made = make(source.language, &absolute, &name)?;
    let mut component = if Parser::is_component(&made) {
        made
    } else if source.language == Language::Go {
        componentize_on_stubs(&made)?
    } else {
        componentize(&made)?
    };
    attach_manifest(&mut component, &manifest);
    let path = folder.join(format!("{name}.wasm"));
    fs::write(&path, &component).map_err(at(&path))?;
    Ok(Built { path, component })
}

/// Has the language's tools make a core module, or a component right away.
fn make(language: Language, folder: &Path, name: &str) -> Result<Vec<u8>, BuildError> {
    let module = "target/plugin.wasm";
    match language {
        Language::Rust => return read(&rust::build(folder, name)?),
        Language::C => {
            WASM_LD.find(folder)?;
            // `malloc` and the string functions of a C library, and nothing that would ask a system for something.
            let arguments = [
                "--target=wasm32-wasi",
                "-O2",
                "-Wall",
                "-mexec-model=reactor",
                "-nodefaultlibs",
                "-lc",
                "-Wl,-z,stack-size=65536",
                "-Wl,--initial-memory=1048576",
                "-Wl,--strip-all",
                "plugin.c",
                "-o",
                module,
            ];
            run(&CLANG.find(folder)?, arguments, &[], folder)?;
        }
        Language::Wat => {
            let text = read(&folder.join("plugin.wat"))?;
            let text = String::from_utf8_lossy(&text);
            return wat::parse_str(text).map_err(|error| BuildError::Text(error.to_string()));
        }
        Language::Zig => zig::build(folder, module)?,
        Language::Go => go::build(folder, module)?,
        Language::Python => python::build(folder, module)?,
        Language::AssemblyScript => return assemblyscript(folder),
        Language::JavaScript => qjs("plugin.js", folder, module)?,
        Language::TypeScript => {
            let arguments = [
                "--strict",
                "--target",
                "es2022",
                "--module",
                "es2022",
                "--moduleResolution",
                "bundler",
                "--types",
                "",
                "--outDir",
                "target/js",
                "plugin.ts",
            ];
            run(&TSC.find(folder)?, arguments, &[], folder)?;
            qjs("target/js/plugin.js", folder, module)?;
        }
    }
    read(&folder.join(module))
}

/// AssemblyScript exports identifiers only, which the contract's names are not: they are put in their places in the text
/// of the module.
fn assemblyscript(folder: &Path) -> Result<Vec<u8>, BuildError> {
    let text = "target/plugin.wat";
    let arguments = [
        "kinfold.ts",
        "--runtime",
        "stub",
        "-O",
        "--initialMemory",
        "16",
        "--use",
        "abort=kinfold/abort",
        // Classes can't be exported from a module; here they are for plugin.ts.
        "--disableWarning",
        "235",
        "--textFile",
        text,
    ];
    run(&ASC.find(folder)?, arguments, &[], folder)?;
    let text = read(&folder.join(text))?;
    let mut text = String::from_utf8_lossy(&text).into_owned();
    for (identifier, name) in [
        ("kinfold_resolver_merge", "kinfold:merge/resolver@0.1.0#merge"),
        ("kinfold_laws_sample", "kinfold:merge/laws@0.1.0#sample"),
        ("kinfold_laws_equivalent", "kinfold:merge/laws@0.1.0#equivalent"),
    ] {
        let exported = |name: &str| format!("(export \"{name}\"");
        text = text.replace(&exported(identifier), &exported(name));
    }
    wat::parse_str(text).map_err(|error| BuildError::Text(error.to_string()))
}

fn qjs(source: &str, folder: &Path, out: &str) -> Result<(), BuildError> {
    let arguments = ["-w", "wit", "-n", "plugin", "-j", source, "--stub-wasi", "--sync", "-o", out];
    run(&QJS.find(folder)?, arguments, &[], folder)
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_owned();
    |source| BuildError::File { path, source }
}
