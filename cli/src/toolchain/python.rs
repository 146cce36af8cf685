//! Python: an interpreter that has imported the plugin, as a component.

use std::path::Path;

use crate::toolchain::BuildError;
use crate::toolchain::tool::{Tool, run};

const COMPONENTIZE_PY: Tool = Tool {
    programs: &["componentize-py"],
    install: "python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1",
};

/// Builds `plugin.py` in `folder` into the component `out`.
pub(super) fn build(folder: &Path, out: &str) -> Result<(), BuildError> {
    let arguments = [
        "--wit-path",
        "wit",
        "--world",
        "plugin",
        "componentize",
        // No clock, no files and no chance: asking for them ends the merge.
        "--stub-wasi",
        "--output",
        out,
        "kinfold_component",
    ];
    // Compiled sources beside the plugin's are of no use.
    let settings = [("PYTHONDONTWRITEBYTECODE", "1".to_owned())];
    run(&COMPONENTIZE_PY.find(folder)?, arguments, &settings, folder)
}
