//! An object: all that one replica knows of one key.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::causality::{Acceptor, Content, Context, DebtChange, Dot, Epoch, Interval, Marks, Owed};
use crate::id::{Actor, NodeId, RequestId};
use crate::planted::{self, Bug};
use crate::time::{Expiry, Timestamp};

/// How many of the latest request ids an object remembers.
pub const MAX_REQUESTS: usize = 4;

/// How long after its write a request id is remembered, in microseconds of the hybrid logical clock.
const REQUEST_AGE: u64 = 300_000_000;

/// In a lattice bucket whose deletes reset: the delete that the values were written after; `None` before the first.
///
/// Generations compare by time first, as dots do; values join only within one.
pub type Generation = Option<Dot>;

/// A note that a replica keeps beside its object and never sends: which interval of the context it opened itself, in this
/// life, and has held the object ever since. Only such an interval may be extended by a new dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Whose interval.
    pub actor: Actor,
    /// Its first dot when it was opened.
    pub from: Timestamp,
}

/// One version of a key: what one write left, or in a lattice bucket what several writes were folded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The write; of a folded version, the latest write that is folded in.
    pub dot: Dot,
    /// Its bytes, or that it is a delete.
    pub content: Content,
    /// Lattice buckets only: every write whose value is folded into this one. Empty elsewhere.
    pub covers: Context,
    /// Lattice buckets with resetting deletes only.
    pub generation: Generation,
    /// Lattice buckets only: by which merge function it was folded.
    pub epoch: Epoch,
    /// When it expires; none in lattice buckets. An expired version becomes a tombstone with the same dot and this same time,
    /// which is what tells it from one that was damaged.
    pub expires: Option<Expiry>,
}

impl Version {
    /// A version as a plain write makes it.
    #[must_use]
    pub fn new(dot: Dot, content: Content) -> Self {
        Self {
            dot,
            content,
            covers: Context::new(),
            generation: None,
            epoch: Epoch::default(),
            expires: None,
        }
    }

    /// Is it still to expire?
    #[must_use]
    pub fn due(&self) -> Option<Expiry> {
        self.expires.filter(|_| !self.content.is_tombstone())
    }

    /// Is this what `other` becomes when it expires?
    #[must_use]
    pub fn is_end_of(&self, other: &Self) -> bool {
        self.dot == other.dot
            && self.expires.is_some()
            && self.expires == other.expires
            && self.content.is_tombstone()
            && !other.content.is_tombstone()
    }

    /// What distinguishes versions: a dot with two different contents is two versions, and an alarm.
    fn identity(&self) -> (Dot, Option<crate::causality::Digest>) {
        (self.dot, self.content.digest())
    }
}

/// All that one replica knows of one key: which writes it has seen, and the versions that no seen write has replaced.
///
/// Versions are kept in order of their dots, so that equal objects are equal byte for byte. Marks are no part of an object:
/// they come with it from its holder, and two objects that differ in them alone are equal.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// Every write that this object has seen, but for those of which the marks of its holder say so.
    pub context: Context,
    /// The siblings; in a lattice bucket, the parts that are not folded yet.
    pub versions: Vec<Version>,
    /// The ids of the latest requests and the dots they were given: a retry of one of them is the same write.
    pub requests: Vec<(Dot, RequestId)>,
    /// What its holder says of all keys of the tree, or as much of it as a message had room for. Not stored with the object.
    pub marks: Marks,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.context == other.context
            && self.versions == other.versions
            && self.requests == other.requests
    }
}

impl Eq for Object {}

/// What a replica stores for a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The object.
    pub object: Object,
    /// The local note of the interval that this replica opened.
    pub opened: Option<Opened>,
    /// The owners that this replica stood in for, sorted. At most as many as a layout keeps copies.
    pub owed: Vec<Owed>,
    /// What this owner has promised and accepted of the key; none where no conditional put is under way or remembered.
    pub acceptor: Option<Acceptor>,
}

impl Stored {
    /// The versions whose values are kept: those of the object, and those of a proposal beside it.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        let proposal = self.acceptor.as_ref().and_then(|acceptor| acceptor.proposal.as_ref());
        self.object.versions.iter().chain(proposal.into_iter().flat_map(|o| &o.versions))
    }

    /// As [`Stored::versions`], to be changed.
    pub fn versions_mut(&mut self) -> impl Iterator<Item = &mut Version> {
        let proposal = self.acceptor.as_mut().and_then(|acceptor| acceptor.proposal.as_mut());
        self.object.versions.iter_mut().chain(proposal.into_iter().flat_map(|o| &mut o.versions))
    }

    /// Takes over the bytes of equal values from `other`.
    pub fn adopt_bytes(&mut self, other: &Self) {
        for version in self.versions_mut() {
            for theirs in other.versions() {
                version.content.adopt(&theirs.content);
            }
        }
    }

    /// Owes the object to `owner` too. A debt that stands already keeps its age.
    pub fn owe(&mut self, owner: NodeId, since: Timestamp) {
        if let Err(at) = self.owed.binary_search_by_key(&owner, |owed| owed.owner) {
            self.owed.insert(at, Owed { owner, since, bytes: 0 });
        }
    }

    /// What `self`, written over `before`, changes of what is owed.
    #[must_use]
    pub fn debt_changes(&self, before: &Self) -> Vec<DebtChange> {
        let find = |stored: &Self, owner| stored.owed.iter().find(|o| o.owner == owner).copied();
        let mut owners: Vec<NodeId> =
            before.owed.iter().chain(&self.owed).map(|owed| owed.owner).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
            .into_iter()
            .map(|owner| DebtChange {
                owner,
                before: find(before, owner),
                after: find(self, owner),
            })
            .filter(|change| change.before != change.after)
            .collect()
    }
}

impl Object {
    /// The dot that an earlier try of `request` was given here, or at a replica whose object was joined with this one.
    #[must_use]
    pub fn dot_of(&self, request: RequestId) -> Option<Dot> {
        self.requests.iter().find(|(_, id)| *id == request).map(|(dot, _)| *dot)
    }

    /// Is there no version but tombstones?
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.versions.iter().all(|v| v.content.is_tombstone())
    }

    /// Is a delete all that is left?
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        !self.versions.is_empty() && self.is_deleted()
    }

    /// The number of different values among the versions.
    #[must_use]
    pub fn distinct_values(&self) -> usize {
        let mut digests: Vec<_> = self.versions.iter().filter_map(|v| v.content.digest()).collect();
        digests.sort_unstable();
        digests.dedup();
        digests.len()
    }

    /// The latest write that this object knows of. Its context alone does not say so: what lies within its holder's marks is
    /// stripped of it, also where a version of that is still here.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        let versions = self.versions.iter().map(|version| version.dot.time);
        versions.fold(self.context.latest(), Timestamp::max)
    }

    /// This object without the bytes of values longer than `inline` bytes.
    #[must_use]
    pub fn head(&self, inline: u32) -> Self {
        let mut head = self.clone();
        for version in &mut head.versions {
            if version.content.len() > inline {
                version.content = version.content.head();
            }
        }
        head
    }

    /// Do some values lack their bytes?
    #[must_use]
    pub fn lacks_bytes(&self) -> bool {
        self.versions.iter().any(|v| v.content.lacks_bytes())
    }

    /// Takes over the bytes of equal values from `other`.
    pub fn adopt_bytes(&mut self, other: &Self) {
        for version in &mut self.versions {
            for theirs in &other.versions {
                version.content.adopt(&theirs.content);
            }
        }
    }

    /// Sum of the lengths of the values, in bytes.
    #[must_use]
    pub fn value_bytes(&self) -> u64 {
        self.versions.iter().map(|v| u64::from(v.content.len())).sum()
    }

    /// Writes `content` under `dot`, replacing the siblings that `seen` covers, and no others.
    ///
    /// The new dot extends the interval that `opened` names, or opens one. `dot` must be later than every dot of its actor
    /// in this object.
    pub fn put(
        &mut self,
        seen: &Context,
        dot: Dot,
        content: Content,
        request: RequestId,
        opened: &mut Option<Opened>,
    ) {
        self.put_version(seen, Version::new(dot, content), request, opened);
    }

    /// As [`Object::put`], of a version that may expire.
    pub fn put_version(
        &mut self,
        seen: &Context,
        version: Version,
        request: RequestId,
        opened: &mut Option<Opened>,
    ) {
        let dot = version.dot;
        self.versions.retain(|v| !seen.covers_dot(v.dot));
        self.context.unite(seen);
        self.claim(dot, opened);
        self.versions.push(version);
        self.versions.sort_by_key(Version::identity);
        self.remember(dot, request);
    }

    /// When the first of its versions expires that is still to.
    #[must_use]
    pub fn due(&self) -> Option<Expiry> {
        self.versions.iter().filter_map(Version::due).min()
    }

    /// Turns every version into a tombstone that expires up to `upto`.
    pub fn expire(&mut self, upto: Expiry) {
        for version in &mut self.versions {
            if version.due().is_some_and(|due| due <= upto) {
                version.content = Content::Tombstone;
            }
        }
        self.versions.sort_by_key(Version::identity);
    }

    /// This object as a reader sees it whose wall clock reads `wall`: what expired by then is deleted.
    #[must_use]
    pub fn as_of(&self, wall: Timestamp) -> Cow<'_, Self> {
        if self.due().is_none_or(|due| !due.is_past(wall)) || planted::has(Bug::ShownExpired) {
            return Cow::Borrowed(self);
        }
        let mut object = self.clone();
        object.expire(Expiry(wall.0 / 1_000));
        Cow::Owned(object)
    }

    /// Takes over from `other` that versions of this object have expired.
    fn expire_as(&mut self, other: &Self) {
        for version in &mut self.versions {
            if other.versions.iter().any(|theirs| theirs.is_end_of(version)) {
                version.content = Content::Tombstone;
            }
        }
    }

    /// Has `other` versions that have expired here and not there?
    fn outlives(&self, other: &Self) -> bool {
        let ended = |theirs: &Version| self.versions.iter().any(|mine| mine.is_end_of(theirs));
        other.versions.iter().any(ended)
    }

    /// Covers `dot` in the context, by extending the interval that this replica opened or by opening one.
    pub(crate) fn claim(&mut self, dot: Dot, opened: &mut Option<Opened>) -> Interval {
        let from = match *opened {
            Some(note) if note.actor == dot.actor => note.from,
            _ if planted::has(Bug::VersionVector) => Timestamp::default(),
            _ => dot.time,
        };
        *opened = Some(Opened { actor: dot.actor, from });
        let interval = Interval { actor: dot.actor, from, to: dot.time };
        self.context.insert(interval);
        interval
    }

    /// Keeps the request id of a write.
    pub(crate) fn remember(&mut self, dot: Dot, request: RequestId) {
        self.requests.push((dot, request));
        self.forget_old_requests();
    }

    fn forget_old_requests(&mut self) {
        self.requests.sort_unstable_by(|a, b| b.cmp(a));
        self.requests.dedup();
        self.requests.truncate(MAX_REQUESTS);
        if let Some((newest, _)) = self.requests.first().copied() {
            self.requests.retain(|(dot, _)| newest.time.0 - dot.time.0 <= REQUEST_AGE);
        }
    }

    /// Unites the request ids of both.
    pub(crate) fn unite_requests(&mut self, other: &Self) {
        if self.requests != other.requests {
            self.requests.extend_from_slice(&other.requests);
            self.forget_old_requests();
        }
    }

    /// Has this object, or do the marks of its holder say that it has, seen the write or what replaced it?
    #[must_use]
    pub fn has_seen(&self, dot: Dot) -> bool {
        let by_marks = self.marks.covers_dot(dot)
            && !planted::has(Bug::ForgottenFill)
            && !planted::has(Bug::ForgetfulJoin);
        self.context.covers_dot(dot) || by_marks
    }

    /// Has it, by its context and the marks of its holder, seen all that `other` has?
    #[must_use]
    pub fn has_seen_all(&self, other: &Context) -> bool {
        match self.marks.strip(other) {
            Some(left) => self.context.covers(&left),
            None => self.context.covers(other),
        }
    }

    /// This object for a holder of `theirs`: what the marks say of the writes that are there stands in the context too, since
    /// a message has room for the marks of so many actors only.
    #[must_use]
    pub fn answering(&self, theirs: &Self) -> Self {
        let mut object = self.clone();
        for version in &theirs.versions {
            if version.covers.is_empty() && self.marks.covers_dot(version.dot) {
                object.context.unite(&Context::of(version.dot));
            } else if !version.covers.is_empty() && version.is_gone_from(self) {
                object.context.unite(&version.covers);
            }
        }
        object
    }

    /// What a client is to send back with its next write: all that was seen, and so the versions that are here.
    #[must_use]
    pub fn context_for_client(&self) -> Context {
        let mut context = self.context.clone();
        for version in &self.versions {
            context.unite(&Context::of(version.dot));
        }
        context
    }

    /// Joins what another replica knows: a version stays if both have it, or if the one that lacks it has not seen it, be it
    /// by its context or by the marks that come with it.
    ///
    /// A version that has expired on one side has on both.
    ///
    /// This is the join of dotted version vector sets: commutative, associative and idempotent.
    pub fn join(&mut self, other: &Self) {
        self.expire_as(other);
        let mut other = Cow::Borrowed(other);
        if self.outlives(&other) {
            other.to_mut().expire_as(self);
        }
        let other = &*other;
        for version in &mut self.versions {
            if let Some(same) = other.versions.iter().find(|v| v.identity() == version.identity()) {
                version.content.adopt(&same.content);
            }
        }
        let has = |o: &Self, v: &Version| o.versions.iter().any(|w| w.identity() == v.identity());
        let fresh: Vec<Version> = other
            .versions
            .iter()
            .filter(|v| !self.has_seen(v.dot) && !has(self, v))
            .cloned()
            .collect();
        // One dot with two contents: only a broken node or disk makes it. Neither side's is dropped.
        let clashing: Vec<Version> = other
            .versions
            .iter()
            .filter(|v| !has(self, v) && self.versions.iter().any(|w| w.dot == v.dot))
            .cloned()
            .collect();
        let both = self.versions.iter().chain(&other.versions);
        let deletes: Vec<Version> = both.filter(|v| v.content.is_tombstone()).cloned().collect();
        let mut kept = core::mem::take(&mut self.versions);
        kept.retain(|v| {
            has(other, v) || !other.has_seen(v.dot) || other.versions.iter().any(|w| w.dot == v.dot)
        });
        // What only marks say is gone was deleted. Where nothing is left, a delete that one side still has goes on saying so.
        if kept.is_empty() && fresh.is_empty() && clashing.is_empty() {
            kept = deletes;
        }
        self.versions = kept;
        self.versions.extend(fresh);
        self.versions.extend(clashing);
        self.versions.sort_by_key(Version::identity);
        self.versions.dedup_by_key(|v| v.identity());
        self.context.unite(&other.context);
        self.marks.unite(&other.marks);
        self.unite_requests(other);
        if planted::has(Bug::ForgetfulJoin) {
            self.context = Context::new();
            self.context = self.context_for_client();
        }
        if planted::has(Bug::LoneSibling) {
            let latest = self.versions.iter().map(|v| v.dot).max();
            self.versions.retain(|v| Some(v.dot) == latest);
        }
    }

    /// Does one dot stand here with two contents, or one coverage with two values of one merge function? That breaks what dots
    /// are for, or what the plugin promised, and is an alarm.
    #[must_use]
    pub fn has_clash(&self) -> bool {
        self.versions.iter().enumerate().any(|(i, v)| {
            self.versions[i + 1..].iter().any(|w| {
                let clash = if v.covers.is_empty() {
                    v.dot == w.dot
                } else {
                    v.covers == w.covers && v.epoch.clashes(w.epoch)
                };
                clash && v.content != w.content
            })
        })
    }

    /// Would this object learn anything from `other`: a write that it has not seen, other bytes of one that it has, or that
    /// something was replaced?
    #[must_use]
    pub fn lacks_of(&self, other: &Self) -> bool {
        let is_known = |theirs: &Version| {
            if theirs.covers.is_empty() {
                let clash = self.versions.iter().any(|v| {
                    v.dot == theirs.dot && v.content != theirs.content && !v.is_end_of(theirs)
                });
                !clash && self.has_seen(theirs.dot)
            } else {
                let holds = |v: &Version| {
                    v.covers != theirs.covers
                        || v.content == theirs.content
                        || v.epoch.stands_over(theirs.epoch)
                };
                self.versions.iter().any(|v| v.covers.covers(&theirs.covers) && holds(v))
            }
        };
        let is_gone = |mine: &Version| {
            if mine.covers.is_empty() {
                other.has_seen(mine.dot) && !other.versions.iter().any(|v| v.dot == mine.dot)
            } else {
                mine.is_gone_from(other)
            }
        };
        !self.has_seen_all(&other.context)
            || !other.versions.iter().all(is_known)
            || self.versions.iter().any(is_gone)
    }

    /// Is every version of `other` here, and every write that it has seen?
    ///
    /// A replica whose object includes the joined one needs no repair.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.has_seen_all(&other.context)
            && self.versions.len() == other.versions.len()
            && self.versions.iter().zip(&other.versions).all(|(a, b)| a.identity() == b.identity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec;
    use bytes::Bytes;

    const REQUEST: RequestId = RequestId([7; 16]);

    fn dot(actor: u64, time: u64) -> Dot {
        Dot { actor: Actor(actor), time: Timestamp(time) }
    }

    fn content(n: u64) -> Content {
        Content::value(Bytes::copy_from_slice(&n.to_be_bytes()))
    }

    fn dots(object: &Object) -> Vec<Dot> {
        object.versions.iter().map(|v| v.dot).collect()
    }

    /// A replica with its local note.
    #[derive(Clone, Default, PartialEq, Debug)]
    struct Replica {
        object: Object,
        opened: Option<Opened>,
    }

    impl Replica {
        fn put(&mut self, seen: &Context, dot: Dot) {
            self.object.put(seen, dot, content(dot.time.0), REQUEST, &mut self.opened);
        }
    }

    #[test]
    fn a_put_replaces_what_it_has_seen_and_no_more() {
        let mut a = Replica::default();
        a.put(&Context::new(), dot(1, 1));
        let seen = a.object.context.clone();
        a.put(&Context::new(), dot(1, 2));
        a.put(&seen, dot(1, 3));
        assert_eq!(dots(&a.object), [dot(1, 2), dot(1, 3)]);
        assert_eq!(a.object.context.intervals().len(), 1);
    }

    #[test]
    fn a_new_life_opens_a_new_interval() {
        let mut a = Replica::default();
        a.put(&Context::new(), dot(1, 5));
        a.put(&Context::new(), dot(2, 9));
        let intervals: Vec<_> =
            a.object.context.intervals().iter().map(|i| (i.actor.0, i.from.0, i.to.0)).collect();
        assert_eq!(intervals, [(1, 5, 5), (2, 9, 9)]);
    }

    /// A coordinator replicates dot 1, loses it in a crash, and comes back as another actor: its next write must not
    /// kill the one that others hold.
    #[test]
    fn a_write_lost_at_its_coordinator_survives_elsewhere() {
        let mut coordinator = Replica::default();
        coordinator.put(&Context::new(), dot(1, 1));
        let elsewhere = coordinator.object.clone();
        let mut reborn = Replica::default();
        reborn.put(&Context::new(), dot(2, 2));
        let mut joined = elsewhere.clone();
        joined.join(&reborn.object);
        assert_eq!(dots(&joined), [dot(1, 1), dot(2, 2)]);

        // The planted fault: the same actor goes on after the crash, with the interval of its former life.
        let mut same_life = Replica { opened: coordinator.opened, ..Replica::default() };
        same_life.put(&Context::new(), dot(1, 2));
        let mut lost = elsewhere;
        lost.join(&same_life.object);
        assert_eq!(dots(&lost), [dot(1, 2)]);
    }

    #[test]
    fn one_dot_with_two_contents_is_kept_twice() {
        let mut a = Replica::default();
        a.put(&Context::new(), dot(1, 1));
        let mut b = a.clone();
        b.object.versions[0].content = content(99);
        let (mut ab, mut ba) = (a.object.clone(), b.object.clone());
        ab.join(&b.object);
        ba.join(&a.object);
        assert_eq!(ab, ba);
        assert_eq!(ab.versions.len(), 2);
        assert!(ab.has_clash());
    }

    #[test]
    fn requests_are_remembered_and_bounded() {
        let mut a = Replica::default();
        for time in 1..=20u8 {
            let id = RequestId([time; 16]);
            let seen = a.object.context.clone();
            a.object.put(&seen, dot(1, time.into()), content(1), id, &mut a.opened);
        }
        assert_eq!(a.object.requests.len(), MAX_REQUESTS);
        assert_eq!(a.object.dot_of(RequestId([20; 16])), Some(dot(1, 20)));
        assert_eq!(a.object.dot_of(RequestId([1; 16])), None);
    }

    #[test]
    fn an_object_lacks_what_a_join_would_change_and_nothing_else() {
        let mut old = Replica::default();
        old.put(&Context::new(), dot(1, 1));
        let mut new = old.clone();
        new.put(&old.object.context, dot(1, 2));
        let mut beside = old.clone();
        beside.put(&Context::new(), dot(2, 3));
        let mut clashing = old.clone();
        clashing.object.versions[0].content = content(99);
        let all = [Replica::default(), old, new, beside, clashing].map(|replica| replica.object);
        for a in &all {
            for b in &all {
                let mut joined = a.clone();
                joined.join(b);
                assert_eq!(a.lacks_of(b), joined != *a, "{a:?} of {b:?}");
            }
        }
    }

    #[test]
    fn bytes_are_taken_over_where_a_head_lacks_them() {
        let mut a = Replica::default();
        a.put(&Context::new(), dot(1, 1));
        let mut head = a.object.head(0);
        assert!(head.lacks_bytes());
        head.join(&a.object);
        assert!(!head.lacks_bytes());
        assert_eq!(head, a.object);
    }

    /// What the object should hold, by the definition of causality: every write with the set of writes it had seen.
    #[derive(Clone, Default, PartialEq, Debug)]
    struct Model {
        seen: BTreeSet<Dot>,
        alive: BTreeSet<Dot>,
    }

    impl Model {
        fn put(&mut self, context: &BTreeSet<Dot>, dot: Dot) {
            self.alive.retain(|d| !context.contains(d));
            self.seen.extend(context);
            self.seen.insert(dot);
            self.alive.insert(dot);
        }

        fn join(&mut self, other: &Self) {
            let mine =
                self.alive.iter().filter(|d| other.alive.contains(d) || !other.seen.contains(d));
            let theirs =
                other.alive.iter().filter(|d| self.alive.contains(d) || !self.seen.contains(d));
            self.alive = mine.chain(theirs).copied().collect();
            self.seen.extend(&other.seen);
        }
    }

    /// One step of the small world: 3 replicas, 2 clients.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Get { client: usize, replica: usize },
        Put { client: usize, replica: usize },
        Sync { from: usize, to: usize },
    }

    const REPLICAS: usize = 3;
    const CLIENTS: usize = 2;

    fn steps() -> Vec<Step> {
        let mut all = vec![];
        for replica in 0..REPLICAS {
            for client in 0..CLIENTS {
                all.push(Step::Get { client, replica });
                all.push(Step::Put { client, replica });
            }
            for to in (0..REPLICAS).filter(|to| *to != replica) {
                all.push(Step::Sync { from: replica, to });
            }
        }
        all
    }

    #[derive(Clone, Default)]
    struct World {
        replicas: [(Replica, Model); REPLICAS],
        clients: [(Context, BTreeSet<Dot>); CLIENTS],
        time: u64,
    }

    impl World {
        fn step(&mut self, step: Step) {
            match step {
                Step::Get { client, replica } => {
                    let (real, model) = &self.replicas[replica];
                    self.clients[client] = (real.object.context.clone(), model.seen.clone());
                }
                Step::Put { client, replica } => {
                    self.time += 1;
                    let dot = dot(replica as u64, self.time);
                    let (context, seen) = &self.clients[client];
                    let (real, model) = &mut self.replicas[replica];
                    real.put(context, dot);
                    model.put(seen, dot);
                }
                Step::Sync { from, to } => {
                    let (real, model) = self.replicas[from].clone();
                    self.replicas[to].0.object.join(&real.object);
                    self.replicas[to].1.join(&model);
                }
            }
        }

        fn check(&self) {
            for (real, model) in &self.replicas {
                assert_eq!(dots(&real.object), model.alive.iter().copied().collect::<Vec<_>>());
            }
            let (a, b, c) = (
                &self.replicas[0].0.object,
                &self.replicas[1].0.object,
                &self.replicas[2].0.object,
            );
            let join = |x: &Object, y: &Object| {
                let mut joined = x.clone();
                joined.join(y);
                joined
            };
            assert_eq!(join(a, b), join(b, a), "commutative");
            assert_eq!(join(&join(a, b), c), join(a, &join(b, c)), "associative");
            assert_eq!(join(a, a), *a, "idempotent");
            assert!(join(a, b).includes(&join(b, a)));
        }
    }

    fn explore(world: &World, depth: usize, steps: &[Step], count: &mut u64) {
        world.check();
        *count += 1;
        if depth == 0 {
            return;
        }
        for step in steps {
            let mut next = world.clone();
            next.step(*step);
            explore(&next, depth - 1, steps, count);
        }
    }

    /// Every sequence of gets, puts and syncs up to a length, against the definition of causality. The first step is a put
    /// by client 0 on replica 0: all others are the same world with other names, or a world without writes.
    #[test]
    fn small_worlds_agree_with_the_definition() {
        let mut world = World::default();
        world.step(Step::Put { client: 0, replica: 0 });
        let mut count = 0;
        let depth = if cfg!(debug_assertions) { 3 } else { 5 };
        explore(&world, depth, &steps(), &mut count);
        assert!(count > 6_000);
    }

    use proptest::prelude::{Strategy, any, prop, proptest};

    proptest! {
        #[test]
        fn long_histories_agree_with_the_definition(
            choices in prop::collection::vec(any::<prop::sample::Index>().prop_map(|i| *i.get(&steps())), 0..60),
        ) {
            let mut world = World::default();
            for step in choices {
                world.step(step);
                world.check();
            }
        }
    }
}
