//! A merge that a plugin failed on, as files: `NAME.json`, and its siblings' values in the folder `siblings` beside it.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kinfold_sandbox::{MergeInput, MergeRequest, Timestamp, canonical};
use serde::{Deserialize, Serialize};

use crate::exit::Failure;

/// The folder of values. They are alone in it, so that it can be the corpus of a check.
pub(super) const SIBLINGS: &str = "siblings";

/// A merge that failed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    /// The plugin, as its bucket names it.
    pub(super) plugin: String,
    /// The hash of the component that failed.
    pub(super) component: String,
    /// The bucket.
    pub(super) bucket: String,
    /// The key, in base64.
    pub(super) key: String,
    /// The bucket's plugin config, in base64.
    pub(super) config: String,
    /// Why it failed.
    pub(super) failure: String,
    /// What was to be merged.
    pub(super) siblings: Vec<Sibling>,
}

/// A sibling of such a merge.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sibling {
    /// Its time.
    pub(super) time: u64,
    /// The file of its value, in the folder; none if it is a delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
}

/// Bytes as text.
pub(super) fn text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// All the merges of a folder, in the order of their names.
pub(super) fn all(folder: &Path) -> Result<Vec<(String, Saved)>, Failure> {
    let entries = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>());
    let mut paths = entries.map_err(Failure::file(folder))?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::Usage(format!(
            "there is no merge in {}: `kinfold plugin failures NAME --save {0}` puts some there",
            folder.display()
        )));
    }
    let read = |path: PathBuf| {
        let text = fs::read(&path).map_err(Failure::file(&path))?;
        let saved = serde_json::from_slice(&text).map_err(|error| {
            Failure::Usage(format!("{} is not a merge that was saved: {error}", path.display()))
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, saved))
    };
    paths.into_iter().map(read).collect()
}

impl Saved {
    /// The merge as it was asked for.
    pub(super) fn request(&self, folder: &Path) -> Result<MergeRequest, Failure> {
        let bytes = |name: &str, text: &str| {
            let bytes = STANDARD.decode(text).map(Bytes::from);
            bytes.map_err(|error| Failure::Usage(format!("the {name} is not base64: {error}")))
        };
        let input = |sibling: &Sibling| {
            let value = sibling.file.as_ref().map(|file| {
                let path = folder.join(SIBLINGS).join(file);
                fs::read(&path).map(Bytes::from).map_err(Failure::file(path))
            });
            Ok(MergeInput { value: value.transpose()?, time: Timestamp(sibling.time) })
        };
        let inputs = self.siblings.iter().map(input).collect::<Result<_, Failure>>()?;
        Ok(MergeRequest {
            plugin: self.plugin.clone(),
            bucket: self.bucket.clone(),
            key: bytes("key", &self.key)?,
            config: bytes("config", &self.config)?,
            inputs: canonical(inputs),
        })
    }
}
