//! A bucket is to merge with an installed plugin: waits until every member can, and then has the change made.
//!
//! A member that can't would keep siblings and serve them, so nothing would be lost; but the operator asked for values, and
//! should know who can't give them before the change and not after it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::causality::Digest;
use crate::coordinator::{Fact, Machine, Order, Orders, failed};
use crate::id::NodeId;
use crate::message::client::{BucketChange, Code};
use crate::message::peer::Message;
use crate::message::plugin::ComponentState;
use crate::time::{Duration, Time};

/// How often members that are not ready are asked again.
const AGAIN: Duration = Duration::from_millis(250);

/// A change of a bucket that waits for its plugin to be ready everywhere.
#[derive(Debug)]
pub(crate) struct Readiness {
    id: u64,
    component: Digest,
    change: BucketChange,
    /// Members that have not said that they are ready, and what they said; none if nothing.
    waiting: BTreeMap<NodeId, Option<ComponentState>>,
    names: BTreeMap<NodeId, String>,
    nudge: Time,
    deadline: Time,
}

impl Readiness {
    /// Asks all members, this one too.
    pub(crate) fn start(
        id: u64,
        component: Digest,
        change: BucketChange,
        members: BTreeMap<NodeId, String>,
        now: Time,
        deadline: Time,
    ) -> (Self, Orders) {
        let readiness = Self {
            id,
            component,
            change,
            waiting: members.keys().map(|member| (*member, None)).collect(),
            names: members,
            nudge: now.after(AGAIN),
            deadline,
        };
        let orders = readiness.ask();
        (readiness, orders)
    }

    fn ask(&self) -> Orders {
        let message = Message::ComponentAsk { ask: self.id, component: self.component };
        self.waiting.keys().map(|member| Order::Send(*member, message.clone())).collect()
    }

    fn heard(&mut self, from: NodeId, state: ComponentState) -> Orders {
        match state {
            ComponentState::Ready => {
                self.waiting.remove(&from);
            }
            ComponentState::Missing | ComponentState::Failed(_) => {
                if let Some(said) = self.waiting.get_mut(&from) {
                    *said = Some(state);
                }
            }
        }
        if self.waiting.is_empty() {
            return vec![Order::Change(self.change.clone(), self.deadline)];
        }
        Vec::new()
    }

    fn give_up(&self) -> Orders {
        let who: Vec<String> = self
            .waiting
            .iter()
            .map(|(member, said)| {
                let name = self.names.get(member).cloned().unwrap_or_else(|| format!("{member}"));
                match said {
                    None => format!("{name} does not answer"),
                    Some(ComponentState::Failed(why)) => format!("{name} can't use it: {why}"),
                    Some(ComponentState::Missing | ComponentState::Ready) => {
                        format!("{name} does not have it yet")
                    }
                }
            })
            .collect();
        let text = format!(
            "plugin `{}` is not ready everywhere: {}; nothing was changed: wait longer, or use --force, and those nodes keep \
             siblings until they are ready",
            self.change.config.mode.plugin().unwrap_or_default(),
            who.join("; ")
        );
        vec![Order::Reply(failed(Code::BadRequest, text), Vec::new()), Order::End]
    }
}

impl Machine for Readiness {
    fn on(&mut self, now: Time, fact: Fact) -> Orders {
        match fact {
            Fact::Component { from, state } => self.heard(from, state),
            Fact::Time if now >= self.deadline => self.give_up(),
            Fact::Time => {
                self.nudge = now.after(AGAIN);
                self.ask()
            }
            Fact::Applied { .. }
            | Fact::Durable
            | Fact::Failed(_)
            | Fact::Read(_)
            | Fact::Replicated { .. }
            | Fact::Held { .. }
            | Fact::Merged(_)
            | Fact::Validated(_)
            | Fact::Balloted { .. }
            | Fact::Ballot(_)
            | Fact::Keys { .. }
            | Fact::Voted { .. }
            | Fact::Moved(_)
            | Fact::Forwarded { .. }
            | Fact::CatalogueHave { .. }
            | Fact::CatalogueSaved => Vec::new(),
        }
    }

    fn wake(&self) -> Time {
        self.nudge.min(self.deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BucketConfig, Mode};
    use crate::id::BucketName;
    use crate::message::client::{Failure, Response};
    use alloc::string::ToString;

    const DEADLINE: Time = Time(5_000_000);

    fn started() -> Readiness {
        let mode = Mode::Resolver { plugin: "a@1".into() };
        let config = BucketConfig { mode, ..BucketConfig::default() };
        let change = BucketChange { bucket: BucketName::new("b").unwrap(), config, force: false };
        let members = (1..=3).map(|n| (NodeId(n), format!("n{n}"))).collect();
        let (readiness, orders) =
            Readiness::start(7, Digest::of(b"a"), change, members, Time(0), DEADLINE);
        assert_eq!(orders.len(), 3);
        readiness
    }

    fn said(readiness: &mut Readiness, n: u64, state: ComponentState) -> Orders {
        readiness.on(Time(1), Fact::Component { from: NodeId(n), state })
    }

    #[test]
    fn the_change_is_made_once_all_are_ready() {
        let mut readiness = started();
        assert!(said(&mut readiness, 1, ComponentState::Ready).is_empty());
        assert!(said(&mut readiness, 2, ComponentState::Missing).is_empty());
        assert!(said(&mut readiness, 3, ComponentState::Ready).is_empty());
        let again = readiness.on(AGAIN_AT, Fact::Time);
        assert!(matches!(again[..], [Order::Send(NodeId(2), _)]), "{again:?}");
        let made = said(&mut readiness, 2, ComponentState::Ready);
        assert!(matches!(made[..], [Order::Change(..)]), "{made:?}");
    }

    const AGAIN_AT: Time = Time(250_000);

    #[test]
    fn who_is_not_ready_in_time_is_named_with_the_reason() {
        let mut readiness = started();
        said(&mut readiness, 1, ComponentState::Failed("no".to_string()));
        said(&mut readiness, 2, ComponentState::Missing);
        let orders = readiness.on(DEADLINE, Fact::Time);
        let [Order::Reply(Response::Failed(Failure { message, .. }), _), Order::End] = &orders[..]
        else {
            panic!("{orders:?}")
        };
        for part in ["n1 can't use it: no", "n2 does not have it yet", "n3 does not answer"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
