//! The node's part in listings: begins them, and looks up keys for its own and for those of peers.

use alloc::boxed::Box;
use alloc::string::ToString;

use super::{Node, refusal_of};
use crate::admission;
use crate::coordinator::list::{ListPlan, Listing};
use crate::coordinator::{Fact, ReplyTo};
use crate::cursor::Cursor;
use crate::id::NodeId;
use crate::io::Output;
use crate::message::client::{Code, Failure, List};
use crate::message::listing::ListQuestion;
use crate::message::peer::{Message, Refusal};
use crate::replica::{StoreJob, Ticket};
use crate::ring::{Partition, Tree};
use crate::store::StoreError;
use crate::survey::{Survey, Surveyed};
use crate::time::{Now, Time};

/// Looks for keys at one time: what is above is refused.
const MOST_LOOK_UPS: usize = 64;

/// Keys of a page whose request does not say how many.
const DEFAULT_KEYS: usize = 1_000;

/// Most keys of a page.
const MOST_KEYS: usize = 10_000;

/// Most partitions that one page looks at, also where it finds nothing.
const MOST_PARTITIONS: u32 = 256;

/// Who is to be told of the keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookUp {
    from: NodeId,
    ask: u64,
    partition: Partition,
    copies: u8,
}

impl Node {
    /// Begins a page of a listing.
    pub(super) fn begin_list(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        list: &List,
        deadline: Time,
    ) -> Result<(), Failure> {
        let config = admission::bucket(&self.boot.catalogue, &list.bucket)?.clone();
        let r = admission::quorum("r", list.r, config.r, config.n)?;
        let ring = self.ring.acting.ring();
        let cursor = match &list.cursor {
            Some(bytes) => Cursor::decode(bytes, ring, &list.bucket, &list.prefix)
                .map_err(|e| Failure::new(Code::BadRequest, e.to_string()))?,
            None => Cursor { partition: Partition(0), after: None },
        };
        self.count("lists");
        let first = cursor.partition.0;
        let last = first.saturating_add(MOST_PARTITIONS).min(ring.partitions());
        let partitions = (first..last).map(|number| {
            let partition = Partition(number);
            let mut owners = self.ring.acting.readers(Tree { partition, copies: config.n });
            owners.sort_by_key(|owner| (*owner != self.boot.id, !self.is_near(*owner, now.time)));
            (partition, owners)
        });
        let limit = match list.limit {
            0 => DEFAULT_KEYS,
            limit => (limit as usize).min(MOST_KEYS),
        };
        let partitions = partitions.collect();
        let id = self.new_id();
        let plan = ListPlan {
            id,
            me: self.boot.id,
            bucket: list.bucket.clone(),
            shape: config.mode.shape(),
            copies: config.n,
            prefix: list.prefix.clone(),
            limit,
            r,
            ring,
            after: cursor.after,
            partitions,
            next: (last < ring.partitions()).then_some(Partition(last)),
            began: now,
            hedge: self.boot.limits.hedge,
            deadline,
        };
        let (machine, orders) = Listing::start(plan, now.time);
        self.start(now, id, Box::new(machine), reply_to, None, orders);
        Ok(())
    }

    /// A peer asks for keys.
    pub(super) fn on_list(&mut self, now: Now, from: NodeId, ask: u64, question: ListQuestion) {
        if self.look_ups.len() < MOST_LOOK_UPS {
            self.look_up(from, ask, question);
        } else {
            let (partition, page) = (question.partition, Err(Refusal::Overloaded));
            self.send(now, from, Message::Keys { ask, partition, page });
        }
    }

    /// Looks for keys on this node's own disk.
    pub(super) fn look_up(&mut self, from: NodeId, ask: u64, question: ListQuestion) {
        let ticket = self.tickets.next();
        let (partition, copies) = (question.partition, question.copies);
        self.look_ups.insert(ticket, LookUp { from, ask, partition, copies });
        let job = StoreJob::Survey(Survey::Keys(question));
        self.outputs.push_back(Output::Store { ticket, job });
    }

    /// The store has looked.
    pub(super) fn looked_up(
        &mut self,
        now: Now,
        ticket: Ticket,
        result: Result<Surveyed, StoreError>,
    ) {
        let Some(LookUp { from, ask, partition, copies }) = self.look_ups.remove(&ticket) else {
            return;
        };
        let page = match result {
            Ok(_) if self.lacks(Tree { partition, copies }) => Err(Refusal::Storage),
            Ok(Surveyed::Keys(page)) => Ok(page),
            Ok(
                Surveyed::Roots(_)
                | Surveyed::Sums(..)
                | Surveyed::Heads(_)
                | Surveyed::Left(_)
                | Surveyed::Due(_)
                | Surveyed::Leftover { .. },
            ) => Err(Refusal::Storage),
            Err(error) => Err(refusal_of(&error)),
        };
        if from == self.boot.id {
            self.tell(now, ask, Fact::Keys { from, partition, page });
        } else {
            self.send(now, from, Message::Keys { ask, partition, page });
        }
    }
}
