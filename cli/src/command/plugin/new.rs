//! `kinfold plugin new`: a folder with a plugin that works.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use kinfold_sandbox::ManifestError;

use crate::exit::{End, Failure};
use crate::output;
use crate::toolchain::{Language, files};

/// Write a new plugin's folder
///
/// It holds a small plugin that builds and keeps the laws as it is, and all that an author shouldn't have to write. Nothing is
/// fetched: once the language's tools are installed, no network is needed.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin new cart --lang rust
  kinfold plugin new cart --lang c --into plugins/cart")]
pub(crate) struct New {
    /// The plugin's name, which buckets will know it by: a-z, 0-9 and hyphens
    name: String,
    /// The language it is written in
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,
    /// The folder to write; it must not exist. Default: the name
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

impl New {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let Self { name, lang, into } = self;
        // A crate's name can't begin with a digit.
        let first = name.starts_with(|c: char| c.is_ascii_lowercase());
        let rest = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !first || !rest || name.len() > 64 {
            return Err(Failure::Usage(format!(
                "{}, beginning with a letter",
                ManifestError::Name(name)
            )));
        }
        let folder = into.unwrap_or_else(|| name.clone().into());
        if folder.exists() {
            return Err(Failure::Usage(format!("{} exists already", folder.display())));
        }
        for (path, text) in files(lang, &name) {
            let path = folder.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(Failure::file(parent))?;
            }
            fs::write(&path, text).map_err(Failure::file(path))?;
        }
        output::print(|out| {
            writeln!(out, "{} is the plugin. Next:", folder.join(lang.source()).display())?;
            writeln!(out, "  kinfold plugin build {}", folder.display())?;
            writeln!(out, "  kinfold plugin check {}", folder.display())
        })?;
        Ok(End::Done)
    }
}
