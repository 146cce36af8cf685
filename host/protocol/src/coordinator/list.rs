//! A page of a listing: keys of a bucket, partition by partition, from R owners of each.
//!
//! Keys lie in partitions by their hash, so a listing in the order of all keys would have to ask every partition for every page.
//! This one goes through the partitions in order, some of them at once, and is in order within each. What R owners know of a
//! key is joined before it is listed, so deleted keys are not. With R + W > N a key that was acknowledged before the listing
//! came to its partition, and is not deleted meanwhile, is listed, and once; what is written meanwhile may be listed or not.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::causality::Object;
use crate::config::Shape;
use crate::coordinator::{Fact, Machine, NUDGE, Order, Orders, failed};
use crate::cursor::Cursor;
use crate::id::{BucketName, NodeId};
use crate::message::client::{Code, Listed, Response};
use crate::message::listing::{KeyPage, ListQuestion};
use crate::message::peer::{Message, Refusal};
use crate::quorum::{Tally, Verdict};
use crate::ring::{Partition, Ring};
use crate::time::{Duration, Now, Time, Timestamp};

/// Partitions that are asked at one time.
const AT_ONCE: usize = 8;

/// Bytes of keys after which a page ends.
const MOST_BYTES: usize = 512 * 1024;

/// Most keys that an owner is asked for at one time.
const MOST_ASKED: u32 = 256;

/// What a listing is to do.
#[derive(Debug)]
pub(crate) struct ListPlan {
    pub(crate) id: u64,
    pub(crate) me: NodeId,
    pub(crate) bucket: BucketName,
    pub(crate) shape: Shape,
    pub(crate) copies: u8,
    pub(crate) prefix: Bytes,
    pub(crate) limit: usize,
    pub(crate) r: u8,
    pub(crate) ring: Ring,
    /// After this key of the first partition.
    pub(crate) after: Option<Bytes>,
    /// Partitions to look at with their owners in the order in which they are asked; at least one.
    pub(crate) partitions: VecDeque<(Partition, Vec<NodeId>)>,
    /// The partition after them; none if the ring ends there.
    pub(crate) next: Option<Partition>,
    /// The clocks when it began.
    pub(crate) began: Now,
    /// How long the first R owners may take before the others are asked.
    pub(crate) hedge: Duration,
    pub(crate) deadline: Time,
}

/// A partition that is being asked.
#[derive(Debug)]
struct Asked {
    partition: Partition,
    owners: Vec<NodeId>,
    /// How many of the owners were asked.
    asked: usize,
    after: Option<Bytes>,
    tally: Tally,
    pages: BTreeMap<NodeId, KeyPage>,
    wake: Time,
}

/// A listing in progress.
#[derive(Debug)]
pub(crate) struct Listing {
    plan: ListPlan,
    /// In order; the first one is what the answer waits for.
    asked: VecDeque<Asked>,
    keys: Vec<Bytes>,
    bytes: usize,
}

impl Listing {
    /// Asks for the first partitions.
    pub(crate) fn start(plan: ListPlan, now: Time) -> (Self, Orders) {
        let mut listing = Self { plan, asked: VecDeque::new(), keys: Vec::new(), bytes: 0 };
        let after = listing.plan.after.take();
        let orders = listing.ask_more(now, after);
        (listing, orders)
    }

    /// Asks for further partitions; of the first of them, for keys after `after`.
    fn ask_more(&mut self, now: Time, mut after: Option<Bytes>) -> Orders {
        let mut orders = Vec::new();
        while self.asked.len() < AT_ONCE
            && let Some((partition, owners)) = self.plan.partitions.pop_front()
        {
            let tally = Tally::new(owners.iter().copied(), self.plan.r);
            let wake = now.after(self.plan.hedge);
            let pages = BTreeMap::new();
            let after = after.take();
            let mut asked = Asked { partition, owners, asked: 0, after, tally, pages, wake };
            orders.extend(self.ask(&mut asked, usize::from(self.plan.r)));
            self.asked.push_back(asked);
        }
        orders
    }

    /// Asks the owners of a partition up to this many.
    fn ask(&self, asked: &mut Asked, upto: usize) -> Orders {
        let new = asked.owners.iter().copied().take(upto).skip(asked.asked);
        let new: Vec<NodeId> = new.collect();
        asked.asked = asked.asked.max(upto);
        new.into_iter().map(|owner| self.question(asked, owner)).collect()
    }

    fn question(&self, asked: &Asked, owner: NodeId) -> Order {
        let left = u32::try_from(self.plan.limit - self.keys.len()).unwrap_or(u32::MAX);
        let question = ListQuestion {
            partition: asked.partition,
            copies: self.plan.copies,
            bucket: self.plan.bucket.clone(),
            prefix: self.plan.prefix.clone(),
            after: asked.after.clone(),
            // One more than is wanted tells whether there are more.
            limit: left.saturating_add(1).min(MOST_ASKED),
        };
        if owner == self.plan.me {
            Order::List(question)
        } else {
            Order::Send(owner, Message::List { ask: self.plan.id, question })
        }
    }

    fn answered(
        &mut self,
        now: Time,
        from: NodeId,
        partition: Partition,
        page: Result<KeyPage, Refusal>,
    ) -> Orders {
        let Some(at) = self.asked.iter().position(|asked| asked.partition == partition) else {
            return Vec::new();
        };
        match page {
            Ok(page) => {
                let asked = &mut self.asked[at];
                // A late answer to an earlier question about the partition: it may end before this one begins.
                if page.upto.is_some() && page.upto <= asked.after {
                    return Vec::new();
                }
                if asked.tally.success(from) != Verdict::Impossible {
                    asked.pages.insert(from, page);
                }
                self.go_on(now)
            }
            Err(_) => {
                if self.asked[at].tally.failure(from) == Verdict::Impossible {
                    return self.unavailable();
                }
                let Some(mut asked) = self.asked.remove(at) else {
                    return Vec::new();
                };
                let all = asked.owners.len();
                let orders = self.ask(&mut asked, all);
                self.asked.insert(at, asked);
                orders
            }
        }
    }

    /// Takes over what the first partitions have, as far as enough owners have answered.
    fn go_on(&mut self, now: Time) -> Orders {
        let mut orders = Vec::new();
        while let Some(first) = self.asked.front_mut()
            && first.tally.verdict() == Verdict::Reached
        {
            let partition = first.partition;
            let (keys, upto) = joined(first, self.plan.shape, self.plan.began.wall_at(now));
            for key in keys {
                if self.keys.len() >= self.plan.limit || self.bytes >= MOST_BYTES {
                    let after = first.after.clone();
                    return self.answer(Some(Cursor { partition, after }));
                }
                first.after = Some(key.clone());
                self.bytes += key.len();
                self.keys.push(key);
            }
            match upto {
                Some(upto) => {
                    first.after = Some(upto);
                    first.asked = 0;
                    first.tally = Tally::new(first.owners.iter().copied(), self.plan.r);
                    first.pages.clear();
                    first.wake = now.after(self.plan.hedge);
                    let Some(mut again) = self.asked.pop_front() else {
                        break;
                    };
                    orders.extend(self.ask(&mut again, usize::from(self.plan.r)));
                    self.asked.push_front(again);
                }
                None => {
                    self.asked.pop_front();
                }
            }
        }
        orders.extend(self.ask_more(now, None));
        if self.asked.is_empty() {
            let next = self.plan.next.map(|partition| Cursor { partition, after: None });
            return self.answer(next);
        }
        orders
    }

    fn answer(&mut self, cursor: Option<Cursor>) -> Orders {
        let cursor = cursor
            .map(|cursor| cursor.encode(self.plan.ring, &self.plan.bucket, &self.plan.prefix));
        let keys = core::mem::take(&mut self.keys);
        vec![Order::Reply(Response::Listed(Listed { keys, cursor }), Vec::new()), Order::End]
    }

    fn unavailable(&self) -> Orders {
        let partition = self.asked.front().map_or(0, |asked| asked.partition.0);
        let text = format!(
            "too few owners of partition {partition} answered in time: {} are asked for; list again, or with a smaller r",
            self.plan.r
        );
        vec![Order::Reply(failed(Code::Unavailable, text), Vec::new()), Order::End]
    }

    fn on_time(&mut self, now: Time) -> Orders {
        if now >= self.plan.deadline {
            return self.unavailable();
        }
        let mut orders = Vec::new();
        for mut asked in core::mem::take(&mut self.asked) {
            if now >= asked.wake && asked.tally.verdict() == Verdict::Pending {
                asked.wake = now.after(NUDGE);
                if asked.asked < asked.owners.len() {
                    let all = asked.owners.len();
                    orders.extend(self.ask(&mut asked, all));
                } else {
                    let again = asked.tally.waiting().map(|owner| self.question(&asked, owner));
                    orders.extend(again);
                }
            }
            self.asked.push_back(asked);
        }
        orders
    }
}

/// The keys of a partition that have a value, and the last key up to which that is all of them; none if there is no more.
fn joined(asked: &Asked, shape: Shape, wall: Timestamp) -> (Vec<Bytes>, Option<Bytes>) {
    let upto = asked.pages.values().filter_map(|page| page.upto.clone()).min();
    let is_here = |key: &&Bytes| {
        let passed = asked.after.as_ref().is_some_and(|after| *key <= after);
        !passed && upto.as_ref().is_none_or(|upto| *key <= upto)
    };
    let all = asked.pages.values().flat_map(|page| page.keys.iter().map(|(key, _)| key));
    let mut objects: BTreeMap<Bytes, Option<Object>> =
        all.filter(is_here).map(|key| (key.clone(), None)).collect();
    // An owner that holds nothing of a key may have collected its delete: then its marks say so.
    for page in asked.pages.values() {
        let mut held = page.keys.iter().peekable();
        for (key, known) in &mut objects {
            while held.next_if(|(other, _)| other < key).is_some() {}
            let object = held.next_if(|(other, _)| other == key).map(|(_, object)| object.clone());
            let mut object = object.unwrap_or_default();
            object.marks = page.marks.clone();
            match (known.as_mut(), shape) {
                (None, _) => *known = Some(object),
                (Some(known), Shape::Siblings) => known.join(&object),
                (Some(known), Shape::Lattice(tombstones)) => {
                    known.join_lattice(&object, tombstones);
                }
            }
        }
    }
    let objects = objects.into_iter().filter_map(|(key, known)| Some((key, known?)));
    let live = objects.filter(|(_, object)| !object.as_of(wall).is_deleted());
    (live.map(|(key, _)| key).collect(), upto)
}

impl Machine for Listing {
    fn on(&mut self, now: Time, fact: Fact) -> Orders {
        match fact {
            Fact::Keys { from, partition, page } => self.answered(now, from, partition, page),
            Fact::Moved(_) => {
                let text = "the ring has changed meanwhile: list again, from the same cursor";
                vec![Order::Reply(failed(Code::StaleLayout, text), Vec::new()), Order::End]
            }
            Fact::Time => self.on_time(now),
            Fact::Applied { .. }
            | Fact::Durable
            | Fact::Failed(_)
            | Fact::Read(_)
            | Fact::Replicated { .. }
            | Fact::Held { .. }
            | Fact::Balloted { .. }
            | Fact::Voted { .. }
            | Fact::Ballot(_)
            | Fact::Merged(_)
            | Fact::Validated(_)
            | Fact::Component { .. }
            | Fact::Forwarded { .. }
            | Fact::CatalogueHave { .. }
            | Fact::CatalogueSaved => Vec::new(),
        }
    }

    fn wake(&self) -> Time {
        let first = self.asked.iter().filter(|a| a.tally.verdict() == Verdict::Pending);
        first.map(|asked| asked.wake).min().unwrap_or(Time(u64::MAX)).min(self.plan.deadline)
    }
}
