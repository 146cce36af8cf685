//! Explanations of keys: questions to all members, the accounts that this node gives of itself, and the answers.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};

use crate::admission;
use crate::coordinator::ReplyTo;
use crate::coordinator::explain::{ExplainPlan, Explaining, Next};
use crate::id::{Key, NodeId};
use crate::io::Output;
use crate::merge::MergeResult;
use crate::message::client::{Failure, Response};
use crate::message::explain::{Account, Explain};
use crate::message::peer::{Message, Refusal};
use crate::node::{Node, overloaded, refusal_of};
use crate::replica::{Job, Outcome, StoreJob, Task, Ticket};
use crate::store::{Bodies, StoreError, Stored};
use crate::time::{Duration, Now, Time};

/// Explanations in the making, and accounts being given, at one time each: it is for people.
const MOST: usize = 16;

/// Members that are asked at most, the key's owners first.
const MOST_ASKED: usize = 256;

/// How long a member may take: whoever asks wants to see the others.
const PATIENCE: Duration = Duration::from_millis(2_000);

/// Explanations in the making.
#[derive(Debug, Default)]
pub(super) struct Explains {
    of: BTreeMap<u64, (ReplyTo, Explaining)>,
    /// Reads that are with the store.
    reads: BTreeMap<Ticket, (Key, Reading)>,
    merges: BTreeMap<Ticket, u64>,
}

/// For whom a key is read.
#[derive(Clone, Copy, Debug)]
enum Reading {
    Own(u64),
    Peer(NodeId, u64),
}

impl Explains {
    /// When the first one stops waiting.
    pub(super) fn wake(&self) -> Option<Time> {
        self.of.values().map(|(_, explaining)| explaining.deadline()).min()
    }

    /// Is this the ticket of a read of these?
    pub(super) fn reads(&self, ticket: Ticket) -> bool {
        self.reads.contains_key(&ticket)
    }

    /// Is this the ticket of a merge of these?
    pub(super) fn merges(&self, ticket: Ticket) -> bool {
        self.merges.contains_key(&ticket)
    }
}

impl Node {
    /// A client wants a key explained.
    pub(super) fn begin_explain(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        explain: &Explain,
        deadline: Time,
    ) -> Result<(), Failure> {
        let key = Key { bucket: explain.bucket.clone(), key: explain.key.clone() };
        admission::key(&self.boot.limits, &key)?;
        let config = admission::bucket(&self.boot.catalogue, &key.bucket)?.clone();
        if self.explains.of.len() >= MOST {
            return Err(overloaded());
        }
        let (position, owners) = self.place(&key, &config);
        let partition = position.tree.partition;
        let others = self.ring.acting.fallbacks(position.tree);
        let members = owners.iter().copied().chain(others);
        let mut asked: BTreeSet<NodeId> = members.take(MOST_ASKED).collect();
        asked.insert(self.boot.id);
        let id = self.new_id();
        let me = self.boot.id;
        for node in asked.iter().copied().filter(|node| *node != me) {
            let message = Message::Explain { ask: id, key: key.clone() };
            self.send_for(now, node, message, reply_to.cause());
        }
        let merge = self.target(key.clone(), position, &config).merge;
        let deadline = deadline.min(now.time.after(PATIENCE));
        let plan = ExplainPlan {
            partition,
            mode: config.mode.clone(),
            merge,
            owners,
            asked,
            deadline,
            wall: now.wall,
        };
        self.explains.of.insert(id, (reply_to, Explaining::new(plan)));
        self.read_account(key, Reading::Own(id));
        Ok(())
    }

    /// A peer wants to know what this node holds of a key.
    pub(super) fn on_explain(&mut self, now: Now, from: NodeId, ask: u64, key: Key, same: bool) {
        let refusal = match same {
            false => Some(Refusal::StaleLayout),
            true if self.explains.reads.len() >= MOST => Some(Refusal::Overloaded),
            true => None,
        };
        match refusal {
            Some(refusal) => {
                self.send(now, from, Message::Explained { ask, account: Err(refusal) });
            }
            None => self.read_account(key, Reading::Peer(from, ask)),
        }
    }

    /// Reads a key past the lanes: an explanation tells what stands there, and waits for nothing.
    fn read_account(&mut self, key: Key, reading: Reading) {
        let ticket = self.tickets.next();
        let position = self.position(&key);
        let task = Task::Read { bodies: Bodies::All };
        let job = StoreJob::Key(Job { key: key.clone(), position, task });
        self.explains.reads.insert(ticket, (key, reading));
        self.outputs.push_back(Output::Store { ticket, job });
    }

    /// The store has read a key for an account.
    pub(super) fn on_account_read(
        &mut self,
        now: Now,
        ticket: Ticket,
        result: Result<Outcome, StoreError>,
    ) {
        let Some((key, reading)) = self.explains.reads.remove(&ticket) else {
            return;
        };
        let account = match result {
            Ok(Outcome::Read(stored)) => Ok(self.account(&key, stored)),
            Ok(Outcome::Applied(_) | Outcome::Fold { .. } | Outcome::Crowded { .. }) => {
                Err(Refusal::Storage)
            }
            Err(error) => Err(refusal_of(&error)),
        };
        match reading {
            Reading::Own(id) => self.on_explained(now, self.boot.id, id, account),
            Reading::Peer(to, ask) => self.send(now, to, Message::Explained { ask, account }),
        }
    }

    fn account(&self, key: &Key, stored: Option<Stored>) -> Account {
        Account {
            actor: self.boot.life.actor,
            former: self.boot.life.former.actors().collect(),
            stored,
            discarded: self.ledger.remembers().then(|| self.ledger.of(key)),
        }
    }

    /// A member told what it holds.
    pub(super) fn on_explained(
        &mut self,
        now: Now,
        from: NodeId,
        id: u64,
        account: Result<Account, Refusal>,
    ) {
        if let Some((_, explaining)) = self.explains.of.get_mut(&id) {
            let next = explaining.told(from, account);
            self.go_on_explaining(now, id, next);
        }
    }

    /// A merge for an explanation is done.
    pub(super) fn on_explain_merged(&mut self, now: Now, ticket: Ticket, result: MergeResult) {
        let Some(id) = self.explains.merges.remove(&ticket) else {
            return;
        };
        if let Some((_, explaining)) = self.explains.of.get_mut(&id) {
            let next = explaining.merged(result);
            self.go_on_explaining(now, id, next);
        }
    }

    /// Stops waiting where the time has come.
    pub(super) fn explain_on_time(&mut self, now: Now) {
        let due = self.explains.of.iter().filter(|(_, (_, e))| e.deadline() <= now.time);
        for id in due.map(|(id, _)| *id).collect::<BTreeSet<u64>>() {
            if let Some((_, explaining)) = self.explains.of.get_mut(&id) {
                let next = explaining.give_up_waiting();
                self.go_on_explaining(now, id, next);
            }
        }
    }

    fn go_on_explaining(&mut self, now: Now, id: u64, next: Next) {
        match next {
            Next::Wait => {}
            Next::Merge(request) => {
                let ticket = self.tickets.next();
                self.explains.merges.insert(ticket, id);
                if let Some((_, explaining)) = self.explains.of.get_mut(&id) {
                    explaining.wait_until(now.time.after(PATIENCE));
                }
                self.outputs.push_back(Output::Merge { ticket, request });
            }
            Next::Answer(explanation, body) => {
                if let Some((reply_to, _)) = self.explains.of.remove(&id) {
                    let response = Response::Explained(Box::new(explanation));
                    self.reply(reply_to, now, response, body);
                }
            }
        }
    }
}
