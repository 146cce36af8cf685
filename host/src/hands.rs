//! What carries out the core's slow intentions: the store, and the plugins. Both answer into the inbox, from their own
//! threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use kinfold_protocol::catalogue::PluginPlan;
use kinfold_protocol::causality::Debt;
use kinfold_protocol::id::NodeId;
use kinfold_protocol::io::{Input, StoreEvent};
use kinfold_protocol::merge::{MergeRequest, ValidateRequest};
use kinfold_protocol::replica::{StoreJob, Ticket};
use kinfold_protocol::store::StoreError;
use kinfold_sandbox::Merger;
use kinfold_storage::{Disk, Storage};

use crate::components::Components;
use crate::counters::Counters;
use crate::inbox::{Arrival, Arrivals, Inbox};

/// The ticket of what the shell itself saves, at the start before the core is made and at the end after it is gone.
const OWN: Ticket = Ticket(u64::MAX);

/// The store and the plugins.
pub(crate) struct Hands {
    storage: Storage,
    merger: Arc<Merger>,
    components: Arc<Components>,
    inbox: Inbox,
    counters: Arc<Counters>,
}

impl Hands {
    pub(crate) fn new(
        storage: Storage,
        merger: Arc<Merger>,
        components: Arc<Components>,
        inbox: Inbox,
        counters: Arc<Counters>,
    ) -> Self {
        Self { storage, merger, components, inbox, counters }
    }

    /// Has the store do something. A job that it does not take has failed, and the core hears of that as of any other.
    pub(crate) fn store(&self, ticket: Ticket, job: StoreJob) {
        self.counters.store_jobs.one();
        if let Err(error) = self.storage.submit(ticket, job) {
            tell(&self.inbox, Input::Store(StoreEvent::Done { ticket, result: Err(error) }));
        }
    }

    /// Has a plugin merge something: in a task of its own on this runtime, where waking nobody is what makes it quick, or on a merge
    /// thread if it takes long. There are no more of these tasks than the core has merges asked for: it bounds the requests and the keys in
    /// work that could.
    pub(crate) fn merge(&self, ticket: Ticket, request: MergeRequest) {
        self.counters.merges_started.one();
        let (inbox, counters) = (self.inbox.clone(), Arc::clone(&self.counters));
        let (plugin, begun) = (request.plugin.clone(), Instant::now());
        let merger = Arc::clone(&self.merger);
        tokio::spawn(async move {
            merger.merge(request, move |result| {
                counters.meters.merged(plugin, &result, begun.elapsed());
                tell(&inbox, Input::Merged { ticket, result });
            });
        });
    }

    /// How many jobs wait for a thread of the store.
    pub(crate) fn jobs_waiting(&self) -> usize {
        self.storage.waiting()
    }

    /// Keys on the disk of which only a delete is left.
    pub(crate) fn tombstones(&self) -> u64 {
        self.storage.tombstones()
    }

    /// The disk, for its figures.
    pub(crate) fn disk(&self) -> Disk {
        self.storage.disk()
    }

    /// Has a plugin look at a value.
    pub(crate) fn validate(&self, ticket: Ticket, request: ValidateRequest) {
        let inbox = self.inbox.clone();
        self.merger.validate(request, move |validity| {
            tell(&inbox, Input::Validated { ticket, validity });
        });
    }

    /// Has these components ready in time, and no others from now on.
    pub(crate) fn plan_plugins(&self, plan: PluginPlan) {
        self.components.plan(plan);
    }

    /// Was a part of the journal cut off when the store was opened, because it made no sense?
    pub(crate) fn lost_the_journals_end(&self) -> bool {
        self.storage.cut_bytes() > 0
    }

    /// What the store keeps for other owners. Reads all hints: their number is bounded.
    ///
    /// # Errors
    /// [`StoreError`]: they can't be read.
    pub(crate) fn debts(&self) -> Result<BTreeMap<NodeId, Debt>, StoreError> {
        self.storage.debts()
    }

    /// A piece of the node's state.
    ///
    /// # Errors
    /// [`StoreError`]: it can't be read.
    pub(crate) fn load(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        self.storage.load(name)
    }

    /// Makes a piece of the node's state durable. Only while there is no core: other facts that arrive meanwhile are
    /// dropped.
    ///
    /// # Errors
    /// [`StoreError`]: it may not be durable.
    pub(crate) async fn save(
        &self,
        arrivals: &mut Arrivals,
        name: &str,
        bytes: Vec<u8>,
    ) -> Result<(), StoreError> {
        let job = StoreJob::Save { name: name.to_owned(), bytes: bytes.into() };
        self.storage.submit(OWN, job)?;
        while let Some(arrival) = arrivals.recv().await {
            match arrival {
                Arrival::Fact(Input::Store(event)) => match event {
                    StoreEvent::Done { ticket: OWN, result: Err(error) }
                    | StoreEvent::SyncFailed { ticket: OWN, error } => return Err(error),
                    StoreEvent::Synced { ticket: OWN } => return Ok(()),
                    StoreEvent::Done { .. }
                    | StoreEvent::Synced { .. }
                    | StoreEvent::SyncFailed { .. } => {}
                },
                Arrival::Fact(_)
                | Arrival::Request(_)
                | Arrival::Install(_)
                | Arrival::Peer { .. }
                | Arrival::Datagram { .. }
                | Arrival::Look(_)
                | Arrival::End => {}
            }
        }
        Err(StoreError::Io("the store stopped before it answered".to_owned()))
    }

    /// Closes the store: what was handed in is done and durable, and its directory is free. Waits for the disk.
    ///
    /// # Errors
    /// [`StoreError`]: something may not be durable.
    pub(crate) fn close(self) -> Result<(), StoreError> {
        self.storage.close()
    }
}

fn tell(inbox: &Inbox, fact: Input) {
    // Nobody listens any more only once the node has ended, and then nobody asked.
    let _ = inbox.send(Arrival::Fact(fact));
}
