//! The node: routes facts to the machines, and their intentions to the shell. It decides nothing itself.

use alloc::collections::VecDeque;
use alloc::string::String;

use crate::catalogue::Catalogue;
use crate::config::Limits;
use crate::id::NodeId;
use crate::io::{Input, Output};
use crate::layout::Layout;
use crate::life::Life;
use crate::message::client::Response;
use crate::replica::Ticket;
use crate::time::{Clock, Now, Time};

/// All that a node starts from.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Who it is.
    pub id: NodeId,
    /// The cluster's name.
    pub cluster: String,
    /// The program's version, for status.
    pub version: String,
    /// The life that begins, already durable.
    pub life: Life,
    /// The clock of that life.
    pub clock: Clock,
    /// Who owns what.
    pub layout: Layout,
    /// The buckets, as last saved.
    pub catalogue: Catalogue,
    /// The bounds.
    pub limits: Limits,
    /// Where its chance comes from.
    pub seed: u64,
}

/// One node of the cluster, without a clock, a socket, a thread or a file.
pub struct Node {
    outputs: VecDeque<Output>,
}

impl Node {
    /// A node at its start.
    #[must_use]
    pub fn new(boot: Boot, now: Now) -> Self {
        let _ = (boot, now);
        Self { outputs: VecDeque::new() }
    }

    /// Takes a fact. Afterwards call [`Node::poll_output`] until it gives none.
    pub fn handle(&mut self, now: Now, input: Input) {
        let _ = (now, input);
    }

    /// The next intention.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        None
    }

    /// The life to save at a clean stop, once no job and no request is in progress.
    #[must_use]
    pub fn end(&self) -> Option<Life> {
        None
    }
}
