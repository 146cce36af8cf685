//! Buckets in the catalogue, and what happens to one whose merge function changes.

use alloc::string::{String, ToString};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::causality::Dot;
use crate::config::{BucketConfig, Mode};

/// One bucket, as of one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketEntry {
    /// The change that made it so.
    pub version: Dot,
    /// Its properties.
    pub config: BucketConfig,
    /// The change since which the bucket merges as it does; none if it has done so from its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Dot>,
    /// How it merged before, for a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<MergeFunction>,
    /// A plugin that runs beside the bucket's own, and whose answers are compared and not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<String>,
}

/// What decides what a bucket's siblings merge to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeFunction {
    /// The plugin, and how siblings are dealt with.
    pub mode: Mode,
    /// Bytes handed to the plugin at every merge.
    pub plugin_config: Bytes,
}

impl MergeFunction {
    /// How a bucket of these properties merges.
    #[must_use]
    pub fn of(config: &BucketConfig) -> Self {
        Self { mode: config.mode.clone(), plugin_config: config.plugin_config.clone() }
    }
}

impl BucketEntry {
    /// A bucket that was never another one.
    #[must_use]
    pub fn new(version: Dot, config: BucketConfig) -> Self {
        Self { version, config, epoch: None, previous: None, shadow: None }
    }

    /// This bucket with other properties. If that changes how it merges, an epoch begins.
    #[must_use]
    pub fn changed(&self, version: Dot, config: BucketConfig) -> Self {
        let before = MergeFunction::of(&self.config);
        let (epoch, previous) = if before == MergeFunction::of(&config) {
            (self.epoch, self.previous.clone())
        } else {
            (Some(version), Some(before))
        };
        let own = config.mode.plugin().map(ToString::to_string);
        let shadow = self.shadow.clone().filter(|shadow| own.as_ref() != Some(shadow));
        Self { version, config, epoch, previous, shadow }
    }

    /// The properties that the bucket had before its merge function changed, if it did; the rest as it is.
    #[must_use]
    pub fn rolled_back(&self) -> Option<BucketConfig> {
        let MergeFunction { mode, plugin_config } = self.previous.clone()?;
        Some(BucketConfig { mode, plugin_config, ..self.config.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Actor;
    use crate::time::Timestamp;

    fn dot(time: u64) -> Dot {
        Dot { time: Timestamp(time), actor: Actor(1) }
    }

    fn with(plugin: &str, r: u8) -> BucketConfig {
        let mode = Mode::Resolver { plugin: plugin.into() };
        BucketConfig { mode, r, ..BucketConfig::default() }
    }

    #[test]
    fn only_another_merge_function_begins_an_epoch_and_can_be_rolled_back() {
        let made = BucketEntry::new(dot(1), with("a", 1));
        let same = made.changed(dot(2), with("a", 2));
        assert_eq!((same.epoch, same.previous.is_some()), (None, false));
        assert_eq!(same.rolled_back(), None);
        let other = same.changed(dot(3), with("b@1", 2));
        assert_eq!(other.epoch, Some(dot(3)));
        assert_eq!(other.rolled_back(), Some(with("a", 2)));
        // What is not the merge function stays as it is now.
        let numbers = other.changed(dot(4), with("b@1", 3));
        assert_eq!(numbers.epoch, Some(dot(3)));
        let back = numbers.changed(dot(5), numbers.rolled_back().unwrap());
        assert_eq!((back.epoch, &back.config), (Some(dot(5)), &with("a", 3)));
        assert_eq!(back.rolled_back(), Some(with("b@1", 3)));
        let config = BucketConfig { plugin_config: Bytes::from_static(b"2"), ..with("a", 1) };
        assert_eq!(made.changed(dot(2), config).epoch, Some(dot(2)));
    }

    #[test]
    fn a_candidate_that_becomes_the_plugin_is_a_candidate_no_more() {
        let shadow = Some("b@1".into());
        let made = BucketEntry { shadow, ..BucketEntry::new(dot(1), with("a", 1)) };
        assert_eq!(made.changed(dot(2), with("c", 1)).shadow, made.shadow);
        assert_eq!(made.changed(dot(2), with("b@1", 1)).shadow, None);
    }
}
