//! Rust: cargo, for a target without a system. It is rustup's, or Debian's, which has the standard library as source only.

use std::env;
use std::path::{Path, PathBuf};

use crate::toolchain::BuildError;
use crate::toolchain::tool::{Tool, output, run};

const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const INSTALL: &str = "rustup target add wasm32-unknown-unknown\n    or, on Debian: \
     sudo apt-get install -y rustc-web cargo-web rust-web-src lld";

const CARGO: Tool = Tool { programs: &["cargo"], install: INSTALL };
const RUSTC: Tool = Tool { programs: &["rustc"], install: INSTALL };

/// Builds the crate in `folder` and returns the path of its core module.
pub(super) fn build(folder: &Path, name: &str) -> Result<PathBuf, BuildError> {
    // Memory is laid out large enough that an ordinary merge never grows it.
    let flags = "-C link-arg=-zstack-size=65536 -C link-arg=--initial-memory=1048576".to_owned();
    let mut settings = vec![("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags)];
    let mut arguments = vec!["build", "--release", "--target", TARGET];
    let rustc = RUSTC.find(folder);
    let has_target = |rustc: &PathBuf| library(rustc, &format!("{TARGET}/lib"));
    let cargo = if rustc.as_ref().is_ok_and(has_target) {
        CARGO.find(folder)?
    } else if library(Path::new(DEBIAN_RUSTC), "src/rust/library") {
        arguments.extend(["-Z", "build-std=std,panic_abort"]);
        settings.extend([
            ("RUSTC", DEBIAN_RUSTC.to_owned()),
            ("RUSTC_BOOTSTRAP", "1".to_owned()),
            ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld".to_owned()),
        ]);
        PathBuf::from("/usr/bin/cargo")
    } else {
        return Err(BuildError::Missing {
            tool: "rustc for wasm32-unknown-unknown",
            install: INSTALL,
        });
    };
    run(&cargo, &arguments, &settings, folder)?;
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let module = format!("{}.wasm", name.replace('-', "_"));
    Ok(folder.join(target).join(TARGET).join("release").join(module))
}

/// Whether a compiler's library has this folder.
fn library(rustc: &Path, folder: &str) -> bool {
    let sysroot = output(rustc, &["--print", "sysroot"]);
    sysroot.is_some_and(|root| Path::new(&root).join("lib/rustlib").join(folder).is_dir())
}
