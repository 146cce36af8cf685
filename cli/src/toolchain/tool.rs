//! The programs that languages are compiled with.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, io};

use crate::toolchain::BuildError;

/// A program, and how to come by it.
pub(super) struct Tool {
    pub(super) program: &'static str,
    pub(super) install: &'static str,
}

impl Tool {
    /// Finds it: in `node_modules` of the folder or of one above it, as npm installs there, or on the path.
    pub(super) fn find(&self, folder: &Path) -> Result<PathBuf, BuildError> {
        let beside = folder.ancestors().map(|folder| folder.join("node_modules/.bin"));
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path: Vec<_> = env::split_paths(&path).collect();
        let found = beside.chain(on_path).map(|folder| folder.join(self.program));
        found
            .into_iter()
            .find(|file| file.is_file())
            .ok_or(BuildError::Missing { tool: self.program, install: self.install })
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
