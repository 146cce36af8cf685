//! Compares what every node answers with what has to be there.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use kinfold_client::Found;

use super::records::Record;
use super::script::{ATLAS, Meaning, Scene};

/// What has to be read of a key.
#[derive(Clone, Debug)]
pub(crate) struct Expectation {
    pub(crate) bucket: &'static str,
    pub(crate) key: Bytes,
    pub(crate) meaning: Meaning,
    pub(crate) items: BTreeSet<Bytes>,
}

/// What a node answered.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Through which node, and whether it was asked alone.
    pub(crate) node: &'static str,
    pub(crate) values: Vec<Bytes>,
    /// Why the plugin did not merge, where it should have.
    pub(crate) merge_failure: Option<String>,
}

/// Something that is not as it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// A write was acknowledged and is not there.
    #[error("{at}: {item} was acknowledged and is missing")]
    Missing { at: Place, item: Text },
    /// Something is there that nobody wrote, or that was replaced or deleted.
    #[error("{at}: {item} is there and should not be")]
    Surplus { at: Place, item: Text },
    /// A bucket with a plugin gave several values.
    #[error("{at}: {values} values are not merged: {why}")]
    Unmerged { at: Place, values: usize, why: String },
    /// Two nodes gave different answers.
    #[error("{at}: the answer differs from that of {other}")]
    Disagreement { at: Place, other: &'static str },
    /// A node has not heard of another after the healing.
    #[error("{0}")]
    Apart(String),
    /// Too few reads were made.
    #[error("{bucket}/{key}: {readings} of {wanted} reads were made")]
    Unread { bucket: &'static str, key: Text, readings: usize, wanted: usize },
}

/// A key at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bucket: &'static str,
    pub(crate) key: Text,
    pub(crate) node: &'static str,
}

/// Bytes for people: short, and on one line.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Bytes);

impl Reading {
    pub(crate) fn new(node: &'static str, found: Found) -> Self {
        Self { node, values: found.values, merge_failure: found.merge_failure }
    }
}

impl Expectation {
    pub(crate) fn of(scene: &Scene) -> Self {
        Self {
            bucket: scene.bucket,
            key: Bytes::from_static(scene.key.as_bytes()),
            meaning: scene.meaning,
            items: scene.expected(),
        }
    }

    pub(crate) fn of_record(record: Record) -> Self {
        let (key, items) = (record.key, [record.value].into());
        Self { bucket: ATLAS, key, meaning: Meaning::Siblings, items }
    }

    /// All that is wrong with the readings, of which there should be `wanted`.
    pub(crate) fn check(&self, readings: &[Reading], wanted: usize) -> Vec<Fault> {
        let key = Text(self.key.clone());
        let mut faults = Vec::new();
        if readings.len() != wanted {
            let (bucket, key, readings) = (self.bucket, key.clone(), readings.len());
            faults.push(Fault::Unread { bucket, key, readings, wanted });
        }
        for reading in readings {
            let at = || Place { bucket: self.bucket, key: key.clone(), node: reading.node };
            let found = self.meaning.items(&reading.values);
            let items = |a: &BTreeSet<Bytes>, b: &BTreeSet<Bytes>| -> Vec<Text> {
                a.difference(b).cloned().map(Text).collect()
            };
            faults.extend(
                items(&self.items, &found)
                    .into_iter()
                    .map(|item| Fault::Missing { at: at(), item }),
            );
            faults.extend(
                items(&found, &self.items)
                    .into_iter()
                    .map(|item| Fault::Surplus { at: at(), item }),
            );
            if self.meaning.is_merged() && reading.values.len() > 1 {
                let why = reading.merge_failure.clone();
                let why = why.unwrap_or_else(|| "the node says no reason".to_owned());
                faults.push(Fault::Unmerged { at: at(), values: reading.values.len(), why });
            }
        }
        if let [first, others @ ..] = readings {
            let sorted =
                |reading: &Reading| reading.values.iter().cloned().collect::<BTreeSet<_>>();
            for other in others.iter().filter(|other| sorted(other) != sorted(first)) {
                let at = Place { bucket: self.bucket, key: key.clone(), node: other.node };
                faults.push(Fault::Disagreement { at, other: first.node });
            }
        }
        faults
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} through {}", self.bucket, self.key, self.node)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 48;
        let shown = self.0.get(..LONGEST).unwrap_or(&self.0);
        let more = if shown.len() < self.0.len() { "..." } else { "" };
        write!(f, "`{}{more}`", shown.escape_ascii())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::script::scenes;

    const NODES: [&str; 3] = ["n1", "n2", "n3"];

    /// An expectation and the three equal readings that meet it.
    fn met(bucket: &str, key: &str) -> (Expectation, Vec<Reading>) {
        let scene = scenes().into_iter().find(|s| s.bucket == bucket && s.key == key).unwrap();
        let expectation = Expectation::of(&scene);
        let items = expectation.items.iter();
        let values = match scene.meaning {
            Meaning::Union | Meaning::Best => {
                vec![items.flat_map(|item| [&item[..], b"\n"].concat()).collect()]
            }
            Meaning::Latest | Meaning::Siblings => items.cloned().collect(),
        };
        let reading = |node| Reading { node, values: values.clone(), merge_failure: None };
        (expectation, NODES.map(reading).to_vec())
    }

    fn said(expectation: &Expectation, readings: &[Reading]) -> Vec<String> {
        expectation.check(readings, 3).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_has_to_be_there_and_is_there_is_no_fault() {
        for scene in scenes() {
            let (expectation, readings) = met(scene.bucket, scene.key);
            assert_eq!(said(&expectation, &readings), [""; 0]);
        }
    }

    #[test]
    fn an_item_that_a_node_lost_is_named() {
        let (expectation, mut readings) = met("carts", "alice");
        readings[1].values = vec![Bytes::from_static(b"apples\ncheese\neggs\npepper\n")];
        assert_eq!(
            said(&expectation, &readings),
            [
                "carts/`alice` through n2: `honey` was acknowledged and is missing",
                "carts/`alice` through n2: the answer differs from that of n1"
            ]
        );
    }

    #[test]
    fn an_item_that_all_nodes_lost_is_named_three_times() {
        let (expectation, mut readings) = met("boards", "spring");
        for reading in &mut readings {
            reading.values = vec![Bytes::from_static(b"ada\t52\nbea\t47\ndov\t50\ncyd\t29\n")];
        }
        let said = said(&expectation, &readings);
        assert_eq!(said.len(), 6, "{said:?}");
        assert!(said[0].contains("`cyd\\t31` was acknowledged and is missing"), "{said:?}");
        assert!(said[1].contains("`cyd\\t29` is there and should not be"), "{said:?}");
    }

    #[test]
    fn what_was_deleted_or_replaced_must_not_come_back() {
        for (bucket, key, old) in
            [("profiles", "carol", "lives in Perth"), ("notes", "tuesday", "meet at noon")]
        {
            let (expectation, mut readings) = met(bucket, key);
            readings[2].values.push(Bytes::from_static(old.as_bytes()));
            let said = said(&expectation, &readings);
            assert!(
                said[0].ends_with(&format!("n3: `{old}` is there and should not be")),
                "{said:?}"
            );
        }
    }

    #[test]
    fn siblings_where_a_plugin_should_have_merged_are_a_fault() {
        let (expectation, mut readings) = met("carts", "bob");
        for reading in &mut readings {
            reading.values = expectation.items.iter().cloned().collect();
            reading.merge_failure = Some("the plugin trapped".to_owned());
        }
        let said = said(&expectation, &readings);
        assert_eq!(said.len(), 3);
        assert!(said[0].ends_with("5 values are not merged: the plugin trapped"), "{said:?}");
    }

    #[test]
    fn a_read_that_was_not_made_is_a_fault() {
        let (expectation, readings) = met("notes", "monday");
        assert_eq!(said(&expectation, &readings[..2]), ["notes/`monday`: 2 of 3 reads were made"]);
    }
}
