//! Messages between nodes. ALPN `kinfold-peer/1`: one way each, matched by a number.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use alloc::collections::BTreeMap;

use crate::catalogue::{BucketEntry, Catalogue, PluginEntry, Release, StagedEntry};
use crate::causality::{Ballot, Digest, Object};
use crate::cbor::{self, CborError};
use crate::encoding::{DecodeError, ObjectRecord};
use crate::id::{Actor, BucketName, Key, NodeId};
use crate::message::ballot::{BallotQuestion, BallotReply, WireBallotQuestion, WireBallotReply};
use crate::message::client::{RequestHeader, ResponseHeader};
use crate::message::exchange::{Answer, Question, WireAnswer, WireQuestion};
use crate::message::explain::{Account, WireAccount};
use crate::message::frame::{Frame, FrameError};
use crate::message::listing::{KeyPage, ListQuestion};
use crate::message::plugin::ComponentState;
use crate::message::vote::{Progress, VoteQuestion, VoteReply};
use crate::record::Record;
use crate::ring::Partition;
use crate::time::Timestamp;
use crate::trace::TraceContext;

/// Values up to so many bytes go in a message's header.
const INLINE: u32 = 64;

/// A message between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The version of the ring's record that the sender acts by.
    pub layout: u64,
    /// What the sender's wall clock says.
    pub wall: Timestamp,
    /// The trace that it belongs to, and the span that caused it, where one is recorded. The core neither reads nor sets it.
    pub trace: Option<TraceContext>,
    /// The message.
    pub message: Message,
}

/// What a node says to a node. Answers carry the number of what they answer, which the asker chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A greeting, sent every so often.
    Hello {
        /// Digest of the sender's catalogue.
        catalogue: Digest,
        /// What the sender says of its present life; none from a node that does not know of this.
        greeting: Option<Greeting>,
        /// How far the sender has come with the ring's record; none from a node that does not know of this.
        progress: Option<Progress>,
    },
    /// Asks for the ring's record.
    RecordPull,
    /// The ring's record, as the sender knows it.
    Record(Record),
    /// A question of a ballot on the ring's next record.
    Vote {
        /// Its number.
        ask: u64,
        /// The version of the record that is voted on.
        version: u64,
        /// The ballot.
        ballot: Ballot,
        /// What is asked.
        question: VoteQuestion,
    },
    /// The answer to a question of a ballot on the ring's next record.
    Voted {
        /// Number of the question.
        ask: u64,
        /// The ballot.
        ballot: Ballot,
        /// The answer.
        reply: VoteReply,
    },
    /// Asks for the catalogue.
    CataloguePull,
    /// The sender's catalogue; `ask` is answered with [`Message::CatalogueHave`] once it is durable.
    Catalogue {
        /// Number of the question; none if no answer is wanted.
        ask: Option<u64>,
        /// The catalogue.
        catalogue: Catalogue,
    },
    /// Asks whether the receiver can merge with a component.
    ComponentAsk {
        /// Number of the question.
        ask: u64,
        /// The hash of its bytes.
        component: Digest,
    },
    /// How the sender is with a component.
    ComponentState {
        /// Number of the question.
        ask: u64,
        /// How it is.
        state: ComponentState,
    },
    /// The catalogue is joined and durable.
    CatalogueHave {
        /// Number of the question.
        ask: u64,
    },
    /// An object to be joined and kept.
    Replicate {
        /// Number of the question.
        ask: u64,
        /// The key.
        key: Key,
        /// What the sender holds.
        object: Object,
    },
    /// An object to be joined and kept for an owner that does not answer. Answered as [`Message::Replicate`].
    Hint {
        /// Number of the question.
        ask: u64,
        /// The owner that the receiver stands in for.
        owner: NodeId,
        /// The key.
        key: Key,
        /// What the sender holds.
        object: Object,
    },
    /// The object is joined and durable, or was refused.
    Replicated {
        /// Number of the question.
        ask: u64,
        /// Why not.
        refused: Option<Refusal>,
    },
    /// Asks for a key.
    Read {
        /// Number of the question.
        ask: u64,
        /// The key.
        key: Key,
        /// With the bytes of all values?
        bodies: bool,
    },
    /// What is held of a key.
    Held {
        /// Number of the question.
        ask: u64,
        /// The object, empty if there is none; or why it is not known.
        object: Result<Object, Refusal>,
    },
    /// A client's request, passed on to an owner.
    Forward {
        /// Number of the question.
        ask: u64,
        /// The request.
        header: RequestHeader,
        /// Its body.
        body: Bytes,
    },
    /// The answer to a client's request that was passed on.
    Forwarded {
        /// Number of the question.
        ask: u64,
        /// The answer.
        header: ResponseHeader,
        /// Its body.
        body: Vec<Bytes>,
    },
    /// Asks what is held of a key, and what was discarded, for people.
    Explain {
        /// Number of the question.
        ask: u64,
        /// The key.
        key: Key,
    },
    /// What is held of a key, or why that is not told.
    Explained {
        /// Number of the question.
        ask: u64,
        /// What is held.
        account: Result<Account, Refusal>,
    },
    /// A question of an exchange.
    Exchange {
        /// Its number.
        ask: u64,
        /// What is asked.
        question: Question,
    },
    /// The answer to a question of an exchange, or why there is none.
    Exchanged {
        /// Number of the question.
        ask: u64,
        /// The answer.
        answer: Result<Answer, Refusal>,
    },
    /// Asks for keys of a partition.
    List {
        /// Number of the question.
        ask: u64,
        /// Which keys.
        question: ListQuestion,
    },
    /// Keys of a partition.
    Keys {
        /// Number of the question.
        ask: u64,
        /// The partition.
        partition: Partition,
        /// The keys, or why they are not known.
        page: Result<KeyPage, Refusal>,
    },
    /// A question of a ballot on a key.
    Ballot {
        /// Its number.
        ask: u64,
        /// The key.
        key: Key,
        /// The ballot.
        ballot: Ballot,
        /// What is asked.
        question: BallotQuestion,
    },
    /// The answer to a question of a ballot, or why there is none.
    Balloted {
        /// Number of the question.
        ask: u64,
        /// The ballot.
        ballot: Ballot,
        /// The answer.
        reply: Result<BallotReply, Refusal>,
    },
}

impl Message {
    /// What kind of message it is, in a word as it stands in the header.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::RecordPull => "record_pull",
            Self::Record(_) => "record",
            Self::Vote { .. } => "vote",
            Self::Voted { .. } => "voted",
            Self::CataloguePull => "catalogue_pull",
            Self::Catalogue { .. } => "catalogue",
            Self::CatalogueHave { .. } => "catalogue_have",
            Self::Replicate { .. } => "replicate",
            Self::Hint { .. } => "hint",
            Self::Replicated { .. } => "replicated",
            Self::Read { .. } => "read",
            Self::Held { .. } => "held",
            Self::Forward { .. } => "forward",
            Self::Forwarded { .. } => "forwarded",
            Self::Explain { .. } => "explain",
            Self::Explained { .. } => "explained",
            Self::Exchange { .. } => "exchange",
            Self::Exchanged { .. } => "exchanged",
            Self::ComponentAsk { .. } => "component_ask",
            Self::ComponentState { .. } => "component_state",
            Self::List { .. } => "list",
            Self::Keys { .. } => "keys",
            Self::Ballot { .. } => "ballot",
            Self::Balloted { .. } => "balloted",
        }
    }
}

/// What a node says of its present life with every greeting. It is from this that others learn which actors write no more,
/// and that nobody keeps anything for anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Its actor.
    pub actor: Actor,
    /// Every write that it coordinated up to this time is applied on its own disk.
    pub upto: Timestamp,
    /// Does it keep nothing for other nodes?
    pub clear: bool,
    /// The number of this greeting, rising.
    pub number: u64,
    /// The receiver's last greeting that had come when this was said: its actor then, and the number.
    pub heard: Option<(Actor, u64)>,
    /// The last other actor as which the sender has met the receiver, in whatever life of its own. By these two a disk that was
    /// emptied, or is an old copy of itself, finds out that it has forgotten a life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Actor>,
}

/// Why a node did not do what a peer asked. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It has too much to do.
    Overloaded,
    /// Its disk is nearly full.
    DiskFull,
    /// Its store is stopped, or its data damaged.
    Storage,
    /// It knows no such bucket yet.
    UnknownBucket,
    /// It acts by another layout.
    StaleLayout,
    /// The object's times are too far ahead of its clock.
    ClockAhead,
    /// The object came without the bytes of a value: kept, it would be a value that nobody can read.
    Incomplete,
    /// It keeps as many hints as it may, or has kept some for that owner for too long.
    HintsFull,
    /// It lives another life than the one that the question is about.
    AnotherLife,
}

#[derive(Serialize, Deserialize)]
struct Header {
    layout: u64,
    wall: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    message: Wire,
}

/// [`Message`] as it stands in a header; bytes of values stand in the body.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wire {
    Hello {
        catalogue: Digest,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        greeting: Option<Greeting>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        progress: Option<Progress>,
    },
    RecordPull,
    Record(Record),
    Vote {
        ask: u64,
        version: u64,
        ballot: Ballot,
        question: VoteQuestion,
    },
    Voted {
        ask: u64,
        ballot: Ballot,
        reply: VoteReply,
    },
    CataloguePull,
    Catalogue {
        ask: Option<u64>,
        catalogue: BTreeMap<BucketName, BucketEntry>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        plugins: BTreeMap<Release, PluginEntry>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        staged: BTreeMap<NodeId, StagedEntry>,
    },
    CatalogueHave {
        ask: u64,
    },
    ComponentAsk {
        ask: u64,
        component: Digest,
    },
    ComponentState {
        ask: u64,
        state: ComponentState,
    },
    Replicate {
        ask: u64,
        bucket: BucketName,
        key: Bytes,
        object: ObjectRecord,
    },
    Hint {
        ask: u64,
        owner: NodeId,
        bucket: BucketName,
        key: Bytes,
        object: ObjectRecord,
    },
    Replicated {
        ask: u64,
        refused: Option<Refusal>,
    },
    Read {
        ask: u64,
        bucket: BucketName,
        key: Bytes,
        bodies: bool,
    },
    Held {
        ask: u64,
        object: Result<ObjectRecord, Refusal>,
    },
    Forward {
        ask: u64,
        header: RequestHeader,
    },
    Forwarded {
        ask: u64,
        header: ResponseHeader,
    },
    Explain {
        ask: u64,
        bucket: BucketName,
        key: Bytes,
    },
    Explained {
        ask: u64,
        account: Result<WireAccount, Refusal>,
    },
    Exchange {
        ask: u64,
        question: WireQuestion,
    },
    Exchanged {
        ask: u64,
        answer: Result<WireAnswer, Refusal>,
    },
    Ballot {
        ask: u64,
        bucket: BucketName,
        key: Bytes,
        ballot: Ballot,
        question: WireBallotQuestion,
    },
    Balloted {
        ask: u64,
        ballot: Ballot,
        reply: Result<WireBallotReply, Refusal>,
    },
    List {
        ask: u64,
        question: ListQuestion,
    },
    Keys {
        ask: u64,
        partition: Partition,
        page: Result<WirePage, Refusal>,
    },
}

#[derive(Serialize, Deserialize)]
struct WirePage {
    keys: Vec<(Bytes, ObjectRecord)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upto: Option<Bytes>,
    /// Of a key that is not there: nothing but the marks.
    rest: ObjectRecord,
}

/// A message that was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The header is no message.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// The values do not fit the header.
    #[error(transparent)]
    Body(#[from] DecodeError),
    /// A body where none belongs.
    #[error("the message has a body of {0} bytes, and should have none")]
    Surplus(usize),
}

impl Envelope {
    /// The frame of this message.
    ///
    /// # Errors
    /// [`FrameError`] if its values are too large to be sent.
    pub fn encode(self) -> Result<Frame, FrameError> {
        let mut body = Vec::new();
        let mut record = |object: &Object| {
            let (record, beside) = ObjectRecord::new(object, INLINE);
            body.extend(beside);
            record
        };
        let message = match self.message {
            Message::Hello { catalogue, greeting, progress } => {
                Wire::Hello { catalogue, greeting, progress }
            }
            Message::RecordPull => Wire::RecordPull,
            Message::Record(record) => Wire::Record(record),
            Message::Vote { ask, version, ballot, question } => {
                Wire::Vote { ask, version, ballot, question }
            }
            Message::Voted { ask, ballot, reply } => Wire::Voted { ask, ballot, reply },
            Message::CataloguePull => Wire::CataloguePull,
            Message::Catalogue { ask, catalogue } => {
                let staged = catalogue.staged().clone();
                let (catalogue, plugins) = catalogue.into_parts();
                Wire::Catalogue { ask, catalogue, plugins, staged }
            }
            Message::ComponentAsk { ask, component } => Wire::ComponentAsk { ask, component },
            Message::ComponentState { ask, state } => Wire::ComponentState { ask, state },
            Message::CatalogueHave { ask } => Wire::CatalogueHave { ask },
            Message::Replicate { ask, key, object } => {
                Wire::Replicate { ask, bucket: key.bucket, key: key.key, object: record(&object) }
            }
            Message::Hint { ask, owner, key, object } => {
                Wire::Hint { ask, owner, bucket: key.bucket, key: key.key, object: record(&object) }
            }
            Message::Replicated { ask, refused } => Wire::Replicated { ask, refused },
            Message::Read { ask, key, bodies } => {
                Wire::Read { ask, bucket: key.bucket, key: key.key, bodies }
            }
            Message::Held { ask, object } => {
                Wire::Held { ask, object: object.as_ref().map(&mut record).map_err(|r| *r) }
            }
            Message::Forward { ask, header, body: value } => {
                body.push(value);
                Wire::Forward { ask, header }
            }
            Message::Forwarded { ask, header, body: values } => {
                body.extend(values);
                Wire::Forwarded { ask, header }
            }
            Message::Explain { ask, key } => {
                Wire::Explain { ask, bucket: key.bucket, key: key.key }
            }
            Message::Explained { ask, account } => Wire::Explained {
                ask,
                account: account.map(|account| WireAccount::new(account, &mut record)),
            },
            Message::Exchange { ask, question } => {
                Wire::Exchange { ask, question: question.into() }
            }
            Message::Exchanged { ask, answer } => {
                Wire::Exchanged { ask, answer: answer.map(|a| WireAnswer::new(a, &mut record)) }
            }
            Message::List { ask, question } => Wire::List { ask, question },
            Message::Keys { ask, partition, page } => {
                let page = page.map(|page| WirePage {
                    keys: page.keys.iter().map(|(key, o)| (key.clone(), record(o))).collect(),
                    upto: page.upto,
                    rest: record(&Object { marks: page.marks, ..Object::default() }),
                });
                Wire::Keys { ask, partition, page }
            }
            Message::Ballot { ask, key, ballot, question } => Wire::Ballot {
                ask,
                bucket: key.bucket,
                key: key.key,
                ballot,
                question: WireBallotQuestion::new(question, &mut record),
            },
            Message::Balloted { ask, ballot, reply } => {
                let reply = reply.map(|reply| WireBallotReply::new(reply, &mut record));
                Wire::Balloted { ask, ballot, reply }
            }
        };
        let trace = self.trace.map(|trace| trace.to_string());
        Frame::new(&Header { layout: self.layout, wall: self.wall, trace, message }, body)
    }

    /// The message of a frame.
    ///
    /// # Errors
    /// [`EnvelopeError`] if it is none.
    pub fn decode(header: &[u8], body: Bytes) -> Result<Self, EnvelopeError> {
        let Header { layout, wall, trace, message } = cbor::decode(header)?;
        let trace = TraceContext::of_header(trace.as_ref());
        let bare = |message| {
            if body.is_empty() { Ok(message) } else { Err(EnvelopeError::Surplus(body.len())) }
        };
        let message = match message {
            Wire::Hello { catalogue, greeting, progress } => {
                bare(Message::Hello { catalogue, greeting, progress })?
            }
            Wire::RecordPull => bare(Message::RecordPull)?,
            Wire::Record(record) => bare(Message::Record(record))?,
            Wire::Vote { ask, version, ballot, question } => {
                bare(Message::Vote { ask, version, ballot, question })?
            }
            Wire::Voted { ask, ballot, reply } => bare(Message::Voted { ask, ballot, reply })?,
            Wire::CataloguePull => bare(Message::CataloguePull)?,
            Wire::Catalogue { ask, catalogue, plugins, staged } => {
                let catalogue = Catalogue::of(catalogue, plugins).with_staged(staged);
                bare(Message::Catalogue { ask, catalogue })?
            }
            Wire::ComponentAsk { ask, component } => {
                bare(Message::ComponentAsk { ask, component })?
            }
            Wire::ComponentState { ask, state } => bare(Message::ComponentState { ask, state })?,
            Wire::CatalogueHave { ask } => bare(Message::CatalogueHave { ask })?,
            Wire::Replicate { ask, bucket, key, object } => Message::Replicate {
                ask,
                key: Key { bucket, key },
                object: object.with_bodies(body)?,
            },
            Wire::Hint { ask, owner, bucket, key, object } => Message::Hint {
                ask,
                owner,
                key: Key { bucket, key },
                object: object.with_bodies(body)?,
            },
            Wire::Replicated { ask, refused } => bare(Message::Replicated { ask, refused })?,
            Wire::Read { ask, bucket, key, bodies } => {
                bare(Message::Read { ask, key: Key { bucket, key }, bodies })?
            }
            Wire::Held { ask, object: Ok(record) } => {
                Message::Held { ask, object: Ok(record.with_bodies(body)?) }
            }
            Wire::Held { ask, object: Err(refusal) } => {
                bare(Message::Held { ask, object: Err(refusal) })?
            }
            Wire::Forward { ask, header } => Message::Forward { ask, header, body },
            Wire::Forwarded { ask, header } => {
                Message::Forwarded { ask, header, body: alloc::vec![body] }
            }
            Wire::Explain { ask, bucket, key } => {
                bare(Message::Explain { ask, key: Key { bucket, key } })?
            }
            Wire::Explained { ask, account: Ok(account) } => {
                Message::Explained { ask, account: Ok(account.with_bodies(body)?) }
            }
            Wire::Explained { ask, account: Err(refusal) } => {
                bare(Message::Explained { ask, account: Err(refusal) })?
            }
            Wire::Exchange { ask, question } => {
                bare(Message::Exchange { ask, question: question.into() })?
            }
            Wire::Exchanged { ask, answer: Ok(answer) } => {
                Message::Exchanged { ask, answer: Ok(answer.with_bodies(body)?) }
            }
            Wire::Exchanged { ask, answer: Err(refusal) } => {
                bare(Message::Exchanged { ask, answer: Err(refusal) })?
            }
            Wire::List { ask, question } => bare(Message::List { ask, question })?,
            Wire::Keys { ask, partition, page } => {
                let page = page.map(|page| {
                    let keys = page.keys.into_iter();
                    let keys = keys.map(|(key, record)| (key, record.without_bodies())).collect();
                    KeyPage { keys, upto: page.upto, marks: page.rest.without_bodies().marks }
                });
                bare(Message::Keys { ask, partition, page })?
            }
            Wire::Ballot { ask, bucket, key, ballot, question } => Message::Ballot {
                ask,
                key: Key { bucket, key },
                ballot,
                question: question.with_bodies(body)?,
            },
            Wire::Balloted { ask, ballot, reply: Ok(reply) } => {
                Message::Balloted { ask, ballot, reply: Ok(reply.with_bodies(body)?) }
            }
            Wire::Balloted { ask, ballot, reply: Err(refusal) } => {
                bare(Message::Balloted { ask, ballot, reply: Err(refusal) })?
            }
        };
        Ok(Self { layout, wall, trace, message })
    }
}

impl Refusal {
    /// What a person should know.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Overloaded => "has too much to do",
            Self::DiskFull => "has a nearly full disk",
            Self::Storage => "has a store that is stopped or damaged",
            Self::UnknownBucket => "does not know the bucket yet",
            Self::StaleLayout => "acts by another layout",
            Self::Incomplete => "was sent a value without its bytes",
            Self::HintsFull => "keeps as many hints as it may",
            Self::AnotherLife => "was started anew meanwhile",
            Self::ClockAhead => "finds the times too far ahead of its clock",
        }
    }
}
