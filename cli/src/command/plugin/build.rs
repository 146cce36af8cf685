//! `kinfold plugin build`: a component of a plugin's folder.

use std::path::PathBuf;

use clap::Args;
use kinfold_sandbox::{Engine, Limits, Plugin};

use crate::exit::{End, Failure};
use crate::{output, toolchain};

/// Build a plugin's component
///
/// Runs the tools of the language that plugin.toml names, makes a component of what they made, writes it to NAME.wasm in the same
/// folder, and loads it as a node would: what it imports is checked, and an instance of it started.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin build
  kinfold plugin build plugins/cart

Exit code 1: it was not built, or no node would load it; the message says why.")]
pub(crate) struct Build {
    /// The folder with plugin.toml
    #[arg(default_value = ".")]
    folder: PathBuf,
}

impl Build {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let built = toolchain::build(&self.folder)?;
        let engine = Engine::new(Limits::default(), 1)?;
        let plugin = Plugin::load(&engine, &built.component)?;
        let manifest = plugin.manifest();
        output::print(|out| {
            writeln!(out, "{}: {} {}", built.path.display(), manifest.name, manifest.version)?;
            writeln!(out, "  {} bytes", built.component.len())?;
            writeln!(out, "  blake3 {}", plugin.hash())
        })?;
        Ok(End::Done)
    }
}
