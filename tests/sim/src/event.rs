//! What can happen in a run.

use bytes::Bytes;
use kinfold_protocol::causality::Digest;
use kinfold_protocol::io::Done;
use kinfold_protocol::merge::MergeResult;
use kinfold_protocol::message::client::{RequestHeader, ResponseHeader};
use kinfold_protocol::message::peer::Envelope;
use kinfold_protocol::replica::{StoreJob, Ticket};
use kinfold_protocol::store::StoreError;

use crate::client::Call;
use crate::fault::Fault;

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message arrives at a node.
    Arrive {
        /// Who sent it.
        from: usize,
        /// Where it arrives.
        to: usize,
        /// The message.
        envelope: Box<Envelope>,
    },
    /// A datagram arrives at a node.
    Datagram {
        /// Who sent it.
        from: usize,
        /// Where it arrives.
        to: usize,
        /// What it holds.
        bytes: Bytes,
    },
    /// A client's request arrives at a node.
    Ask {
        /// The node.
        node: usize,
        /// Whose it is.
        call: Call,
        /// The request.
        header: Box<RequestHeader>,
        /// Its body.
        body: Bytes,
    },
    /// An answer arrives at a client.
    Answer {
        /// To which try of which operation.
        call: Call,
        /// The answer.
        header: Box<ResponseHeader>,
        /// Its body.
        body: Bytes,
    },
    /// Something happens within one life of a node.
    Within {
        /// The node.
        node: usize,
        /// Its life: what is left over from an earlier one is void.
        life: u32,
        /// What happens.
        what: Inner,
    },
    /// A client begins its next operation.
    Next {
        /// Which.
        client: usize,
    },
    /// A client has waited long enough.
    Patience {
        /// For the answer to this.
        call: Call,
    },
    /// A node starts.
    Start {
        /// Which.
        node: usize,
    },
    /// Something goes wrong.
    Fault(Fault),
}

/// Something that happens within one life of a node.
#[derive(Clone, Debug)]
pub enum Inner {
    /// The disk carries out a job.
    Job {
        /// The job's name.
        ticket: Ticket,
        /// The job.
        job: Box<StoreJob>,
    },
    /// The node is told of a job that was carried out.
    Done {
        /// The job's name.
        ticket: Ticket,
        /// Is the node to be told a second time, when it is durable?
        writes: bool,
        /// What the job came to.
        result: Box<Result<Done, StoreError>>,
    },
    /// A sync ends.
    Sync,
    /// A merge is done.
    Merged {
        /// Its name.
        ticket: Ticket,
        /// What it came to.
        result: MergeResult,
    },
    /// The node tries to get and to load a component that it should have.
    Load {
        /// The hash of its bytes.
        component: Digest,
    },
    /// The node's deadline may have come.
    Wake,
}
