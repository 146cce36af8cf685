//! An object: all that one replica knows of one key.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::causality::{Content, Context, Dot, Interval, Marks, Version};
use crate::id::{Actor, RequestId};
use crate::planted::{self, Bug};
use crate::time::{Expiry, Timestamp};

/// How many of the latest request ids an object remembers.
pub const MAX_REQUESTS: usize = 4;

/// How long after its write a request id is remembered, in microseconds of the hybrid logical clock.
const REQUEST_AGE: u64 = 300_000_000;

/// A note that a replica keeps beside its object and never sends: which interval of the context it opened itself, in this
/// life, and has held the object ever since. Only such an interval may be extended by a new dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Whose interval.
    pub actor: Actor,
    /// Its first dot when it was opened.
    pub from: Timestamp,
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
mod tests;
