//! The component that a command is about: a file, or what was built in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use kinfold_sandbox::{BUILT_IN, Manifest};

use crate::exit::Failure;

/// Which component, and the config that its merges get.
#[derive(Args, Debug)]
pub(super) struct Subject {
    /// A component, a folder in which one was built, or the name of a built-in plugin
    #[arg(value_name = "PLUGIN", default_value = ".")]
    pub(super) plugin: PathBuf,
    /// The plugin config of the bucket
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) config: String,
}

impl Subject {
    pub(super) fn config(&self) -> Bytes {
        self.config.clone().into()
    }

    /// The component's bytes.
    pub(super) fn component(&self) -> Result<Vec<u8>, Failure> {
        let path = if self.plugin.is_dir() { built(&self.plugin)? } else { self.plugin.clone() };
        let name = path.to_str().unwrap_or_default();
        let built_in = BUILT_IN.iter().find(|(built_in, _)| *built_in == name);
        match built_in {
            Some((_, component)) if !path.exists() => Ok(component.to_vec()),
            Some(_) | None => fs::read(&path).map_err(Failure::file(path)),
        }
    }

    /// The folder `corpus` beside the component's source, if there is one.
    pub(super) fn corpus(&self) -> Option<PathBuf> {
        let folder = self.plugin.join("corpus");
        (self.plugin.is_dir() && folder.is_dir()).then_some(folder)
    }
}

fn built(folder: &Path) -> Result<PathBuf, Failure> {
    let manifest = folder.join("plugin.toml");
    let text = fs::read(&manifest).map_err(Failure::file(manifest))?;
    let name = Manifest::parse(&text).map_err(|error| Failure::Usage(error.to_string()))?.name;
    let component = folder.join(format!("{name}.wasm"));
    if component.exists() {
        return Ok(component);
    }
    Err(Failure::Usage(format!(
        "{} is not there: run `kinfold plugin build {}` first",
        component.display(),
        folder.display()
    )))
}

/// The bytes of every file in a folder, in the order of their names.
pub(super) fn files(folder: &Path) -> Result<Vec<Bytes>, Failure> {
    let entries = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>());
    let mut paths = entries.map_err(Failure::file(folder))?;
    paths.retain(|path| path.is_file());
    paths.sort();
    let read = |path: PathBuf| fs::read(&path).map(Bytes::from).map_err(Failure::file(path));
    paths.into_iter().map(read).collect()
}
