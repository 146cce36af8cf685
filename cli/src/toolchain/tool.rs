//! The programs that languages are compiled with.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, io};

use crate::toolchain::BuildError;

/// A program, and how to come by it.
pub(super) struct Tool {
    /// The names that it goes by.
    pub(super) programs: &'static [&'static str],
    pub(super) install: &'static str,
}

impl Tool {
    /// Finds it: in `node_modules` or `.venv` of the folder or of one above it, as npm and pip install there, or on the path.
    pub(super) fn find(&self, folder: &Path) -> Result<PathBuf, BuildError> {
        let installed = ["node_modules/.bin", ".venv/bin"];
        let beside = folder.ancestors().flat_map(|folder| installed.map(|bin| folder.join(bin)));
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path: Vec<_> = env::split_paths(&path).collect();
        let named = |folder: PathBuf| self.programs.iter().map(move |name| folder.join(name));
        beside
            .chain(on_path)
            .flat_map(named)
            .find(|file| file.is_file())
            .ok_or_else(|| BuildError::Missing { tool: self.programs[0], install: self.install })
    }
}

/// Runs a tool in `folder`. What it says goes to standard error, where the author sees it.
pub(super) fn run<S: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = S>,
    settings: &[(&str, String)],
    folder: &Path,
) -> Result<(), BuildError> {
    let failed = |why: String| BuildError::Failed { tool: program.display().to_string(), why };
    let said = io::stderr();
    let status = Command::new(program)
        .args(arguments)
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(said)
        .status()
        .map_err(|error| failed(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(format!("it ended with {status}"))) }
}

/// What a tool prints.
pub(super) fn output(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
