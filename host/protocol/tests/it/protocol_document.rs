//! Every byte example of `docs/PROTOCOL.md` is what the code makes and reads.
//!
//! An example is a code block that starts with ```` ```text example=NAME ````. After a change of the protocol, run the test
//! with `KINFOLD_BLESS=1` to have the blocks rewritten, and read the difference.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use kinfold_protocol::catalogue::Catalogue;
use kinfold_protocol::causality::{Content, Context, Digest, Dot, Marks, Object, Opened};
use kinfold_protocol::cbor;
use kinfold_protocol::config::{BucketConfig, Mode, Tombstones};
use kinfold_protocol::cursor::Cursor;
use kinfold_protocol::encoding::encode_context;
use kinfold_protocol::id::{Actor, BucketName, Key, NodeId, RequestId};
use kinfold_protocol::io::{Input, Output};
use kinfold_protocol::message::ballot::{BallotQuestion, BallotReply};
use kinfold_protocol::message::client::{
    BucketChange, Code, Conflict, Failure, Found, Get, List, Listed, Request, RequestHeader,
    Response, ResponseHeader, Write, Written,
};
use kinfold_protocol::message::exchange::{Answer, Question, Span};
use kinfold_protocol::message::explain::Explain;
use kinfold_protocol::message::frame::{Frame, PREFIX, Prefix};
use kinfold_protocol::message::listing::ListQuestion;
use kinfold_protocol::message::peer::{Envelope, Greeting, Message};
use kinfold_protocol::message::plugin::{
    ComponentState, FailedMerge, FailedSibling, Fetch, Fetched, Install, PluginRequest,
    PluginResponse,
};
use kinfold_protocol::ring::{Partition, Ring, Tree};
use kinfold_protocol::time::{Now, Time, Timestamp};

use crate::founded::first_of;

const DOT: Dot =
    Dot { time: Timestamp(1_700_000_000_000_000), actor: Actor(0x1122_3344_5566_7788) };
const REQUEST: RequestId = RequestId(*b"request id 16 by");

fn bucket() -> BucketName {
    BucketName::new("carts").unwrap()
}

fn context() -> Bytes {
    encode_context(&Context::of(DOT))
}

fn write() -> Write {
    Write {
        conditional: false,
        bucket: bucket(),
        key: Bytes::from_static(b"alice"),
        context: Some(context()),
        w: Some(2),
        request: REQUEST,
        ttl_ms: None,
    }
}

fn request(request: Request, body: &'static [u8]) -> Frame {
    let header = RequestHeader { layout: 1, deadline_ms: 5_000, trace: None, request };
    let frame = Frame::new(&header, vec![Bytes::from_static(body)]).unwrap();
    let again: RequestHeader = cbor::decode(&frame.head[PREFIX..]).unwrap();
    assert_eq!(again, header, "what is written can be read");
    frame
}

fn response(response: Response, body: &'static [u8]) -> Frame {
    let header = ResponseHeader { layout: 1, response };
    let frame = Frame::new(&header, vec![Bytes::from_static(body)]).unwrap();
    let again: ResponseHeader = cbor::decode(&frame.head[PREFIX..]).unwrap();
    assert_eq!(again, header, "what is written can be read");
    frame
}

fn explain() -> Explain {
    Explain { bucket: bucket(), key: Bytes::from_static(b"alice") }
}

fn plugin(asked: PluginRequest, body: &'static [u8]) -> Frame {
    request(Request::Plugin(asked), body)
}

fn component() -> Digest {
    Digest::of(b"(the component)")
}

fn exchange(question: Question) -> Frame {
    peer(Message::Exchange { ask: 9, question })
}

fn exchanged(answer: Answer) -> Frame {
    peer(Message::Exchanged { ask: 9, answer: Ok(answer) })
}

fn tree() -> Tree {
    Tree { partition: Partition(17), copies: 3 }
}

fn marks() -> Marks {
    [(DOT.actor, DOT.time)].into_iter().collect()
}

fn hello() -> Frame {
    let greeting = Greeting {
        actor: DOT.actor,
        upto: DOT.time,
        clear: true,
        number: 12,
        heard: Some((DOT.actor, 11)),
        before: None,
    };
    let catalogue = Catalogue::default().digest();
    peer(Message::Hello { catalogue, greeting: Some(greeting), progress: None })
}

fn held() -> Frame {
    let object = Object { marks: marks(), ..Object::default() };
    peer(Message::Held { ask: 7, object: Ok(object) })
}

fn span() -> Span {
    Span {
        tree: tree(),
        leaves: [300].into_iter().collect(),
        whole: false,
        after: None,
        upto: None,
    }
}

fn cursor() -> Bytes {
    let cursor = Cursor { partition: Partition(17), after: Some(Bytes::from_static(b"alice")) };
    cursor.encode(Ring::new(256).unwrap(), &bucket(), b"al")
}

fn ballot(question: BallotQuestion) -> Frame {
    let key = Key { bucket: bucket(), key: Bytes::from_static(b"alice") };
    peer(Message::Ballot { ask: 7, key, ballot: DOT, question })
}

fn replicate() -> Frame {
    let mut object = Object::default();
    let mut opened: Option<Opened> = None;
    let content = Content::value(Bytes::from(vec![b'm'; 70]));
    object.put(&Context::new(), DOT, content, REQUEST, &mut opened);
    let key = Key { bucket: bucket(), key: Bytes::from_static(b"alice") };
    peer(Message::Replicate { ask: 7, key, object })
}

fn peer(message: Message) -> Frame {
    let envelope = Envelope { layout: 1, wall: DOT.time, trace: None, message };
    let frame = envelope.clone().encode().unwrap();
    let again = Envelope::decode(&frame.head[PREFIX..], frame.body.concat().into()).unwrap();
    assert_eq!(again, envelope, "what is written can be read");
    frame
}

fn hint() -> Frame {
    let mut object = Object::default();
    object.put(&Context::new(), DOT, Content::Tombstone, REQUEST, &mut None);
    let key = Key { bucket: bucket(), key: Bytes::from_static(b"alice") };
    let message = Message::Hint { ask: 7, owner: NodeId(0x0102_0304_0506_0708), key, object };
    let envelope = Envelope { layout: 1, wall: DOT.time, trace: None, message };
    let frame = envelope.clone().encode().unwrap();
    let again = Envelope::decode(&frame.head[PREFIX..], frame.body.concat().into()).unwrap();
    assert_eq!(again, envelope, "what is written can be read");
    frame
}

/// The first datagram of a node.
fn announce() -> Vec<u8> {
    let now = Now { time: Time(0), wall: DOT.time };
    let mut node = first_of(2, DOT.actor, DOT.time);
    node.handle(now, Input::Tick);
    let outputs = std::iter::from_fn(|| node.poll_output());
    let datagram = |output| match output {
        Output::Datagram { to, bytes } => Some((to, bytes)),
        Output::Reply { .. }
        | Output::Send { .. }
        | Output::Store { .. }
        | Output::Merge { .. }
        | Output::Validate { .. }
        | Output::Plugins(_)
        | Output::Members(_)
        | Output::Refuse { .. }
        | Output::Alarm(_) => None,
    };
    let (to, bytes) = outputs.filter_map(datagram).next().unwrap();
    assert_eq!(to, NodeId(0x0202_0202_0202_0202));
    bytes.to_vec()
}

fn examples() -> BTreeMap<&'static str, Vec<u8>> {
    let lattice = BucketConfig {
        mode: Mode::Lattice { plugin: "set-union".into(), tombstones: Tombstones::Reset },
        ..BucketConfig::default()
    };
    let get =
        Get { bucket: bucket(), key: Bytes::from_static(b"alice"), r: None, consistency: None };
    let found = Found {
        context: context(),
        values: vec![10],
        expires: vec![],
        deleted: false,
        merged: true,
        merge_failure: None,
        owners: 2,
        fallbacks: 0,
    };
    let list = List {
        bucket: bucket(),
        prefix: Bytes::from_static(b"al"),
        limit: 100,
        cursor: None,
        r: None,
    };
    let question = ListQuestion {
        partition: Partition(17),
        copies: 3,
        bucket: bucket(),
        prefix: Bytes::from_static(b"al"),
        after: None,
        limit: 101,
    };
    let failure = Failure::new(Code::UnknownBucket, "there is no bucket `carts`");
    let install = Install { seed: 1, cases: 256, config: Bytes::new(), sample: Some(bucket()) };
    let frames = [
        ("put-request", request(Request::Put(write()), b"milk\n")),
        (
            "put-response",
            response(
                Response::Written(Written { context: context(), owners: 2, fallbacks: 0 }),
                b"",
            ),
        ),
        (
            "conditional-put-request",
            request(Request::Put(Write { conditional: true, w: None, ..write() }), b"milk\n"),
        ),
        (
            "conflict-response",
            response(
                Response::Conflict(Conflict { found: found.clone(), settled: true }),
                b"eggs\nmilk\n",
            ),
        ),
        (
            "expiring-put-request",
            request(Request::Put(Write { ttl_ms: Some(600_000), w: None, ..write() }), b"milk\n"),
        ),
        (
            "expiring-get-response",
            response(
                Response::Found(Found {
                    values: vec![5],
                    expires: vec![1_700_000_600_000],
                    merged: false,
                    ..found.clone()
                }),
                b"milk\n",
            ),
        ),
        ("list-request", request(Request::List(list), b"")),
        (
            "listed-response",
            response(
                Response::Listed(Listed {
                    keys: vec![Bytes::from_static(b"alice")],
                    cursor: Some(cursor()),
                }),
                b"",
            ),
        ),
        ("peer-list", peer(Message::List { ask: 7, question })),
        ("ballot-prepare", ballot(BallotQuestion::Prepare)),
        (
            "balloted-promised",
            peer(Message::Balloted {
                ask: 7,
                ballot: DOT,
                reply: Ok(BallotReply::Promised {
                    accepted: Some(DOT),
                    proposal: None,
                    object: Object { context: Context::of(DOT), ..Object::default() },
                }),
            }),
        ),
        ("get-request", request(Request::Get(get), b"")),
        ("get-response", response(Response::Found(found), b"eggs\nmilk\n")),
        ("delete-request", request(Request::Delete(write()), b"")),
        (
            "bucket-create-request",
            request(
                Request::BucketCreate(BucketChange {
                    bucket: bucket(),
                    config: lattice,
                    force: false,
                }),
                b"",
            ),
        ),
        ("explain-request", request(Request::Explain(explain()), b"")),
        ("layout-request", request(Request::Layout, b"")),
        ("plugin-install-request", plugin(PluginRequest::Install(install), b"(the component)")),
        ("plugin-list-request", plugin(PluginRequest::List, b"")),
        ("plugin-rollback-request", plugin(PluginRequest::Rollback { bucket: bucket() }, b"")),
        (
            "plugin-failures-request",
            plugin(PluginRequest::Failures { plugin: "cart@0.1.0".to_owned() }, b""),
        ),
        (
            "plugin-failures-response",
            response(Response::Plugin(PluginResponse::Failures(vec![failed()])), b"milk"),
        ),
        (
            "plugin-changed-response",
            response(Response::Plugin(PluginResponse::Changed { missing: vec![NodeId(7)] }), b""),
        ),
        ("component-ask", peer(Message::ComponentAsk { ask: 7, component: component() })),
        ("component-state", peer(Message::ComponentState { ask: 7, state: ComponentState::Ready })),
        ("fetch", Frame::new(&Fetch { component: component() }, Vec::new()).unwrap()),
        (
            "fetched",
            Frame::new(&Fetched { found: true }, vec![Bytes::from_static(b"(the component)")])
                .unwrap(),
        ),
        ("failed-response", response(Response::Failed(failure), b"")),
        ("replicate", replicate()),
        ("hint", hint()),
        ("exchange-roots", exchange(Question::Roots(vec![(tree(), 0x0123_4567_89ab_cdef)]))),
        ("exchanged-roots", exchanged(Answer::Roots(vec![tree()]))),
        ("exchange-branches", exchange(Question::Branches(tree()))),
        (
            "exchanged-branches",
            exchanged(Answer::Branches { digests: vec![0; 32], actor: DOT.actor, marks: marks() }),
        ),
        (
            "exchange-marks",
            exchange(Question::Marks { actor: DOT.actor, marks: vec![(tree(), marks())] }),
        ),
        ("exchanged-marks", exchanged(Answer::Marks)),
        ("hello", hello()),
        ("held-with-marks", held()),
        ("exchange-leaves", exchange(Question::Leaves(tree(), [9].into_iter().collect()))),
        ("exchange-heads", exchange(Question::Heads { span: span(), prints: vec![0xfedc] })),
        (
            "exchanged-heads",
            exchanged(Answer::Heads {
                upto: None,
                heads: Vec::new(),
                missing: vec![0xfedc],
                pace: 1 << 25,
            }),
        ),
    ];
    let mut all: BTreeMap<_, _> = frames
        .into_iter()
        .map(|(name, frame)| (name, [&frame.head[..], &frame.body.concat()].concat()))
        .collect();
    all.insert("context", context().to_vec());
    all.insert("announce", announce());
    all
}

/// A merge that a plugin failed on: of a delete and a value.
fn failed() -> FailedMerge {
    let sibling = |time, size| FailedSibling { time, size };
    FailedMerge {
        at_ms: 1_700_000_000_000,
        times: 2,
        component: component(),
        bucket: "carts".to_owned(),
        key: Bytes::from_static(b"alice"),
        config: Bytes::new(),
        failure: "the plugin used up its fuel".to_owned(),
        siblings: vec![sibling(7, None), sibling(8, Some(4))],
    }
}

/// Sixteen bytes a line, in hexadecimal.
fn dump(bytes: &[u8]) -> String {
    bytes
        .chunks(16)
        .map(|line| line.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ") + "\n")
        .collect()
}

fn document() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/PROTOCOL.md")
}

#[test]
fn every_example_is_what_the_code_makes() {
    let text = std::fs::read_to_string(document()).unwrap();
    let mut blessed = String::new();
    let mut left = examples();
    let mut rest = text.as_str();
    let start = "```text example=";
    while let Some(at) = rest.find(start) {
        let after = &rest[at + start.len()..];
        let (name, after) = after.split_once('\n').unwrap();
        let end = after.find("```").unwrap();
        let bytes = left.remove(name).unwrap_or_else(|| panic!("no code makes the example {name}"));
        blessed.push_str(&rest[..at]);
        blessed.push_str(&format!("{start}{name}\n{}", dump(&bytes)));
        if std::env::var_os("KINFOLD_BLESS").is_none() {
            assert_eq!(&after[..end], dump(&bytes), "the example {name} of docs/PROTOCOL.md");
        }
        rest = &after[end..];
    }
    blessed.push_str(rest);
    assert!(left.is_empty(), "examples that the document lacks: {:?}", left.keys());
    if std::env::var_os("KINFOLD_BLESS").is_some() {
        std::fs::write(document(), blessed).unwrap();
    }
}

#[test]
fn the_prefix_is_two_lengths() {
    let bare = ["context", "announce"];
    for (name, bytes) in examples().into_iter().filter(|(name, _)| !bare.contains(name)) {
        let prefix = Prefix::decode(bytes[..PREFIX].try_into().unwrap()).unwrap();
        assert_eq!(PREFIX + prefix.header as usize + prefix.body as usize, bytes.len(), "{name}");
    }
}
