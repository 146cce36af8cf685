//! A read that one node is slow to answer is put to another one too, and the first answer counts (Dean and Barroso 2013, "The
//! Tail at Scale").
//!
//! Only reads of a key: they change nothing, and every owner can answer. The second node is asked when the first has taken
//! longer than 95 of 100 of its answers do, and longer than the fastest node would: a node that is slow all the time sets no
//! pace. What is left unread is cancelled with its stream.

use std::time::{Duration, Instant};

use kinfold_protocol::message::client::Response;

use crate::client::{Call, Client};
use crate::course::{Course, Kind};
use crate::error::Error;
use crate::exchange::{Answer, Fault};
use crate::route::{Route, Target};

/// How long a node may be silent that is hardly known yet.
const UNKNOWN: Duration = Duration::from_millis(500);

/// No second node is asked sooner.
const SOONEST: Duration = Duration::from_millis(2);

/// What came of asking a node.
pub(crate) struct Ended {
    pub(crate) target: Target,
    pub(crate) outcome: Result<Answer, Fault>,
}

impl Ended {
    /// Has it what was asked for?
    fn is_good(&self) -> bool {
        let failed = |answer: &Answer| matches!(answer.header.response, Response::Failed(_));
        self.outcome.as_ref().is_ok_and(|answer| !failed(answer))
    }
}

/// Asks a node, and the next one on the course where the first is slow. Gives what came of it, in order; the last one is good
/// if any is.
///
/// # Errors
/// [`Error::Config`]: the request can't be sent to anybody.
pub(crate) async fn ask(
    client: &Client,
    call: &Call,
    course: &mut Course,
    target: Target,
    limit: Duration,
) -> Result<Vec<Ended>, Error> {
    let begun = Instant::now();
    let frame = client.frame(&call.request, &call.body, limit)?;
    let asked = target.clone();
    let first = client.attempt(&asked, &call.request, frame, limit);
    tokio::pin!(first);
    if !may_hedge(call) {
        let outcome = first.await;
        return Ok(vec![Ended { target, outcome }]);
    }
    let nodes = client.nodes();
    let wait = patience(nodes.pace(&target.address), fastest(client));
    tokio::select! {
        outcome = &mut first => {
            nodes.took(&target.address, begun.elapsed());
            return Ok(vec![Ended { target, outcome }]);
        }
        () = tokio::time::sleep(wait) => {}
    }
    let Some((other, left)) = course.another(Instant::now()) else {
        let outcome = first.await;
        nodes.took(&target.address, begun.elapsed());
        return Ok(vec![Ended { target, outcome }]);
    };
    tracing::debug!(slow = target.name, node = other.name, "asked another node too");
    let hedged = Instant::now();
    let frame = client.frame(&call.request, &call.body, left)?;
    let asked = other.clone();
    let second = client.attempt(&asked, &call.request, frame, left);
    tokio::pin!(second);
    let ended = tokio::select! {
        outcome = &mut first => {
            nodes.took(&target.address, begun.elapsed());
            let ended = Ended { target, outcome };
            if ended.is_good() { vec![ended] } else {
                vec![ended, Ended { target: other, outcome: second.await }]
            }
        }
        outcome = &mut second => {
            nodes.took(&other.address, hedged.elapsed());
            // It took longer than this, which is enough to know it for slow.
            nodes.took(&target.address, begun.elapsed());
            let ended = Ended { target: other, outcome };
            if ended.is_good() { vec![ended] } else {
                vec![ended, Ended { target, outcome: first.await }]
            }
        }
    };
    Ok(ended)
}

fn may_hedge(call: &Call) -> bool {
    match (call.kind, &call.route) {
        (Kind::Read, Route::AnyOwner(_)) => true,
        (Kind::Read, Route::FirstOwner(_) | Route::Anyone | Route::Seeds | Route::Just(_))
        | (Kind::Write(_), _) => false,
    }
}

/// The pace of the fastest member that is known.
fn fastest(client: &Client) -> Option<Duration> {
    let layout = client.layout();
    let addresses = client.addresses();
    let address = |m| crate::route::target(m, addresses).address;
    layout.members().iter().filter_map(|m| client.nodes().pace(&address(m))).min()
}

/// How long a node of that pace may be silent, where the fastest is as fast as that.
fn patience(its: Option<Duration>, fastest: Option<Duration>) -> Duration {
    let usual = its.unwrap_or(UNKNOWN);
    // Twice the fastest: not everybody can be that fast.
    fastest.map_or(usual, |fastest| usual.min(2 * fastest)).max(SOONEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_node_sets_no_pace() {
        let ms = Duration::from_millis;
        assert_eq!(patience(None, None), UNKNOWN);
        assert_eq!(patience(Some(ms(7)), None), ms(7));
        assert_eq!(patience(Some(ms(7)), Some(ms(5))), ms(7));
        assert_eq!(patience(Some(ms(700)), Some(ms(5))), ms(10));
        assert_eq!(patience(None, Some(ms(5))), ms(10));
        assert_eq!(patience(Some(Duration::from_micros(90)), None), SOONEST);
    }
}
