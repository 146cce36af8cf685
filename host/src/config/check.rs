//! The rules that a configuration keeps.

use std::collections::BTreeSet;

use super::Config;
use crate::certificate::{NameError, check_name};

impl Config {
    pub(super) fn check(&self) -> Result<(), Refused> {
        check_names(self)?;
        if !self.partitions.is_power_of_two() || self.partitions > 65_536 {
            let reason = format!("must be a power of two from 1 to 65536, not {}", self.partitions);
            return Err(refused("partitions", reason));
        }
        let ranges: [(&str, u64, u64, u64); 20] = [
            ("interval_ms", self.interval_ms, 1, 60_000),
            ("shutdown_grace_s", self.shutdown_grace_s, 0, 3_600),
            ("storage.cache_mib", self.storage.cache_mib, 8, 1 << 24),
            ("storage.memtable_mib", self.storage.memtable_mib, 1, 1 << 16),
            ("storage.reserve_mib", self.storage.reserve_mib, 0, 1 << 24),
            ("scrub.days", self.scrub.days.into(), 0, 365),
            ("repair.exchange_s", self.repair.exchange_s.into(), 1, 86_400),
            ("scrub.mib_s", self.scrub.mib_s, 1, 1 << 16),
            ("limits.key_bytes", self.limits.key_bytes.into(), 1, 65_535),
            ("limits.value_bytes", self.limits.value_bytes.into(), 1, 64 << 20),
            ("limits.siblings", self.limits.siblings.into(), 2, 1_024),
            ("limits.requests", self.limits.requests.into(), 1, 1 << 20),
            ("limits.discarded", self.limits.discarded.into(), 0, 1_000_000),
            ("limits.delete_age_s", self.limits.delete_age_s.into(), 1, 2_592_000),
            ("limits.clocks_apart_s", self.limits.clocks_apart_s.into(), 0, 86_400),
            ("limits.connections", self.limits.connections.into(), 1, 1 << 20),
            ("traces.per_million", self.traces.per_million.into(), 0, 1_000_000),
            ("merge.threads", self.merge.threads.into(), 1, 1_024),
            ("merge.queue", self.merge.queue.into(), 1, 1 << 20),
            ("members", self.members.len() as u64, 1, u64::from(self.partitions)),
        ];
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                let reason = format!("must be from {least} to {most}, not {value}");
                return Err(refused(key, reason));
            }
        }
        Ok(())
    }
}

/// A key and what is wrong with it, before it is known where it came from.
pub(super) struct Refused {
    pub(super) key: String,
    pub(super) reason: String,
}

pub(super) fn refused(key: impl Into<String>, reason: impl Into<String>) -> Refused {
    Refused { key: key.into(), reason: reason.into() }
}

fn check_names(config: &Config) -> Result<(), Refused> {
    let name = |key: &str, name: &str| {
        check_name(name).map_err(|e: NameError| refused(key, format!("is refused: {e}")))
    };
    name("cluster", &config.cluster)?;
    name("node", &config.node)?;
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for (i, member) in config.members.iter().enumerate() {
        name(&format!("members[{i}].name"), &member.name)?;
        name(&format!("members[{i}].zone"), &member.zone)?;
        if !(1..=1000).contains(&member.capacity) {
            let reason = format!("must be from 1 to 1000, not {}", member.capacity);
            return Err(refused(format!("members[{i}].capacity"), reason));
        }
        if !names.insert(member.name.as_str()) {
            let reason = format!("names `{}` a second time", member.name);
            return Err(refused(format!("members[{i}].name"), reason));
        }
        if !addresses.insert(&member.address) {
            let reason = format!("is {}, which is another member's", member.address);
            return Err(refused(format!("members[{i}].address"), reason));
        }
    }
    if !names.contains(config.node.as_str()) {
        let reason = format!("don't name this node, `{}`: add it", config.node);
        return Err(refused("members", reason));
    }
    // Any name: whom the ring has by now, `members` does not say.
    config.dial.keys().try_for_each(|to| name(&format!("dial.{to}"), to))
}
