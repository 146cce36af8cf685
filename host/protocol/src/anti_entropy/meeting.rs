//! Two copies of one key meet: each side takes over what the other has and it has not.
//!
//! The copies travel by the same messages as in a get and its repair. Which bytes are sent is decided by heads: a copy that
//! the other side's covers stays where it is.

use alloc::vec;
use alloc::vec::Vec;

use super::{Order, Orders};
use crate::causality::Object;
use crate::coordinator::{Fact, NUDGE};
use crate::id::{Key, NodeId};
use crate::message::peer::Message;
use crate::time::Time;

/// How far one direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Not known yet whether anything has to go this way.
    Unknown,
    /// On its way.
    Open,
    /// Durable there, or nothing to do.
    Done,
}

/// One key at which two nodes meet.
#[derive(Debug)]
pub(super) struct Meeting {
    number: u64,
    peer: NodeId,
    key: Key,
    mine: Option<Object>,
    theirs: Option<Object>,
    to_me: Way,
    to_them: Way,
    /// Nothing is taken over on this side.
    gives: bool,
    nudge: Time,
    failed: bool,
}

impl Meeting {
    /// Starts a meeting. `theirs` is what the peer said that it holds, perhaps without the bytes; unknown if it said nothing.
    pub(super) fn start(
        number: u64,
        peer: NodeId,
        key: Key,
        theirs: Option<Object>,
        gives: bool,
        now: Time,
    ) -> (Self, Orders) {
        let meeting = Self {
            number,
            peer,
            key,
            mine: None,
            theirs,
            to_me: Way::Unknown,
            to_them: Way::Unknown,
            gives,
            nudge: now.after(NUDGE),
            failed: false,
        };
        let mut orders = vec![Order::Read(number, meeting.key.clone())];
        orders.extend(meeting.theirs.is_none().then(|| meeting.ask(false)));
        (meeting, orders)
    }

    /// The key.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Is it over? And if so, has it brought the copies together?
    pub(super) fn is_over(&self) -> Option<bool> {
        let done = self.to_me == Way::Done && self.to_them == Way::Done;
        (self.failed || done).then_some(!self.failed)
    }

    /// When it wants to be told the time.
    pub(super) fn wake(&self) -> Time {
        self.nudge
    }

    /// Takes a fact.
    pub(super) fn on(&mut self, now: Time, fact: Fact) -> Orders {
        match fact {
            Fact::Read(object) => {
                self.mine = Some(object);
                self.compare()
            }
            Fact::Held { from, object: Ok(object) } if from == self.peer => self.held(object),
            Fact::Durable => {
                self.to_me = Way::Done;
                Vec::new()
            }
            Fact::Replicated { from, refused: None } if from == self.peer => {
                self.to_them = Way::Done;
                Vec::new()
            }
            Fact::Failed(_)
            | Fact::Held { object: Err(_), .. }
            | Fact::Replicated { refused: Some(_), .. } => {
                self.failed = true;
                Vec::new()
            }
            Fact::Time => self.ask_again(now),
            Fact::Applied { .. }
            | Fact::Held { .. }
            | Fact::Replicated { .. }
            | Fact::Merged(_)
            | Fact::Forwarded { .. }
            | Fact::Balloted { .. }
            | Fact::Ballot(_)
            | Fact::Keys { .. }
            | Fact::Voted { .. }
            | Fact::Moved(_)
            | Fact::CatalogueHave { .. }
            | Fact::CatalogueSaved
            | Fact::Component { .. }
            | Fact::Validated(_) => Vec::new(),
        }
    }

    fn ask(&self, bodies: bool) -> Order {
        let message = Message::Read { ask: self.number, key: self.key.clone(), bodies };
        Order::Send(self.peer, message)
    }

    fn held(&mut self, object: Object) -> Orders {
        match (self.to_me, &mut self.theirs) {
            (Way::Unknown, None) => {
                self.theirs = Some(object);
                self.compare()
            }
            (Way::Open, Some(theirs)) if theirs.lacks_bytes() => {
                *theirs = object;
                self.take()
            }
            // Said twice.
            (_, _) => Vec::new(),
        }
    }

    /// Both copies are known: sees what has to go where.
    fn compare(&mut self) -> Orders {
        let (Some(mine), Some(theirs)) = (&self.mine, &self.theirs) else {
            return Vec::new();
        };
        let (to_me, to_them) = (mine.lacks_of(theirs), theirs.lacks_of(mine));
        let mut orders = Vec::new();
        self.to_them = Way::Done;
        if to_them {
            self.to_them = Way::Open;
            orders.extend(self.give());
        }
        self.to_me = Way::Done;
        if to_me && !self.gives {
            self.to_me = Way::Open;
            orders.extend(self.take());
        }
        orders
    }

    fn give(&self) -> Option<Order> {
        let (mine, theirs) = (self.mine.as_ref()?, self.theirs.as_ref()?);
        let (ask, key, object) = (self.number, self.key.clone(), mine.answering(theirs));
        Some(Order::Send(self.peer, Message::Replicate { ask, key, object }))
    }

    /// Joins the peer's copy, or asks for its bytes first.
    fn take(&mut self) -> Orders {
        let (Some(mine), Some(theirs)) = (&self.mine, &mut self.theirs) else {
            return Vec::new();
        };
        theirs.adopt_bytes(mine);
        if theirs.lacks_bytes() {
            return vec![self.ask(true)];
        }
        vec![Order::Join(self.number, self.peer, self.key.clone(), theirs.clone())]
    }

    /// A message may have been lost.
    fn ask_again(&mut self, now: Time) -> Orders {
        if now < self.nudge {
            return Vec::new();
        }
        self.nudge = now.after(NUDGE);
        let mut orders = Vec::new();
        if self.theirs.is_none() {
            orders.push(self.ask(false));
        }
        if self.to_them == Way::Open {
            orders.extend(self.give());
        }
        if self.to_me == Way::Open && self.theirs.as_ref().is_some_and(Object::lacks_bytes) {
            orders.push(self.ask(true));
        }
        orders
    }
}
