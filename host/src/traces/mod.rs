//! Traces across nodes, for OpenTelemetry: which node spent how long on what for one request.
//!
//! A client's request is a span of the node that it came to, and every question about a key that a peer asks for its sake is a
//! span of the node that answers: what is read, replicated, kept as a hint, or passed on. The context of the W3C's
//! recommendation comes with the request and travels as an optional field of the headers between nodes, which older nodes skip.
//! The core only says on whose behalf it sends something.
//!
//! Off unless an endpoint is configured; then a part of the requests is recorded, and every request whose client records it.
//! Nothing waits for a span: what the exporter has no room for is dropped and counted.

mod export;
mod span;

use std::collections::BTreeMap;
use std::sync::Arc;

use kinfold_protocol::id::{NodeId, Origin};
use kinfold_protocol::io::Cause;
use kinfold_protocol::message::client::{Response, ResponseHeader};
use kinfold_protocol::message::peer::{Envelope, Message};
use kinfold_protocol::trace::TraceContext;

use crate::config;
use crate::counters::Counters;
use span::Span;

pub(crate) use export::Exporter;

/// Spans of questions that wait for their answer. More are not recorded.
const MOST: usize = 4096;

/// The spans that are open, and where they go when they end.
pub(crate) struct Traces {
    exporter: Option<Exporter>,
    /// Requests recorded of a million that bring no context.
    per_million: u32,
    requests: BTreeMap<Origin, Span>,
    /// By who asked, the question's number, and the kind of message that answers it.
    questions: BTreeMap<(NodeId, u64, &'static str), Span>,
    counters: Arc<Counters>,
}

impl Traces {
    pub(crate) fn new(
        config: &config::Traces,
        exporter: Option<Exporter>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            exporter,
            per_million: config.per_million,
            requests: BTreeMap::new(),
            questions: BTreeMap::new(),
            counters,
        }
    }

    /// A client's request goes to the core.
    pub(crate) fn asked(&mut self, origin: Origin, kind: &'static str, brought: Option<&String>) {
        if self.exporter.is_none() {
            return;
        }
        let span = match TraceContext::of_header(brought) {
            Some(context) => context.sampled.then(|| Span::child(kind, context)).flatten(),
            None => Span::root(kind, self.per_million),
        };
        self.requests.extend(span.map(|span| (origin, span)));
    }

    /// The core answers it.
    pub(crate) fn answered(&mut self, origin: Origin, header: &ResponseHeader) {
        if let Some(mut span) = self.requests.remove(&origin) {
            if let Response::Failed(failure) = &header.response {
                span.fail(failure.code.word());
            }
            self.end(span);
        }
    }

    /// A peer asks something.
    pub(crate) fn questioned(&mut self, from: NodeId, envelope: &Envelope) {
        let context = envelope.trace.filter(|context| context.sampled && self.exporter.is_some());
        let Some((context, (ask, answer))) = context.zip(question(&envelope.message)) else {
            return;
        };
        if self.questions.len() >= MOST {
            self.counters.spans_dropped.one();
        } else if let Some(span) = Span::child(envelope.message.kind(), context) {
            self.questions.insert((from, ask, answer), span);
        }
    }

    /// The core says something to a peer, on somebody's behalf: names the span, and ends the one that this answers.
    pub(crate) fn sending(&mut self, to: NodeId, envelope: &mut Envelope, cause: Option<Cause>) {
        if self.exporter.is_none() {
            return;
        }
        let span = match cause {
            Some(Cause::Client(origin)) => self.requests.get(&origin),
            Some(Cause::Peer(from, ask)) => self.questions.get(&(from, ask, "forwarded")),
            None => None,
        };
        envelope.trace = span.map(Span::context);
        if let Some(ask) = answer(&envelope.message)
            && let Some(span) = self.questions.remove(&(to, ask, envelope.message.kind()))
        {
            self.end(span);
        }
    }

    fn end(&self, span: Span) {
        let sent = self.exporter.as_ref().is_some_and(|exporter| exporter.send(span.end()));
        if !sent {
            self.counters.spans_dropped.one();
        }
    }
}

/// The number of a question about a key, and the kind of message that answers it.
fn question(message: &Message) -> Option<(u64, &'static str)> {
    match message {
        Message::Replicate { ask, .. } | Message::Hint { ask, .. } => Some((*ask, "replicated")),
        Message::Read { ask, .. } => Some((*ask, "held")),
        Message::Forward { ask, .. } => Some((*ask, "forwarded")),
        Message::Explain { ask, .. } => Some((*ask, "explained")),
        Message::Ballot { ask, .. } => Some((*ask, "balloted")),
        Message::Hello { .. }
        | Message::CataloguePull
        | Message::RecordPull
        | Message::Record(_)
        | Message::Vote { .. }
        | Message::Voted { .. }
        | Message::Catalogue { .. }
        | Message::CatalogueHave { .. }
        | Message::ComponentAsk { .. }
        | Message::ComponentState { .. }
        | Message::Replicated { .. }
        | Message::Held { .. }
        | Message::Forwarded { .. }
        | Message::Explained { .. }
        | Message::Balloted { .. }
        | Message::List { .. }
        | Message::Keys { .. }
        | Message::Exchange { .. }
        | Message::Exchanged { .. } => None,
    }
}

/// The number of the question about a key that a message answers.
fn answer(message: &Message) -> Option<u64> {
    match message {
        Message::Replicated { ask, .. }
        | Message::Held { ask, .. }
        | Message::Forwarded { ask, .. }
        | Message::Balloted { ask, .. }
        | Message::Explained { ask, .. } => Some(*ask),
        Message::Hello { .. }
        | Message::CataloguePull
        | Message::RecordPull
        | Message::Record(_)
        | Message::Vote { .. }
        | Message::Voted { .. }
        | Message::Catalogue { .. }
        | Message::CatalogueHave { .. }
        | Message::ComponentAsk { .. }
        | Message::ComponentState { .. }
        | Message::Replicate { .. }
        | Message::Hint { .. }
        | Message::Read { .. }
        | Message::Forward { .. }
        | Message::Explain { .. }
        | Message::Ballot { .. }
        | Message::List { .. }
        | Message::Keys { .. }
        | Message::Exchange { .. }
        | Message::Exchanged { .. } => None,
    }
}
