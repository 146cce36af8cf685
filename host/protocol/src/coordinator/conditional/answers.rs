//! How a conditional put ends: what its client is told (it is made, the condition does not hold, nothing was written, or nobody
//! knows), and that its ballot is over.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{Conditional, Finding, Phase};
use crate::causality::Context;
use crate::config::Shape;
use crate::coordinator::found::{found, seen};
use crate::coordinator::{Order, Orders, failed, refusals};
use crate::encoding;
use crate::message::ballot::BallotQuestion;
use crate::message::client::{Code, Conflict, Response, Written};

impl Conditional {
    pub(super) fn answer(&mut self) -> Orders {
        self.answered = true;
        let (response, body) = match self.finding {
            Finding::Holds => (self.written(seen(&self.object)), Vec::new()),
            Finding::Made(dot) => {
                let sole = matches!(self.object.versions.as_slice(), [only] if only.dot == dot);
                let context = if sole {
                    seen(&self.object)
                } else {
                    self.plan.expected.union(&Context::of(dot))
                };
                (self.written(context), Vec::new())
            }
            Finding::Conflict if self.doubtful && !self.is_final() => {
                let text = "it was proposed, and the key has changed several times since";
                (self.unknown(text), Vec::new())
            }
            Finding::Conflict => {
                let view = self.view.as_ref().filter(|_| self.plan.shape == Shape::Siblings);
                let object = self.object.as_of(self.as_of);
                let (found, values) = found(&object, view, self.have.len(), 0);
                (Response::Conflict(Conflict { found, settled: self.is_final() }), values)
            }
        };
        vec![Order::Reply(response, body)]
    }

    pub(super) fn answer_and_end(&mut self) -> Orders {
        let mut orders = if self.answered { Vec::new() } else { self.answer() };
        orders.extend(self.end());
        orders
    }

    /// Tells the owners that this ballot is over. They forget it after a while.
    pub(super) fn end(&self) -> Orders {
        let by_all = self.chosen && self.have.len() == self.plan.owners.len();
        let mut orders: Orders = self
            .plan
            .owners
            .iter()
            .map(|owner| self.ask(*owner, BallotQuestion::Settled { by_all }))
            .collect();
        orders.push(Order::End);
        orders
    }

    /// Can no earlier try of this request have been made, nor be made yet? The object remembers the latest requests: if one of
    /// them is of a write that the client had seen, or the first of all, then those of all writes since.
    fn is_final(&self) -> bool {
        let dots = || self.object.requests.iter().map(|(dot, _)| *dot);
        let first = self.object.context.intervals().iter().map(|interval| interval.from).min();
        dots().any(|dot| self.plan.expected.covers_dot(dot) || Some(dot.time) <= first)
    }

    fn written(&self, context: Context) -> Response {
        let owners = match &self.phase {
            Phase::Committing(tally) => tally.least(|_| true),
            Phase::Preparing(_)
            | Phase::Fetching { .. }
            | Phase::Merging
            | Phase::Accepting(_)
            | Phase::Waiting(_) => self.have.len(),
        };
        Response::Written(Written {
            context: encoding::encode_context(&context),
            owners: u8::try_from(owners).unwrap_or(u8::MAX),
            fallbacks: 0,
        })
    }

    fn refusals(&self) -> String {
        refusals(&self.refused.iter().map(|(node, why)| (*node, *why)).collect::<Vec<_>>())
    }

    fn unknown(&self, why: &str) -> Response {
        failed(
            Code::Unknown,
            format!(
                "{why}{}; the write may or may not be read later: send the same request again to find out",
                self.refusals()
            ),
        )
    }

    /// It can't be gone on with.
    pub(super) fn give_up(&self, why: &str) -> Orders {
        let made =
            matches!(self.finding, Finding::Made(_)) && !matches!(self.phase, Phase::Preparing(_));
        let response = if self.doubtful || made {
            self.unknown(why)
        } else {
            let text = format!(
                "{why}{}; a conditional put takes a majority of the key's {} owners; nothing was written: try again",
                self.refusals(),
                self.plan.owners.len()
            );
            failed(Code::Unavailable, text)
        };
        let mut orders = vec![Order::Reply(response, Vec::new())];
        orders.extend(self.end());
        orders
    }
}
