//! What waits for the core: one channel, in which everything that happens is lined up for its one owner.
//!
//! The channel itself has no bound, because a fact about the store or a merge must never be lost and nobody may wait to
//! hand it in: a storage thread that waited for the core, which waits for the store's queue, would be a deadlock. Each
//! kind of arrival is bounded where it comes from instead:
//!
//! | arrival | bound | when full |
//! | --- | --- | --- |
//! | requests of clients | requests in progress and their bytes, counted from the frame's prefix to the written answer | `overloaded`, at the rim |
//! | components to be installed | one trial at a time | `overloaded`, at the rim |
//! | messages and datagrams of peers | their number and their bytes, counted from the frame's prefix until the core takes them | dropped, and counted |
//! | looks of scrapers | eight at one time | the next scraper waits |
//! | facts about store jobs | the core's own bound on jobs, at most two facts a job | the core asks for no more |
//! | results of merges | the merges that the core has asked for, one result each | the core asks for no more |

use bytes::Bytes;
use kinfold_protocol::catalogue::{Component, Release};
use kinfold_protocol::id::NodeId;
use kinfold_protocol::io::Input;
use kinfold_protocol::message::client::{RequestHeader, ResponseHeader};
use kinfold_protocol::message::peer::Envelope;
use tokio::sync::{mpsc, oneshot};

use crate::gauge::Permit;
use crate::metrics::Look;

/// Something that the core is to know.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A client asks.
    Request(Asked),
    /// A component was tried and is kept: it is to be installed.
    Install(Install),
    /// A peer says something.
    Peer {
        /// Who.
        from: NodeId,
        /// What.
        envelope: Envelope,
        /// Its place among the messages that wait.
        permit: Permit,
    },
    /// A peer gossips.
    Datagram {
        /// Who.
        from: NodeId,
        /// What.
        bytes: Bytes,
        /// Its place among the messages that wait.
        permit: Permit,
    },
    /// The store or a plugin is done with something.
    Fact(Input),
    /// A scraper wants the figures that only the core's loop can see.
    Look(oneshot::Sender<Look>),
    /// The node is to end: see [`crate::node_loop`].
    End,
}

/// A client's request.
#[derive(Debug)]
pub(crate) struct Asked {
    /// May the client change buckets?
    pub(crate) admin: bool,
    /// The request.
    pub(crate) header: RequestHeader,
    /// Its body.
    pub(crate) body: Bytes,
    /// Where the answer goes.
    pub(crate) answer: oneshot::Sender<Reply>,
}

/// A component that was tried, for the catalogue.
#[derive(Debug)]
pub(crate) struct Install {
    /// The name and version that it goes by.
    pub(crate) release: Release,
    /// What the catalogue is to say of it.
    pub(crate) component: Component,
    /// Where the answer goes.
    pub(crate) answer: oneshot::Sender<Reply>,
}

/// The answer to a client's request.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The answer.
    pub(crate) header: ResponseHeader,
    /// Its body, in pieces.
    pub(crate) body: Vec<Bytes>,
}

/// Where arrivals are handed in.
pub(crate) type Inbox = mpsc::UnboundedSender<Arrival>;

/// Where the core takes them from.
pub(crate) type Arrivals = mpsc::UnboundedReceiver<Arrival>;
