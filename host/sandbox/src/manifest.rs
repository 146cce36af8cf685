//! What a plugin says of itself: the text of its `plugin.toml`, in a custom section of the component.

use serde::Deserialize;

/// The custom section that holds the manifest.
pub const MANIFEST_SECTION: &str = "kinfold:plugin";

/// A larger manifest is a mistake, or an attack on the parser.
const MAX_SIZE: usize = 16 * 1024;

/// What a plugin is called and what it promises.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// What buckets name it by: 1 to 64 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// Its version: 1 to 32 of letters, digits, `.`, `-` and `+`.
    pub version: String,
    /// A sentence for people.
    #[serde(default)]
    pub description: String,
    /// Which laws it keeps.
    pub contract: Contract,
    /// What becomes of deletes among the siblings.
    pub tombstones: Tombstones,
}

/// Which laws a plugin promises to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contract {
    /// Its merges are deterministic and total, and may depend on how siblings are grouped: they run on reading.
    Resolver,
    /// Its merges are also associative and absorbing, byte for byte: replicas can merge on their own and agree.
    Lattice,
}

/// What becomes of deletes among the siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tombstones {
    /// The plugin sees them, and decides.
    Pass,
    /// The store settles them: what a delete has seen is gone, the rest is merged, and the plugin sees no deletes.
    Reset,
}

/// Why a manifest was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is too long.
    #[error("the manifest is longer than {MAX_SIZE} bytes")]
    TooLong,
    /// It is not the TOML that is expected.
    #[error("the manifest can't be read: {0}")]
    Unreadable(String),
    /// The name can't be a plugin's name.
    #[error("`{0}` can't be the name of a plugin: take 1 to 64 of a-z, 0-9 and -")]
    Name(String),
    /// The version can't be a plugin's version.
    #[error(
        "`{0}` can't be the version of a plugin: take 1 to 32 of letters, digits, `.`, `-` and `+`"
    )]
    Version(String),
}

impl Manifest {
    /// Reads the text of a `plugin.toml`. Fields that are not known are left alone, for later versions to add.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        if text.len() > MAX_SIZE {
            return Err(ManifestError::TooLong);
        }
        let unreadable = |error: &dyn ToString| ManifestError::Unreadable(error.to_string());
        let text = str::from_utf8(text).map_err(|error| unreadable(&error))?;
        let manifest: Self = toml::from_str(text).map_err(|error| unreadable(&error))?;
        let in_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !(1..=64).contains(&manifest.name.len()) || !manifest.name.chars().all(in_name) {
            return Err(ManifestError::Name(manifest.name));
        }
        let in_version = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
        if !(1..=32).contains(&manifest.version.len()) || !manifest.version.chars().all(in_version)
        {
            return Err(ManifestError::Version(manifest.version));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, version: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse(
            format!(
                "name = '{name}'\nversion = '{version}'\ncontract = 'lattice'\ntombstones = 'reset'\nnew = 1"
            )
            .as_bytes(),
        )
    }

    #[test]
    fn a_manifest_is_read() {
        let manifest = with("set-union", "1.0.0").unwrap();
        assert_eq!(manifest.name, "set-union");
        assert_eq!(manifest.contract, Contract::Lattice);
        assert_eq!(manifest.tombstones, Tombstones::Reset);
    }

    #[test]
    fn names_and_versions_that_could_hurt_are_refused() {
        for name in ["", "Set", "a/b", "../x", &"x".repeat(65)] {
            assert!(matches!(with(name, "1"), Err(ManifestError::Name(_))));
        }
        for version in ["", "1 0", "@2", &"1".repeat(33)] {
            assert!(matches!(with("a", version), Err(ManifestError::Version(_))));
        }
        assert_eq!(Manifest::parse(&[b' '; MAX_SIZE + 1]), Err(ManifestError::TooLong));
        for text in [&b"\xff"[..], b"name = 'a'", b"= ="] {
            assert!(matches!(Manifest::parse(text), Err(ManifestError::Unreadable(_))));
        }
    }
}
