//! Zig: one compiler run, for a target without a system.

use std::path::Path;

use crate::toolchain::BuildError;
use crate::toolchain::tool::{Tool, run};

/// As Zig's own packages install it, and as the one of PyPI does.
const ZIG: Tool = Tool {
    programs: &["zig", "python-zig"],
    install: "python3 -m venv .venv && .venv/bin/pip install ziglang==0.17.1",
};

/// Builds `plugin.zig` in `folder` into the core module `out`.
pub(super) fn build(folder: &Path, out: &str) -> Result<(), BuildError> {
    let emit = format!("-femit-bin={out}");
    let arguments = [
        "build-exe",
        "kinfold.zig",
        "--name",
        "plugin",
        "-target",
        "wasm32-freestanding",
        // With its checks, whose messages become those of the failure.
        "-O",
        "ReleaseSafe",
        "-fstrip",
        "-fno-entry",
        "-rdynamic",
        // Zig's default is 16 MiB, half of what an instance may have.
        "--stack",
        "65536",
        "--initial-memory=1048576",
        "--cache-dir",
        "target/zig-cache",
        &emit,
    ];
    run(&ZIG.find(folder)?, arguments, &[], folder)
}
