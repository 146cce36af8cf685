//! How an installed plugin is called.

use alloc::format;
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// One version of a plugin, `NAME@VERSION`: 1 to 64 of `a-z`, `0-9` and `-`, then 1 to 32 of letters, digits, `.`, `-` and `+`.
///
/// Plugins that come with the program or lie in a node's folder are called by their name alone, so the two can't be taken
/// for each other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Release(String);

/// A text that names no release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no installed plugin: write NAME@VERSION, as `kinfold plugin list` does")]
pub struct BadRelease(pub String);

impl Release {
    /// The release of a plugin's name and version.
    ///
    /// # Errors
    /// [`BadRelease`] if one of them breaks the rules.
    pub fn new(name: &str, version: &str) -> Result<Self, BadRelease> {
        Self::parse(format!("{name}@{version}"))
    }

    /// Reads `NAME@VERSION`.
    ///
    /// # Errors
    /// [`BadRelease`] if it is none.
    pub fn parse(text: impl Into<String>) -> Result<Self, BadRelease> {
        let text = text.into();
        let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let in_version = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+');
        let fits = text.split_once('@').is_some_and(|(name, version)| {
            (1..=64).contains(&name.len())
                && name.bytes().all(in_name)
                && (1..=32).contains(&version.len())
                && version.bytes().all(in_version)
        });
        if fits { Ok(Self(text)) } else { Err(BadRelease(text)) }
    }

    /// Does a bucket that names its plugin so mean an installed one?
    #[must_use]
    pub fn is_meant_by(plugin: &str) -> bool {
        plugin.contains('@')
    }

    /// The plugin's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('@').map_or("", |(name, _)| name)
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, version)| version)
    }

    /// Both, as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Release {
    type Error = BadRelease;
    fn try_from(text: String) -> Result<Self, BadRelease> {
        Self::parse(text)
    }
}

impl From<Release> for String {
    fn from(release: Release) -> Self {
        release.0
    }
}

impl core::borrow::Borrow<str> for Release {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_a_name_and_a_version() {
        let release = Release::parse("set-union@1.0.0-rc+7").unwrap();
        assert_eq!((release.name(), release.version()), ("set-union", "1.0.0-rc+7"));
        assert_eq!(Release::new("a", "1"), Release::parse("a@1"));
        let long = format!("a@{}", "1".repeat(33));
        for bad in ["", "a", "a@", "@1", "A@1", "a@1@2", "a@1 ", "../a@1", long.as_str()] {
            assert_eq!(Release::parse(bad), Err(BadRelease(bad.into())));
        }
    }
}
