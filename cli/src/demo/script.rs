//! What is written on both sides of the cut, and what has to be read afterwards.
//!
//! Nothing here touches a cluster: a scene is a plan, and [`Scene::expected`] follows from what the buckets promise.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kinfold_client::{BucketConfig, Mode, Tombstones};

/// Where a write is made during the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// The first node, alone.
    A,
    /// The other two.
    B,
}

/// What siblings come to in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Every line of every write.
    Union,
    /// Of each player the best score.
    Best,
    /// The latest write, or nothing if that is a delete.
    Latest,
    /// The last value of each side.
    Siblings,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A put.
    Put(Bytes),
    /// A delete of what its writer has seen.
    Delete,
}

/// What happens to one key.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) bucket: &'static str,
    pub(crate) key: &'static str,
    pub(crate) meaning: Meaning,
    /// The value before the cut, known to all nodes.
    pub(crate) before: Bytes,
    /// The writes during the cut, each begun when the one before is acknowledged.
    pub(crate) acts: Vec<(Side, Deed)>,
    /// Is it shown in full?
    pub(crate) shown: bool,
}

/// The bucket of the data set.
pub(crate) const ATLAS: &str = "atlas";

/// All buckets, by name.
pub(crate) fn buckets() -> [(&'static str, BucketConfig); 5] {
    let lattice = |plugin: &str, tombstones| BucketConfig {
        mode: Mode::Lattice { plugin: plugin.to_owned(), tombstones },
        ..BucketConfig::default()
    };
    [
        (ATLAS, BucketConfig::default()),
        ("carts", lattice("set-union", Tombstones::Reset)),
        ("profiles", lattice("last-write-wins", Tombstones::Pass)),
        ("boards", lattice("leaderboard", Tombstones::Reset)),
        ("notes", BucketConfig::default()),
    ]
}

/// All scenes.
pub(crate) fn scenes() -> Vec<Scene> {
    let mut scenes = carts();
    scenes.extend(profiles());
    scenes.extend(boards());
    scenes.extend(notes());
    for (i, scene) in scenes.iter_mut().enumerate() {
        scene.shown = i == 0 || scene.shown;
    }
    scenes
}

fn carts() -> Vec<Scene> {
    const GOODS: [&str; 16] = [
        "apples", "bread", "butter", "cheese", "coffee", "eggs", "flour", "honey", "milk", "oats",
        "olives", "pepper", "rice", "salt", "tea", "yeast",
    ];
    const OWNERS: [&str; 12] = [
        "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy",
        "mallory", "niaj",
    ];
    let line = |n: usize| Bytes::from(format!("{}\n", GOODS[n % GOODS.len()]));
    let scene = |(i, key): (usize, &&'static str)| Scene {
        bucket: "carts",
        key,
        meaning: Meaning::Union,
        before: line(i),
        // Both sides add, and both add the fifth.
        acts: vec![
            (Side::A, Deed::Put(line(i + 3))),
            (Side::B, Deed::Put(line(i + 7))),
            (Side::A, Deed::Put(line(i + 5))),
            (Side::B, Deed::Put(line(i + 5))),
            (Side::B, Deed::Put(line(i + 11))),
        ],
        shown: false,
    };
    OWNERS.iter().enumerate().map(scene).collect()
}

fn profiles() -> Vec<Scene> {
    let live_in = |place: &str| Deed::Put(Bytes::from(format!("lives in {place}")));
    let scene = |key, acts, shown| Scene {
        bucket: "profiles",
        key,
        meaning: Meaning::Latest,
        before: Bytes::from_static(b"lives in Nairobi"),
        acts,
        shown,
    };
    let (a, b) = (Side::A, Side::B);
    vec![
        scene("alice", vec![(a, live_in("Lima")), (b, live_in("Oslo"))], true),
        scene("bob", vec![(b, live_in("Quito")), (a, live_in("Tunis"))], false),
        scene("carol", vec![(b, live_in("Perth")), (a, Deed::Delete)], true),
        scene("dave", vec![(a, Deed::Delete), (b, live_in("Dhaka"))], false),
        scene(
            "erin",
            vec![(a, live_in("Paris")), (b, live_in("Rome")), (a, live_in("Bern"))],
            false,
        ),
    ]
}

fn boards() -> Vec<Scene> {
    let scores = |scores: &[(&str, u32)]| {
        scores
            .iter()
            .map(|(player, score)| format!("{player}\t{score}\n"))
            .collect::<String>()
            .into()
    };
    let scene = |key, shift: u32, shown| Scene {
        bucket: "boards",
        key,
        meaning: Meaning::Best,
        before: scores(&[("ada", 40 + shift), ("bea", 35)]),
        acts: vec![
            (Side::A, Deed::Put(scores(&[("ada", 52), ("cyd", 31 + shift)]))),
            (Side::B, Deed::Put(scores(&[("bea", 47 + shift), ("ada", 45)]))),
            (Side::B, Deed::Put(scores(&[("dov", 50), ("cyd", 29)]))),
        ],
        shown,
    };
    vec![scene("spring", 0, true), scene("summer", 3, false), scene("autumn", 15, false)]
}

fn notes() -> Vec<Scene> {
    let put = |text: &'static str| Deed::Put(Bytes::from_static(text.as_bytes()));
    let scene = |key, acts, shown| Scene {
        bucket: "notes",
        key,
        meaning: Meaning::Siblings,
        before: Bytes::from_static(b"meet at noon"),
        acts,
        shown,
    };
    let (a, b) = (Side::A, Side::B);
    vec![
        scene("monday", vec![(a, put("meet at one")), (b, put("meet at two"))], true),
        scene("tuesday", vec![(a, Deed::Delete), (b, put("meet at nine"))], true),
        scene(
            "wednesday",
            vec![(a, put("meet at six")), (b, put("meet at ten")), (a, put("meet at seven"))],
            false,
        ),
        scene("thursday", vec![(b, put("no meeting"))], false),
        scene("friday", vec![(a, Deed::Delete), (b, Deed::Delete)], false),
    ]
}

impl Scene {
    /// The items that a read has to give when both sides know of each other again: no fewer, and no others.
    pub(crate) fn expected(&self) -> BTreeSet<Bytes> {
        let puts = self.acts.iter().filter_map(|(_, deed)| deed.value());
        let all = || [&self.before].into_iter().chain(puts);
        match self.meaning {
            Meaning::Union => all().flat_map(lines).collect(),
            Meaning::Best => {
                let mut best: BTreeMap<Bytes, u64> = BTreeMap::new();
                for line in all().flat_map(lines) {
                    if let Some((player, score)) = score(&line) {
                        best.entry(player).and_modify(|b| *b = score.max(*b)).or_insert(score);
                    }
                }
                best.into_iter()
                    .map(|(player, score)| {
                        [&player[..], format!("\t{score}").as_bytes()].concat().into()
                    })
                    .collect()
            }
            Meaning::Latest => {
                let last = self.acts.last().map_or(Some(&self.before), |(_, deed)| deed.value());
                last.into_iter().cloned().collect()
            }
            Meaning::Siblings => [Side::A, Side::B]
                .into_iter()
                .filter_map(|side| self.acts.iter().rfind(|(at, _)| *at == side))
                .filter_map(|(_, deed)| deed.value().cloned())
                .collect(),
        }
    }
}

impl Deed {
    pub(crate) fn value(&self) -> Option<&Bytes> {
        match self {
            Self::Put(value) => Some(value),
            Self::Delete => None,
        }
    }
}

impl Meaning {
    /// Is there at most one value, since a plugin merges?
    pub(crate) fn is_merged(self) -> bool {
        match self {
            Self::Union | Self::Best | Self::Latest => true,
            Self::Siblings => false,
        }
    }

    /// The items in the values that a read gave.
    pub(crate) fn items(self, values: &[Bytes]) -> BTreeSet<Bytes> {
        match self {
            Self::Union | Self::Best => values.iter().flat_map(lines).collect(),
            Self::Latest | Self::Siblings => values.iter().cloned().collect(),
        }
    }
}

fn lines(value: &Bytes) -> Vec<Bytes> {
    let lines = value.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| value.slice_ref(line)).collect()
}

fn score(line: &Bytes) -> Option<(Bytes, u64)> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let score = str::from_utf8(&line[tab + 1..]).ok()?.parse().ok()?;
    Some((line.slice(..tab), score))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(bucket: &str, key: &str) -> Vec<String> {
        let scene = scenes().into_iter().find(|s| s.bucket == bucket && s.key == key).unwrap();
        let text = |item: Bytes| String::from_utf8(item.to_vec()).unwrap();
        scene.expected().into_iter().map(text).collect()
    }

    #[test]
    fn what_has_to_be_read_follows_from_what_was_written() {
        assert_eq!(expected("carts", "alice"), ["apples", "cheese", "eggs", "honey", "pepper"]);
        assert_eq!(expected("profiles", "alice"), ["lives in Oslo"]);
        assert_eq!(expected("profiles", "carol"), [""; 0]);
        assert_eq!(expected("boards", "spring"), ["ada\t52", "bea\t47", "cyd\t31", "dov\t50"]);
        assert_eq!(expected("notes", "monday"), ["meet at one", "meet at two"]);
        assert_eq!(expected("notes", "tuesday"), ["meet at nine"]);
        assert_eq!(expected("notes", "wednesday"), ["meet at seven", "meet at ten"]);
        assert_eq!(expected("notes", "thursday"), ["no meeting"]);
        assert_eq!(expected("notes", "friday"), [""; 0]);
    }

    #[test]
    fn every_scene_has_a_bucket_and_every_bucket_but_the_atlas_is_shown() {
        let scenes = scenes();
        for (name, _) in buckets().iter().filter(|(name, _)| *name != ATLAS) {
            assert!(scenes.iter().any(|scene| scene.bucket == *name && scene.shown), "{name}");
        }
        assert!(scenes.iter().all(|s| buckets().iter().any(|(name, _)| *name == s.bucket)));
    }
}
