//! What comes over the network: frames, messages of clients and of peers, datagrams, and texts that are parsed on their way.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use bytes::Bytes;
use kinfold_protocol::catalogue::{Catalogue, Release};
use kinfold_protocol::cbor;
use kinfold_protocol::config::Limits;
use kinfold_protocol::id::{Actor, BucketName, NodeId};
use kinfold_protocol::io::Input;
use kinfold_protocol::layout::{Layout, Member};
use kinfold_protocol::life::Life;
use kinfold_protocol::message::client::{RequestHeader, ResponseHeader};
use kinfold_protocol::message::frame::{PREFIX, Prefix};
use kinfold_protocol::message::peer::Envelope;
use kinfold_protocol::message::plugin::{Fetch, Fetched};
use kinfold_protocol::node::{Boot, Node};
use kinfold_protocol::record::{Kept, Record};
use kinfold_protocol::ring::Ring;
use kinfold_protocol::time::{Now, Time, Timestamp};
use kinfold_protocol::trace::TraceContext;
use kinfold_values::{Cart, Counter, Document, Max, OrSet, Set, Value};

use crate::Target;
use crate::document::examples;

/// The last moment of the clock of the node that is spoken to.
const NOW: Now = Now { time: Time(1_000), wall: Timestamp(1_700_000_000_000_000) };

const ME: NodeId = NodeId(0x0101_0101_0101_0101);
const PEER: NodeId = NodeId(0x0202_0202_0202_0202);

pub(crate) fn targets() -> Vec<Target> {
    let target = |name, run, seeds| Target {
        name,
        run,
        seeds,
        constant: 64 * 1024,
        factor: 64,
        tries: 20_000,
    };
    vec![
        target("frame", frame, frames),
        target("request", request, || headers(|name| name.ends_with("-request"))),
        target("response", response, || headers(|name| name.ends_with("-response"))),
        target("peer", peer, frames),
        target("component-fetch", fetch, || headers(|name| name.starts_with("fetch"))),
        // A node of its own for each: what it holds by itself counts, too.
        Target { constant: 1024 * 1024, tries: 2_000, ..target("datagram", datagram, datagrams) },
        Target { constant: 1024 * 1024, tries: 4_000, ..target("node", node, conversations) },
        target("text", text, texts),
        target("value", value, values),
    ]
}

fn frames() -> Vec<Vec<u8>> {
    examples(|name| name != "context" && name != "announce")
}

/// Frames without their lengths and bodies.
fn headers(wanted: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let header = |frame: Vec<u8>| {
        let (prefix, rest) = split(&frame).unwrap();
        rest[..prefix.header as usize].to_vec()
    };
    examples(wanted).into_iter().map(header).collect()
}

fn split(bytes: &[u8]) -> Option<(Prefix, &[u8])> {
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX>()?;
    Some((Prefix::decode(*prefix).ok()?, rest))
}

fn frame(bytes: &[u8]) {
    if let Some((prefix, _)) = split(bytes) {
        let again = [prefix.header.to_be_bytes(), prefix.body.to_be_bytes()].concat();
        assert_eq!(again, bytes[..PREFIX]);
    }
}

/// What was understood is understood again when it is written.
macro_rules! header {
    ($function:ident, $($kind:ty),+) => {
        fn $function(bytes: &[u8]) {
            $(if let Ok(header) = cbor::decode::<$kind>(bytes) {
                let again = cbor::decode::<$kind>(&cbor::encode(&header));
                assert_eq!(again.as_ref(), Ok(&header));
            })+
        }
    };
}

header!(request, RequestHeader);
header!(response, ResponseHeader);
header!(fetch, Fetch, Fetched);

fn envelope(bytes: &[u8]) -> Option<Envelope> {
    let (prefix, rest) = split(bytes)?;
    let (header, body) = rest.split_at_checked(prefix.header as usize)?;
    Envelope::decode(header, Bytes::copy_from_slice(body)).ok()
}

fn peer(bytes: &[u8]) {
    if let Some(envelope) = envelope(bytes) {
        let frame = envelope.clone().encode().unwrap();
        let again = Envelope::decode(&frame.head[PREFIX..], frame.body.concat().into()).unwrap();
        assert_eq!(again, envelope);
    }
}

/// A node of two, at the beginning of its life.
fn fresh() -> Node {
    let member = |id: NodeId, name: &str| Member {
        id,
        name: name.into(),
        address: format!("{name}:1"),
        zone: String::new(),
        capacity: 1,
    };
    let members = vec![member(ME, "n1"), member(PEER, "n2")];
    let life = Life::begin(None, Actor(7), NOW.wall);
    let layout = Layout::compute(members, Ring::new(8).unwrap(), 2, None).unwrap();
    let boot = Boot {
        id: ME,
        cluster: "c".into(),
        version: "0".into(),
        life,
        clock: life.clock(None),
        ring: Kept::new(Record::founding(layout)),
        catalogue: Catalogue::default(),
        debts: BTreeMap::new(),
        lost: BTreeSet::new(),
        met: BTreeMap::new(),
        limits: Limits::default(),
        seed: 1,
    };
    Node::new(boot, NOW)
}

/// Says something to a node, and lets time pass after each.
fn say(inputs: impl IntoIterator<Item = Input>) {
    let mut node = fresh();
    let mut now = NOW;
    for input in inputs {
        node.handle(now, input);
        while node.poll_output().is_some() {}
        now.time = node.deadline().unwrap_or(now.time).max(now.time);
        node.handle(now, Input::Tick);
        while node.poll_output().is_some() {}
    }
}

/// Well-formed messages that no honest node would send must not stop the node that they come to: frame after frame, eight at most.
fn node(bytes: &[u8]) {
    let mut rest = bytes;
    let frames = iter::from_fn(|| {
        let (prefix, after) = split(rest)?;
        let length = (prefix.header as usize).saturating_add(prefix.body as usize);
        let (frame, after) = rest.split_at(PREFIX + length.min(after.len()));
        rest = after;
        Some(envelope(frame))
    });
    say(frames.flatten().take(8).map(|envelope| Input::Peer { from: PEER, envelope }));
}

/// Single frames, neighbours, and all of them: the second meets what the first left.
fn conversations() -> Vec<Vec<u8>> {
    let one: Vec<_> = frames().into_iter().filter(|frame| envelope(frame).is_some()).collect();
    let two = one.windows(2).map(<[Vec<u8>]>::concat);
    two.chain(iter::once(one.concat())).chain(one.clone()).collect()
}

fn datagram(bytes: &[u8]) {
    say([Input::Datagram { from: PEER, bytes: Bytes::copy_from_slice(bytes) }]);
}

fn datagrams() -> Vec<Vec<u8>> {
    examples(|name| name == "announce")
}

fn text(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(context) = text.parse::<TraceContext>() {
        assert_eq!(context.to_string().parse(), Ok(context));
    }
    if let Ok(name) = BucketName::new(text) {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(release) = Release::parse(text) {
        assert_eq!(Release::parse(release.to_string()), Ok(release));
    }
}

fn texts() -> Vec<Vec<u8>> {
    let texts = [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "carts",
        "a.b_c-D",
        "cart@1.0.0",
        "cart@1.0.0-beta+5",
    ];
    texts.map(Vec::from).to_vec()
}

/// What the shipped plugins and the client's SDK read.
fn value(bytes: &[u8]) {
    fn of<V: Value>(bytes: &[u8]) {
        if let Ok(mut value) = V::parse(bytes) {
            let written = value.to_bytes();
            let again = V::parse(&written).unwrap();
            assert_eq!(again.to_bytes(), written);
            value.join(again);
            assert_eq!(value.to_bytes(), written, "a join with itself changes nothing");
        }
    }
    of::<Cart>(bytes);
    of::<Counter>(bytes);
    of::<Document>(bytes);
    of::<Max>(bytes);
    of::<OrSet>(bytes);
    of::<Set>(bytes);
}

fn values() -> Vec<Vec<u8>> {
    let mut cart = Cart::default();
    cart.set("milk", 2);
    let mut set = Set::default();
    set.add("bread");
    let mut items = OrSet::default();
    items.add("one", 1, "milk");
    items.remove("milk");
    let mut document = Document::default();
    let json = r#"{"a": [1, -2.5e3, "\u00e9\n"], "b": {"c": null, "d": true}}"#;
    document.set(&["x", "y"], json.parse().unwrap(), 7);
    document.remove(&["x"], 8);
    let mut counter = Counter::default();
    counter.add("one", -5);
    vec![
        cart.to_bytes(),
        set.to_bytes(),
        items.to_bytes(),
        document.to_bytes(),
        counter.to_bytes(),
        b"-42\n".to_vec(),
    ]
}
