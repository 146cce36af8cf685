//! A get: heads from R owners, the bytes from one, the join of all, and the repair of who was behind.
//!
//! Heads are a few hundred bytes and values ten thousand, so only the local copy brings its bytes at once. A strict get
//! repairs before it answers, until W owners hold what it is about to return: so no later strict get goes back behind it.
//! In a sloppy get, fallbacks answer in place of owners that are down, refuse, or are silent for too long.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::causality::{Content, Dot, Object};
use crate::config::Shape;
use crate::coordinator::failed;
use crate::coordinator::found::found;
use crate::coordinator::{Fact, Machine, NUDGE, Order, Orders, Placed, refusals};
use crate::id::{Key, NodeId};
use crate::merge::{self, MergeFailure, MergeRequest};
use crate::message::client::{Code, Response};
use crate::message::peer::{Message, Refusal};
use crate::planted::{self, Bug};
use crate::quorum::{Joint, Tally, Verdict};
use crate::replica::Step;
use crate::stand_in::StandIns;
use crate::time::{Duration, Now, Time, Timestamp};

/// Bytes a microsecond that a holder of values is given the time for, before another one is asked for them too.
const SLOWEST: u64 = 32;

/// What a get is to do.
#[derive(Debug)]
pub(crate) struct GetPlan {
    pub(crate) id: u64,
    pub(crate) me: NodeId,
    pub(crate) key: Key,
    pub(crate) shape: Shape,
    /// What to ask for a merge; `None` in a bucket without a plugin.
    pub(crate) merge: Option<MergeRequest>,
    /// Lattice buckets: may versions be folded, or did the plugin break its laws?
    pub(crate) may_fold: bool,
    /// The change of the bucket since which it merges as it does.
    pub(crate) epoch: Option<Dot>,
    pub(crate) strict: bool,
    /// The clocks when it began.
    pub(crate) began: Now,
    /// The owners that are read from, in the order in which they are asked.
    pub(crate) owners: Vec<NodeId>,
    /// All owners: a strict get makes sure of so many of each of these sets.
    pub(crate) sets: Vec<Vec<NodeId>>,
    /// Owners that are not worth waiting for.
    pub(crate) down: BTreeSet<NodeId>,
    /// Who may stand in, in order; nobody in a strict get.
    pub(crate) fallbacks: Vec<NodeId>,
    /// In whose place this node coordinates, where it is no owner.
    pub(crate) stands_in: Option<NodeId>,
    pub(crate) r: u8,
    /// Owners that a strict get makes sure of.
    pub(crate) w: u8,
    /// How long those who are asked first may be silent before the rest is asked.
    pub(crate) hedge: Duration,
    /// How long an owner may be silent before a fallback is asked.
    pub(crate) patience: Duration,
    pub(crate) deadline: Time,
}

/// Where a get stands.
#[derive(Debug)]
enum Phase {
    /// Waiting for the heads of R owners.
    Heads,
    /// Waiting for bytes that this owner is said to hold.
    Bodies(NodeId),
    /// Waiting for the plugin.
    Merging { fold: bool },
    /// Strict: waiting for W owners to hold what is answered.
    Repairing(Joint),
}

/// A get in progress at its coordinator.
#[derive(Debug)]
pub(crate) struct Get {
    plan: GetPlan,
    phase: Phase,
    tally: Tally,
    /// Who was asked, and when, if he has not answered.
    asked: BTreeMap<NodeId, Option<Time>>,
    stand_ins: StandIns,
    next_stand_in: Time,
    /// What each node that answered holds.
    have: BTreeMap<NodeId, Object>,
    refused: Vec<(NodeId, Refusal)>,
    joined: Object,
    /// What the plugin made of several siblings, or why not.
    view: Option<Result<Content, MergeFailure>>,
    /// As of when it is answered: what expired by then is not shown.
    as_of: Timestamp,
    wake: Time,
}

impl Get {
    /// Starts a get; the caller reads this node's own copy with it.
    pub(crate) fn start(plan: GetPlan, now: Time) -> (Self, Orders) {
        let fewer = planted::has(Bug::HastyRead).into();
        let mut tally =
            Tally::new(plan.owners.iter().copied(), plan.r.saturating_sub(fewer).max(1));
        let mut stand_ins = StandIns::new(plan.fallbacks.iter().copied());
        if let Some(owner) = plan.stands_in {
            stand_ins.take(plan.me, owner);
            tally.admit(plan.me);
        }
        let mut get = Self {
            tally,
            stand_ins,
            next_stand_in: now.after(plan.patience),
            phase: Phase::Heads,
            asked: BTreeMap::from([(plan.me, None)]),
            have: BTreeMap::new(),
            refused: Vec::new(),
            joined: Object::default(),
            view: None,
            as_of: plan.began.wall,
            wake: now.after(plan.hedge),
            plan,
        };
        let first: Vec<NodeId> = get
            .plan
            .owners
            .iter()
            .copied()
            .filter(|owner| *owner != get.plan.me && !get.plan.down.contains(owner))
            .take(usize::from(get.plan.r) - 1)
            .collect();
        let short = usize::from(get.plan.r) - 1 - first.len();
        let mut orders = get.ask(now, first);
        if short > 0 {
            let down = get.plan.down.iter().copied();
            let down = down.filter(|owner| !get.stand_ins.has(*owner)).take(short).collect();
            orders.extend(get.stand_in(now, down));
        }
        (get, orders)
    }

    /// Has the next fallbacks answer in place of owners.
    fn stand_in(&mut self, now: Time, owners: Vec<NodeId>) -> Orders {
        let fallbacks: Vec<NodeId> =
            owners.into_iter().filter_map(|owner| self.stand_ins.next_for(owner)).collect();
        fallbacks.iter().for_each(|fallback| self.tally.admit(*fallback));
        self.ask(now, fallbacks)
    }

    /// Owners that have not answered, nor has anybody in their place.
    fn silent_owners(&self) -> Vec<NodeId> {
        let served: BTreeSet<NodeId> =
            self.have.keys().filter_map(|node| self.stand_ins.owner_of(*node)).collect();
        let waiting = self.tally.waiting().filter(|node| *node != self.plan.me);
        waiting.filter(|node| !self.is_stand_in(*node) && !served.contains(node)).collect()
    }

    fn is_stand_in(&self, node: NodeId) -> bool {
        self.stand_ins.owner_of(node).is_some()
    }

    fn ask(&mut self, now: Time, owners: Vec<NodeId>) -> Orders {
        owners
            .into_iter()
            .map(|owner| {
                self.asked.entry(owner).or_insert(Some(now));
                self.read(owner, false)
            })
            .collect()
    }

    fn read(&self, owner: NodeId, bodies: bool) -> Order {
        Order::Send(owner, Message::Read { ask: self.plan.id, key: self.plan.key.clone(), bodies })
    }

    fn join(&mut self, from: NodeId, object: Object) {
        match self.plan.shape {
            Shape::Siblings => self.joined.join(&object),
            Shape::Lattice(tombstones) => self.joined.join_lattice(&object, tombstones),
        }
        self.have.insert(from, object);
    }

    fn on_object(&mut self, now: Time, from: NodeId, object: Object) -> Orders {
        match self.phase {
            Phase::Heads => {
                self.join(from, object);
                match self.tally.success(from) {
                    Verdict::Reached => self.gather(now),
                    Verdict::Pending | Verdict::Impossible => Vec::new(),
                }
            }
            Phase::Bodies(_) => {
                self.join(from, object);
                self.gather(now)
            }
            Phase::Merging { .. } | Phase::Repairing(_) => Vec::new(),
        }
    }

    fn on_refusal(&mut self, now: Time, from: NodeId, why: Refusal) -> Orders {
        self.refused.push((from, why));
        let mut orders = Vec::new();
        if matches!(self.phase, Phase::Heads) {
            let owner = self.stand_ins.owner_of(from).unwrap_or(from);
            orders.extend(self.stand_in(now, vec![owner]));
        }
        match &self.phase {
            Phase::Heads => match self.tally.failure(from) {
                Verdict::Impossible => self.unavailable(),
                Verdict::Pending | Verdict::Reached => {
                    orders.extend(self.ask_the_rest(now));
                    orders
                }
            },
            Phase::Bodies(asked) if *asked == from => {
                self.have.remove(&from);
                self.gather(now)
            }
            Phase::Bodies(_) | Phase::Merging { .. } | Phase::Repairing(_) => Vec::new(),
        }
    }

    fn ask_the_rest(&mut self, now: Time) -> Orders {
        let rest = self.tally.waiting().filter(|owner| !self.asked.contains_key(owner)).collect();
        self.ask(now, rest)
    }

    /// R owners have answered: bring the bytes that are missing, then merge.
    fn gather(&mut self, now: Time) -> Orders {
        for object in self.have.values() {
            self.joined.adopt_bytes(object);
        }
        if !self.joined.lacks_bytes() {
            return self.merge(now);
        }
        let missing: BTreeSet<_> = self
            .joined
            .versions
            .iter()
            .filter(|v| v.content.lacks_bytes())
            .filter_map(|v| v.content.digest())
            .collect();
        let holds = |object: &Object| {
            object.versions.iter().any(|v| v.content.digest().is_some_and(|d| missing.contains(&d)))
        };
        let holders = self.have.iter().filter(|(_, object)| holds(object)).map(|(node, _)| *node);
        // The owners stand in the order in which they are best asked.
        let place = |node: &NodeId| self.plan.owners.iter().position(|owner| owner == node);
        match holders.min_by_key(|node| place(node).unwrap_or(usize::MAX)) {
            Some(owner) if owner != self.plan.me => {
                self.phase = Phase::Bodies(owner);
                let Duration(hedge) = self.plan.hedge;
                let carrying = self.joined.value_bytes() / SLOWEST;
                self.wake = now.after(NUDGE.min(Duration(2 * hedge + carrying)));
                vec![self.read(owner, true)]
            }
            Some(_) | None => self.unavailable(),
        }
    }

    /// All bytes are here: fold or merge, if there is more than one version.
    fn merge(&mut self, now: Time) -> Orders {
        self.as_of = self.plan.began.wall_at(now);
        let lattice = matches!(self.plan.shape, Shape::Lattice(_)) && self.plan.may_fold;
        let folded = if lattice { merge::fold(&self.joined) } else { None };
        let fold = folded.is_some();
        let inputs = folded.unwrap_or_else(|| merge::inputs(&self.joined.as_of(self.as_of)));
        match (&self.plan.merge, inputs.as_slice()) {
            (None, _) | (_, []) => self.repair(now),
            (_, [only]) => {
                if fold {
                    let content = Content::from_option(only.value.clone());
                    self.joined.replace_by_fold(content, self.plan.epoch);
                }
                self.repair(now)
            }
            (Some(merge), _) => {
                let request = MergeRequest { inputs, ..merge.clone() };
                self.phase = Phase::Merging { fold };
                vec![Order::Merge(request)]
            }
        }
    }

    fn merged(&mut self, now: Time, result: crate::merge::MergeResult) -> Orders {
        let Phase::Merging { fold } = core::mem::replace(&mut self.phase, Phase::Heads) else {
            return Vec::new();
        };
        let result = result.map(Content::from_option);
        if let (true, Ok(content)) = (fold, &result) {
            self.joined.replace_by_fold(content.clone(), self.plan.epoch);
        }
        self.view = Some(result);
        self.repair(now)
    }

    /// Sends the join to the owners that were behind: first, where the get is strict, and after the answer elsewhere.
    fn repair(&mut self, now: Time) -> Orders {
        let mut orders = Vec::new();
        if self.joined.has_clash() {
            orders.push(Order::Clash);
        }
        let current: Vec<NodeId> =
            self.have.iter().filter(|(_, o)| o.includes(&self.joined)).map(|(n, _)| *n).collect();
        let owners = self.plan.owners.iter().copied();
        let behind: Vec<NodeId> =
            owners.filter(|n| self.have.contains_key(n) && !current.contains(n)).collect();
        if !self.plan.strict || planted::has(Bug::NoRepair) {
            orders.extend(self.answer());
            orders.extend(self.copies(&behind, false));
            orders.push(Order::End);
            return orders;
        }
        self.ensure(now, &current, orders)
    }

    /// Answers once W owners of each set hold the join.
    fn ensure(&mut self, now: Time, current: &[NodeId], mut orders: Orders) -> Orders {
        let owners = self.plan.owners.iter().copied();
        let behind: Vec<NodeId> =
            owners.filter(|n| self.have.contains_key(n) && !current.contains(n)).collect();
        let mut tally = Joint::new(&self.plan.sets, self.plan.w);
        let mut verdict = tally.verdict();
        for owner in current {
            verdict = tally.success(*owner);
        }
        if verdict == Verdict::Reached {
            orders.extend(self.answer());
            orders.extend(self.copies(&behind, false));
            orders.push(Order::End);
            return orders;
        }
        let targets = tally.waiting();
        self.phase = Phase::Repairing(tally);
        self.wake = now.after(NUDGE);
        orders.extend(self.copies(&targets, true));
        orders
    }

    /// The ring has changed: begins anew with those who are read from by now, or goes on making sure that owners hold what
    /// was read.
    fn moved(&mut self, now: Time, placed: Placed) -> Orders {
        let Placed { readers, sets, down, fallbacks } = placed;
        let plan = &mut self.plan;
        plan.owners = readers;
        plan.sets = sets;
        plan.down = down.into_iter().filter(|node| plan.owners.contains(node)).collect();
        plan.fallbacks = if plan.strict { Vec::new() } else { fallbacks };
        match self.phase {
            Phase::Merging { .. } => return Vec::new(),
            Phase::Repairing(_) => {
                let current: Vec<NodeId> = self.have.keys().copied().collect();
                let holds = |n: &NodeId| self.have[n].includes(&self.joined);
                let current: Vec<NodeId> = current.into_iter().filter(holds).collect();
                return self.ensure(now, &current, Vec::new());
            }
            Phase::Heads | Phase::Bodies(_) => {}
        }
        let me = plan.me;
        let owns = plan.owners.contains(&me);
        plan.stands_in = plan.stands_in.map(|_| plan.owners[0]).filter(|_| !owns);
        self.tally = Tally::new(plan.owners.iter().copied(), plan.r);
        self.stand_ins = StandIns::new(plan.fallbacks.iter().copied());
        if let Some(owner) = plan.stands_in {
            self.stand_ins.take(me, owner);
            self.tally.admit(me);
        }
        self.phase = Phase::Heads;
        self.asked.clear();
        self.have.clear();
        self.refused.clear();
        self.joined = Object::default();
        self.next_stand_in = now.after(self.plan.patience);
        self.wake = now.after(self.plan.hedge);
        let mut orders = Vec::new();
        if owns || self.plan.stands_in.is_some() {
            self.asked.insert(me, None);
            orders.push(Order::Read);
        }
        let others = self.plan.owners.iter().copied().filter(|owner| *owner != me).collect();
        orders.extend(self.ask(now, others));
        orders
    }

    /// The join, to be kept by `targets`.
    fn copies(&self, targets: &[NodeId], tell: bool) -> Orders {
        let mut orders = Vec::new();
        for target in targets {
            orders.push(Order::Count("read_repairs"));
            let object = self.joined.clone();
            orders.push(if *target != self.plan.me {
                let ask = if tell { self.plan.id } else { 0 };
                Order::Send(*target, Message::Replicate { ask, key: self.plan.key.clone(), object })
            } else if tell {
                Order::Step(Step::Join(object))
            } else {
                Order::StepQuietly(Step::Join(object))
            });
        }
        orders
    }

    fn repaired(&mut self, from: NodeId, ok: bool) -> Orders {
        let Phase::Repairing(tally) = &mut self.phase else {
            return Vec::new();
        };
        let verdict = if ok { tally.success(from) } else { tally.failure(from) };
        match verdict {
            Verdict::Pending => Vec::new(),
            Verdict::Reached => {
                let mut orders = self.answer();
                orders.push(Order::End);
                orders
            }
            Verdict::Impossible => self.unavailable(),
        }
    }

    fn answer(&self) -> Orders {
        let fallbacks = self.have.keys().filter(|node| self.is_stand_in(**node)).count();
        let owners = self.have.len() - fallbacks;
        let (found, values) =
            found(&self.joined.as_of(self.as_of), self.view.as_ref(), owners, fallbacks);
        vec![Order::Found(self.joined.versions.len()), Order::Reply(Response::Found(found), values)]
    }

    /// The first answer of a peer: how long it took.
    fn timed(&mut self, now: Time, from: NodeId) -> Orders {
        let asked = self.asked.get_mut(&from).and_then(Option::take);
        asked.map(|at| Order::Took(from, now.since(at))).into_iter().collect()
    }

    /// Those whose answers will find nobody, and have taken longer than was waited for.
    fn still_silent(&self, now: Time) -> Orders {
        let silent = self.asked.iter().filter_map(|(node, at)| Some((*node, (*at)?)));
        let late = silent.filter(|(_, at)| now.since(*at) > self.plan.hedge);
        late.map(|(node, at)| Order::Silent(node, at)).collect()
    }

    fn unavailable(&self) -> Orders {
        let (have, need) = (self.tally.succeeded(), self.tally.needed());
        let text = format!(
            "{have} of the {need} nodes asked for have answered in time{}; nothing was changed: try again, or with a \
             smaller r",
            refusals(&self.refused)
        );
        vec![Order::Reply(failed(Code::Unavailable, text), Vec::new()), Order::End]
    }

    fn on_time(&mut self, now: Time) -> Orders {
        if now >= self.plan.deadline {
            return self.unavailable();
        }
        if matches!(self.phase, Phase::Heads) && now >= self.next_stand_in {
            self.next_stand_in = now.after(self.plan.patience);
            let silent = self.silent_owners();
            return self.stand_in(now, silent);
        }
        if now < self.wake {
            return Vec::new();
        }
        self.wake = now.after(NUDGE);
        match &self.phase {
            Phase::Heads => {
                let mut orders = self.ask_the_rest(now);
                if !orders.is_empty() {
                    orders.push(Order::Count("gets_hedged"));
                } else {
                    let me = self.plan.me;
                    let again = self.tally.waiting().filter(|owner| *owner != me);
                    orders = again.map(|owner| self.read(owner, false)).collect();
                }
                orders
            }
            Phase::Bodies(owner) => {
                // Its holder is slow: another may hold the same, or something newer.
                let nodes = self.plan.owners.iter().chain(self.have.keys());
                let others: BTreeSet<&NodeId> =
                    nodes.filter(|node| **node != self.plan.me && *node != owner).collect();
                let asked = others.into_iter().chain([owner]);
                let count = Order::Count("gets_hedged");
                asked.map(|owner| self.read(*owner, true)).chain([count]).collect()
            }
            Phase::Merging { .. } => Vec::new(),
            Phase::Repairing(tally) => {
                let others = tally.waiting().into_iter().filter(|owner| *owner != self.plan.me);
                self.copies(&others.collect::<Vec<_>>(), true)
            }
        }
    }
}

impl Machine for Get {
    fn on(&mut self, now: Time, fact: Fact) -> Orders {
        let me = self.plan.me;
        let mut orders = match fact {
            Fact::Read(object) => self.on_object(now, me, object),
            Fact::Held { from, object: Ok(object) } => {
                let mut orders = self.timed(now, from);
                orders.extend(self.on_object(now, from, object));
                orders
            }
            Fact::Held { from, object: Err(why) } => self.on_refusal(now, from, why),
            Fact::Failed(_) if matches!(self.phase, Phase::Repairing(_)) => {
                self.repaired(me, false)
            }
            Fact::Failed(_) => self.on_refusal(now, me, Refusal::Storage),
            Fact::Merged(result) => self.merged(now, result),
            Fact::Moved(placed) => self.moved(now, placed),
            Fact::Durable => self.repaired(me, true),
            Fact::Replicated { from, refused } => self.repaired(from, refused.is_none()),
            Fact::Time => self.on_time(now),
            Fact::Applied { .. }
            | Fact::Forwarded { .. }
            | Fact::Balloted { .. }
            | Fact::Ballot(_)
            | Fact::Keys { .. }
            | Fact::Voted { .. }
            | Fact::CatalogueHave { .. }
            | Fact::CatalogueSaved
            | Fact::Component { .. }
            | Fact::Validated(_) => Vec::new(),
        };
        if let Some(Order::End) = orders.last() {
            orders.extend(self.still_silent(now));
        }
        orders
    }

    fn wake(&self) -> Time {
        let stand_in = match self.phase {
            Phase::Heads => self.next_stand_in,
            Phase::Bodies(_) | Phase::Merging { .. } | Phase::Repairing(_) => Time(u64::MAX),
        };
        self.wake.min(self.plan.deadline).min(stand_in)
    }
}
