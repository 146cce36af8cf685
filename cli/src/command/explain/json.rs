//! An explanation for programs.

use std::collections::BTreeMap;

use bytes::Bytes;
use kinfold_client::explain::{self, Explanation};
use kinfold_client::{Context, Digest, Discarded, Dot, Mode, Timestamp};
use serde::Serialize;

use super::names::{Names, hex, time};
use super::origin;
use crate::bytes_text::JsonBytes;

type Values = BTreeMap<Digest, Bytes>;

#[derive(Serialize)]
pub(super) struct Json {
    partition: u32,
    mode: Mode,
    owners: Vec<String>,
    silent: BTreeMap<String, String>,
    others_without: u32,
    versions: Vec<Version>,
    replicas: Vec<Replica>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merge: Option<Merge>,
}

#[derive(Serialize)]
struct Write {
    time: String,
    micros: u64,
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
}

#[derive(Serialize)]
struct Version {
    written: Write,
    tombstone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    bytes: u32,
    stands: bool,
    held_by: Vec<String>,
    let_go_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    covers: Vec<Interval>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<JsonBytes>,
}

#[derive(Serialize)]
struct Interval {
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    from: String,
    to: String,
}

#[derive(Serialize)]
struct Replica {
    node: String,
    owner: bool,
    actor: String,
    former_actors: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    has_seen: Option<Vec<Interval>>,
    /// Indices into the versions.
    holds: Vec<u32>,
    keeps_for: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discarded: Option<Vec<Gone>>,
}

#[derive(Serialize)]
struct Gone {
    at: String,
    written: Write,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    bytes: u32,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gave_way_to: Option<Write>,
}

#[derive(Serialize)]
struct Merge {
    plugin: String,
    inputs: Vec<Input>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    delete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    equals_input: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<JsonBytes>,
    /// Where the lines of the value came from, where it has lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<Line>>,
}

#[derive(Serialize)]
struct Input {
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Indices into the versions.
    versions: Vec<u32>,
}

#[derive(Serialize)]
struct Line {
    text: String,
    inputs: Vec<usize>,
}

impl Json {
    pub(super) fn new(told: &Explanation, values: &Values, names: &Names) -> Self {
        let list = |nodes: &[_]| nodes.iter().map(|node| names.node(*node)).collect();
        let versions = (0..).zip(&told.versions).map(|(at, version)| Version {
            written: write(version.dot, names),
            tombstone: version.digest.is_none(),
            digest: version.digest.as_ref().map(hex),
            bytes: version.len,
            stands: version.stands,
            held_by: told
                .replicas
                .iter()
                .filter(|replica| replica.holds.contains(&at))
                .map(|replica| names.node(replica.node))
                .collect(),
            let_go_by: list(&version.gone_at),
            expires: version.expires.map(|at| time(Timestamp(at.0.saturating_mul(1_000)))),
            covers: intervals(&version.covers, names),
            value: version.digest.and_then(|d| values.get(&d)).map(|v| JsonBytes::new(v)),
        });
        let replicas = told.replicas.iter().map(|replica| Replica {
            node: names.node(replica.node),
            owner: told.owners.contains(&replica.node),
            actor: replica.actor.to_string(),
            former_actors: replica.former.iter().map(ToString::to_string).collect(),
            has_seen: replica.context.as_ref().map(|context| intervals(context, names)),
            holds: replica.holds.clone(),
            keeps_for: replica.owed.iter().map(|owed| names.node(owed.owner)).collect(),
            discarded: replica
                .discarded
                .as_ref()
                .map(|all| all.iter().map(|(at, gone)| gone_of(*at, gone, names)).collect()),
        });
        Self {
            partition: told.partition,
            mode: told.mode.clone(),
            owners: list(&told.owners),
            silent: told.silent.iter().map(|(n, why)| (names.node(*n), why.clone())).collect(),
            others_without: told.empty_handed,
            versions: versions.collect(),
            replicas: replicas.collect(),
            merge: told.merge.as_ref().map(|merge| Merge::new(merge, values)),
        }
    }
}

impl Merge {
    fn new(merge: &explain::Merge, values: &Values) -> Self {
        let mut json = Self {
            plugin: merge.plugin.clone(),
            inputs: merge
                .inputs
                .iter()
                .map(|i| Input { digest: i.digest.as_ref().map(hex), versions: i.versions.clone() })
                .collect(),
            failure: None,
            delete: false,
            digest: None,
            equals_input: None,
            value: None,
            lines: None,
        };
        match &merge.outcome {
            explain::Outcome::Failed(why) => json.failure = Some(why.clone()),
            explain::Outcome::Delete => json.delete = true,
            explain::Outcome::Value { digest, equals, .. } => {
                json.digest = Some(hex(digest));
                json.equals_input = *equals;
                let value = values.get(digest);
                json.value = value.map(|value| JsonBytes::new(value));
                json.lines = value.and_then(|value| lines(value, merge, values));
            }
        }
        json
    }
}

fn lines(result: &Bytes, merge: &explain::Merge, values: &Values) -> Option<Vec<Line>> {
    let bytes = merge.inputs.iter().map(|input| match &input.digest {
        None => Some(None),
        Some(digest) => values.get(digest).map(|value| Some(value.as_ref())),
    });
    let inputs: Vec<Option<&[u8]>> = bytes.collect::<Option<_>>()?;
    let lines = origin::lines(result, &inputs)?;
    let line = |line: origin::Line<'_>| Line { text: line.text.to_owned(), inputs: line.inputs };
    Some(lines.into_iter().map(line).collect())
}

fn write(dot: Dot, names: &Names) -> Write {
    let Dot { time: at, actor } = dot;
    Write { time: time(at), micros: at.0, actor: actor.to_string(), node: names.of(actor) }
}

fn intervals(context: &Context, names: &Names) -> Vec<Interval> {
    let intervals = context.intervals().iter().map(|interval| Interval {
        actor: interval.actor.to_string(),
        node: names.of(interval.actor),
        from: time(interval.from),
        to: time(interval.to),
    });
    intervals.collect()
}

fn gone_of(at: Timestamp, gone: &Discarded, names: &Names) -> Gone {
    Gone {
        at: time(at),
        written: write(gone.dot, names),
        digest: gone.digest.as_ref().map(hex),
        bytes: gone.len,
        reason: gone.reason.word(),
        gave_way_to: gone.by.map(|dot| write(dot, names)),
    }
}
