//! Gets and puts: from a client's request to the machine that carries it out.
//!
//! An owner of the key coordinates. Another node passes the request on to an owner, and stands in itself only where no owner
//! answers and the request is sloppy.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::admission;
use crate::causality::{Content, Dot};
use crate::config::{BucketConfig, Consistency};
use crate::coordinator::forward::{Forward, ForwardPlan};
use crate::coordinator::get::{Get, GetPlan};
use crate::coordinator::put::{Put, PutPlan};
use crate::coordinator::{Fact, Placed, ReplyTo, failed};
use crate::id::{Key, NodeId};
use crate::keys::{Asker, Target};
use crate::merge::MergeRequest;
use crate::message::client::{Code, Failure, Request, RequestHeader, Response};
use crate::node::ballots::Conditioned;
use crate::node::healing::lost;
use crate::node::{Node, overloaded};
use crate::replica::{Rules, StandsIn};
use crate::ring::{Partition, Position, Tree};
use crate::store::Bodies;
use crate::time::{Duration, Expiry, Now, Time};

/// As what this node carries a request out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It was asked: it coordinates if it is an owner, and passes the request on if not.
    Asked,
    /// It is no owner, and no owner answered: it stands in. Owners that were asked may have made the write.
    StandsIn,
    /// As either of these, after the bucket's plugin looked at the value.
    Validated {
        /// As no owner.
        stands_in: bool,
    },
}

impl Role {
    /// Is it no owner, and stands in?
    pub(super) fn stands_in(self) -> bool {
        match self {
            Self::Asked => false,
            Self::StandsIn => true,
            Self::Validated { stands_in } => stands_in,
        }
    }
}

/// Where a request goes.
struct Course {
    key: Key,
    position: Position,
    config: BucketConfig,
    placed: Placed,
    /// In whose place this node coordinates.
    instead_of: Option<NodeId>,
}

impl Node {
    /// Begins a get.
    pub(super) fn begin_get(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        header: RequestHeader,
        body: Bytes,
        deadline: Time,
        role: Role,
    ) -> Result<(), Failure> {
        let Request::Get(get) = &header.request else {
            return Ok(());
        };
        let key = Key { bucket: get.bucket.clone(), key: get.key.clone() };
        admission::key(&self.boot.limits, &key)?;
        let config = admission::bucket(&self.boot.catalogue, &key.bucket)?.clone();
        let r = admission::quorum("r", get.r, config.r, config.n)?;
        let strict = get.consistency.unwrap_or(config.consistency) == Consistency::Strict;
        if role == Role::Asked {
            self.count("gets");
        }
        self.check_stand_in(role)?;
        let mut course = self.course(key, config, role);
        if !course.placed.readers.contains(&self.boot.id) && role == Role::Asked {
            self.forward(now, reply_to, header, body, course, !strict, deadline);
            return Ok(());
        }
        let id = self.new_id();
        // Who was heard of lately and is not slow is asked first; among those, the load is spread.
        let turn = usize::try_from(id % 7).expect("below seven");
        let spread = turn % course.placed.readers.len();
        course.placed.readers.rotate_left(spread);
        self.sort_by_pace(&mut course.placed.readers, id, now.time);
        let Course { key, position, config, placed, instead_of } = course;
        let Placed { readers: owners, sets, mut down, fallbacks } = placed;
        down.retain(|node| owners.contains(node));
        let target = self.target(key.clone(), position, &config);
        let hedge = self.hedge(&owners, r);
        let plan = GetPlan {
            id,
            me: self.boot.id,
            key: key.clone(),
            shape: config.mode.shape(),
            merge: target.merge.clone(),
            may_fold: target.rules.can_merge,
            epoch: target.rules.epoch,
            began: now,
            strict,
            owners,
            sets,
            down,
            fallbacks: if strict { Vec::new() } else { fallbacks },
            stands_in: instead_of,
            r,
            w: config.w,
            hedge,
            patience: self.boot.limits.stand_in,
            deadline,
        };
        let (get, orders) = Get::start(plan, now.time);
        self.start(now, id, Box::new(get), reply_to, Some(target), orders);
        if self.lacks(position.tree) {
            self.tell(now, id, Fact::Failed(lost()));
        } else {
            self.keys.read(Asker::Op(id), &key, position, Bodies::All, &mut self.tickets);
        }
        Ok(())
    }

    /// Begins a put or a delete.
    pub(super) fn begin_put(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        header: RequestHeader,
        body: Bytes,
        deadline: Time,
        role: Role,
    ) -> Result<(), Failure> {
        let (write, is_put) = match &header.request {
            Request::Put(write) => (write, true),
            Request::Delete(write) => (write, false),
            Request::Get(_)
            | Request::List(_)
            | Request::BucketCreate(_)
            | Request::BucketSet(_)
            | Request::BucketList
            | Request::Layout
            | Request::Plugin(_)
            | Request::Cluster(_)
            | Request::Explain(_)
            | Request::Scrub
            | Request::Status => return Ok(()),
        };
        let key = Key { bucket: write.bucket.clone(), key: write.key.clone() };
        admission::key(&self.boot.limits, &key)?;
        admission::value(&self.boot.limits, body.len())?;
        let config = admission::bucket(&self.boot.catalogue, &key.bucket)?.clone();
        let w = admission::quorum("w", write.w, config.w, config.n)?;
        let ttl_ms = admission::ttl(write.ttl_ms, is_put, &config)?;
        let seen = admission::context(write.context.as_deref())?;
        if role == Role::Asked {
            self.count(if is_put { "puts" } else { "deletes" });
        }
        let sloppy = config.consistency == Consistency::Sloppy && !write.conditional;
        self.check_stand_in(role)?;
        let mut course = self.course(key, config, role);
        if !course.placed.readers.contains(&self.boot.id) && role == Role::Asked {
            self.forward(now, reply_to, header, body, course, sloppy, deadline);
            return Ok(());
        }
        if self.lacks(course.position.tree) {
            // It would not recognise an earlier try of the same request.
            course.placed.readers.retain(|owner| *owner != self.boot.id);
            self.forward(now, reply_to, header, body, course, false, deadline);
            return Ok(());
        }
        if is_put
            && role != (Role::Validated { stands_in: role.stands_in() })
            && let Some(request) = self.validation(&course.key, &course.config, &body)
        {
            self.begin_validation(now, reply_to, request, header, role, deadline);
            return Ok(());
        }
        if let Err(ahead) = self.boot.clock.observe(seen.latest(), now.wall) {
            return Err(Failure::new(
                Code::BadContext,
                alloc::format!("{ahead}; nothing was written"),
            ));
        }
        let request = write.request;
        let content = if is_put { Content::value(body) } else { Content::Tombstone };
        let expires = ttl_ms.map(|ttl_ms| Expiry::after(now.wall, ttl_ms));
        if write.conditional {
            let Course { key, config, placed, .. } = course;
            let write = Conditioned { expected: seen, content, expires, request, w };
            return self.begin_conditional(now, reply_to, key, &config, placed, write, deadline);
        }
        let Some(time) = self.boot.clock.tick(now.wall) else {
            return Err(overloaded());
        };
        let id = self.new_id();
        let Course { key, position, config, placed, instead_of } = course;
        let plan = PutPlan {
            id,
            me: self.boot.id,
            key: key.clone(),
            seen,
            content,
            expires,
            request,
            wall: now.wall,
            dot: Dot { time, actor: self.boot.life.actor },
            placed,
            stands_in: instead_of.map(|owner| StandsIn { owner, since: now.wall }),
            sloppy,
            doubtful: role.stands_in(),
            w,
            patience: self.boot.limits.stand_in,
            deadline,
        };
        // Before anybody hears of it.
        self.deletes.dots.give(id, time, position.tree);
        let target = self.target(key, position, &config);
        let (put, orders) = Put::start(plan, now.time);
        self.start(now, id, Box::new(put), reply_to, Some(target), orders);
        Ok(())
    }

    /// Carries a request out in place of the owners, none of whom answered.
    pub(super) fn stand_in(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        header: RequestHeader,
        body: Bytes,
        deadline: Time,
    ) {
        self.count("requests_stood_in_for");
        let writes = !matches!(header.request, Request::Get(_));
        let begun = if writes {
            self.begin_put(now, reply_to, header, body, deadline, Role::StandsIn)
        } else {
            self.begin_get(now, reply_to, header, body, deadline, Role::StandsIn)
        };
        if let Err(failure) = begun {
            let response = if writes {
                let text = "no owner answered in time, and this node could not stand in; the write may or may not be \
                            read later: read the key, or send the same request again";
                failed(Code::Unknown, text)
            } else {
                Response::Failed(failure)
            };
            self.reply(reply_to, now, response, Vec::new());
        }
    }

    /// Who leaves the ring, or has left it, keeps nothing for others: nobody would take it from there once it is no member.
    fn check_stand_in(&self, role: Role) -> Result<(), Failure> {
        if role.stands_in() && (self.is_leaving() || !self.is_member()) {
            let text = "this node leaves the ring and stands in for nobody; nothing was done: ask another one";
            return Err(Failure::new(Code::Unavailable, text));
        }
        Ok(())
    }

    /// Passes a request on to the owners that are up.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one request, each named at the two calls"
    )]
    fn forward(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        header: RequestHeader,
        body: Bytes,
        course: Course,
        sloppy: bool,
        deadline: Time,
    ) {
        if self.lacks(course.position.tree) && matches!(reply_to, ReplyTo::Peer(..)) {
            let text = "this node has lost some of what it held, and does not have it back yet; nothing was done: try \
                        again at another owner";
            self.reply(reply_to, now, failed(Code::Storage, text), Vec::new());
            return;
        }
        if let ReplyTo::Peer(..) = reply_to {
            // It was passed on once already: both sides would have to act by different layouts.
            let text = "this node does not own the key; nothing was done: ask for the layout and try again";
            self.reply(reply_to, now, failed(Code::StaleLayout, text), Vec::new());
            return;
        }
        let Course { key, position, config, placed, .. } = course;
        let Placed { readers: mut owners, down, .. } = placed;
        let target = self.target(key, position, &config);
        if sloppy {
            owners.retain(|owner| !down.contains(owner));
            if owners.is_empty() {
                self.stand_in(now, reply_to, header, body, deadline);
                return;
            }
        }
        self.count("requests_forwarded");
        let id = self.new_id();
        self.sort_by_pace(&mut owners, id, now.time);
        let writes = !matches!(header.request, Request::Get(_));
        // An owner that answers may itself have waited for the other owners once.
        let patience = sloppy.then_some(Duration(2 * self.boot.limits.stand_in.0));
        let plan = ForwardPlan { id, header, body, owners, writes, patience, deadline };
        let (forward, orders) = Forward::start(plan, now.time);
        self.start(now, id, Box::new(forward), reply_to, Some(target), orders);
    }

    /// Whom a request concerns, and who may stand in: twice as many fallbacks as there are copies, of those that are up.
    fn course(&self, key: Key, config: BucketConfig, role: Role) -> Course {
        let position = self.ring.acting.ring().position(&key, config.n);
        let mut placed = self.placed(position.tree);
        // Who stands in has found the owners silent.
        if role.stands_in() {
            placed.down.extend(placed.readers.iter().copied());
        }
        let instead_of = role.stands_in().then(|| placed.readers[0]);
        Course { key, position, config, placed, instead_of }
    }

    /// Whom a request about a key of this tree concerns.
    pub(super) fn placed(&self, tree: Tree) -> Placed {
        let record = &self.ring.acting;
        let (me, down) = (self.boot.id, self.membership.down());
        let fallbacks = record.fallbacks(tree).into_iter();
        let fallbacks = fallbacks
            .filter(|node| *node != me && !down.contains(node))
            .take(2 * usize::from(tree.copies))
            .collect();
        let owners = record.owners(tree).into_iter();
        Placed {
            readers: record.readers(tree),
            sets: record.write_sets(tree),
            down: owners.filter(|node| down.contains(node)).collect(),
            fallbacks,
        }
    }

    /// The ring has changed: tells all operations on keys whom they concern by now.
    pub(super) fn tell_moved(&mut self, now: Now) {
        let operations = self.operations.iter();
        let trees = operations.map(|(id, o)| (*id, o.target.as_ref().map(|t| t.position.tree)));
        for (id, tree) in trees.collect::<Vec<_>>() {
            // A listing concerns many keys: it only has to know that the ring has changed.
            let tree = tree.unwrap_or(Tree { partition: Partition(0), copies: 1 });
            let placed = self.placed(tree);
            self.tell(now, id, Fact::Moved(placed));
        }
    }

    /// Where a key lies, and the owners that are read from and coordinate, in order of preference.
    pub(super) fn place(&self, key: &Key, config: &BucketConfig) -> (Position, Vec<NodeId>) {
        let position = self.ring.acting.ring().position(key, config.n);
        (position, self.ring.acting.readers(position.tree))
    }

    /// A key with all that is needed to work on it.
    pub(super) fn target(&self, key: Key, position: Position, config: &BucketConfig) -> Target {
        let merge = config.mode.plugin().map(|plugin| MergeRequest {
            plugin: plugin.to_string(),
            bucket: key.bucket.as_str().to_string(),
            key: key.key.clone(),
            config: config.plugin_config.clone(),
            inputs: Vec::new(),
        });
        let rules = Rules {
            shape: config.mode.shape(),
            can_merge: merge.is_some() && !self.suspended.contains(&key.bucket),
            epoch: self.boot.catalogue.buckets().get(&key.bucket).and_then(|entry| entry.epoch),
            siblings: self.boot.limits.siblings,
            object_bytes: self.boot.limits.object_bytes,
        };
        Target { key, position, rules, merge }
    }

    /// Where a key lies. Of a bucket that is not known yet there is nothing, wherever it is looked for.
    pub(super) fn position(&self, key: &Key) -> Position {
        let config = self.boot.catalogue.bucket(&key.bucket);
        let copies = config.map_or(self.ring.acting.copies(), |config| config.n);
        self.ring.acting.ring().position(key, copies)
    }

    /// Was this node heard of within the last three greetings?
    pub(super) fn is_near(&self, node: NodeId, now: Time) -> bool {
        let limit = Duration(3 * self.boot.limits.hello.0);
        node == self.boot.id
            || self
                .peers
                .get(&node)
                .and_then(|peer| peer.heard)
                .is_some_and(|at| now.since(at) <= limit)
    }
}
