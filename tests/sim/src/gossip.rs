//! Failure detection measured: how soon a node that is gone is noticed, and how often one that is there is taken for gone.
//!
//! The paper (Das, Gupta, Motivala 2002, section 3.1) expects the first detection after 1 / (1 - (1 - 1/(n-1))^(n-1)) periods,
//! for many nodes e / (e - 1) = 1.58: the period in which the first probe hits the node that is gone, counted in whole
//! periods. That is what [`Figures::periods_to_first_probe`] is; the suspicion follows at the end of that probe.

use std::collections::{BTreeMap, BTreeSet};

use kinfold_protocol::config::Limits;
use kinfold_protocol::id::NodeId;
use kinfold_protocol::message::client::Reach;
use kinfold_protocol::node::Node;
use kinfold_protocol::time::Duration;

use crate::disk::Loss;
use crate::event::Event;
use crate::machine::Machine;
use crate::net::Weather;
use crate::rng::Rng;
use crate::stage::cluster;
use crate::world::World;

/// How finely time is looked at: parts of a period.
const STEPS: u64 = 20;

/// Periods after which a node that is gone must be known to be down, whatever the size.
const PATIENCE: u64 = 60;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Nodes.
    pub nodes: usize,
    /// Datagrams lost, of a thousand.
    pub loss: u32,
    /// Do nodes stand still, one at a time, for up to two periods?
    pub pauses: bool,
    /// How often nodes fail.
    pub failures: u32,
    /// How many nodes fail each time, at one moment.
    pub at_once: u32,
    /// Chance.
    pub seed: u64,
}

/// What was measured. Times are means, in periods.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// From a failure to the first probe of the node, in whole periods, as the paper counts.
    pub periods_to_first_probe: f64,
    /// What the paper expects of that.
    pub expected: f64,
    /// From a failure until the first node suspects it.
    pub first_suspicion: f64,
    /// From a failure until the first node has declared it down.
    pub first_down: f64,
    /// From a failure until all nodes know.
    pub all_know: f64,
    /// Failures that not everybody knew of within the patience of the measurement.
    pub unnoticed: u32,
    /// Times that a node which was there was declared down by somebody.
    pub false_positives: u32,
    /// Node-periods in which that could have happened.
    pub node_periods: u64,
    /// Datagrams that a node sends in a period.
    pub datagrams: f64,
}

/// When a failure was noticed, in periods after it.
#[derive(Default)]
struct Noticed {
    suspected: Option<f64>,
    declared: Option<f64>,
    known: Option<f64>,
}

impl Noticed {
    fn look(&mut self, after: f64, views: impl Iterator<Item = Reach>) {
        let views: Vec<Reach> = views.collect();
        let is = |so: bool| so.then_some(after);
        self.suspected = self.suspected.or(is(views.iter().any(|reach| *reach != Reach::Up)));
        self.declared = self.declared.or(is(views.contains(&Reach::Down)));
        self.known = self.known.or(is(views.iter().all(|reach| *reach == Reach::Down)));
    }

    fn add_to(&self, figures: &mut Figures) {
        let patience = PATIENCE as f64;
        let suspected = self.suspected.unwrap_or(patience);
        // A probe lasts a period.
        figures.periods_to_first_probe += (suspected - 1.0).max(0.0).ceil().max(1.0);
        figures.first_suspicion += suspected;
        figures.first_down += self.declared.unwrap_or(patience);
        figures.all_know += self.known.unwrap_or(patience);
        figures.unnoticed += u32::from(self.known.is_none());
    }
}

struct Probe {
    world: World,
    setup: Setup,
    period: u64,
    rng: Rng,
    /// Nodes that are there and taken for gone.
    wronged: Vec<bool>,
    steps: u64,
    figures: Figures,
}

/// Measures one setup.
///
/// # Panics
/// If the nodes do not find each other in the beginning.
#[must_use]
pub fn measure(setup: Setup) -> Figures {
    // Greetings would outnumber everything else, and have no part in this.
    let limits = Limits { hello: Duration::from_millis(100_000_000), ..Limits::default() };
    let period = limits.gossip.period.0;
    let (mut world, _) = cluster(setup.nodes, &limits, None, setup.seed);
    let mut rng = Rng::new(setup.seed);
    for node in 0..setup.nodes {
        world.enter(rng.below(period), Event::Start { node });
    }
    let (wronged, figures) = (vec![false; setup.nodes], Figures::default());
    let mut probe = Probe { world, setup, period, rng, wronged, steps: 0, figures };
    for _ in 0..20 * STEPS {
        if !(0..setup.nodes).all(|node| probe.all_see(node, |reach| reach == Reach::Up)) {
            probe.world.run(probe.world.now + 10 * period / STEPS);
        }
    }
    assert!(
        (0..setup.nodes).all(|node| probe.all_see(node, |reach| reach == Reach::Up)),
        "the nodes find each other"
    );
    probe.world.net.turn(Weather { loss: setup.loss, ..Weather::CALM });
    let (sent, begun) = (probe.world.datagrams, probe.world.now);
    for _ in 0..setup.failures {
        probe.fail();
    }
    let periods = (probe.world.now - begun) as f64 / period as f64;
    let sent = (probe.world.datagrams - sent) as f64;
    let n = setup.nodes as f64;
    let failures = f64::from((setup.failures * setup.at_once).max(1));
    let mut figures = probe.figures;
    figures.node_periods = probe.steps * setup.nodes as u64 / STEPS;
    figures.datagrams = sent / periods / n;
    figures.expected = 1.0 / (1.0 - (1.0 - 1.0 / (n - 1.0)).powf(n - 1.0));
    for sum in [
        &mut figures.periods_to_first_probe,
        &mut figures.first_suspicion,
        &mut figures.first_down,
        &mut figures.all_know,
    ] {
        *sum /= failures;
    }
    figures
}

impl Probe {
    /// Do all nodes that are there see that one so?
    fn all_see(&self, node: usize, so: impl Fn(Reach) -> bool) -> bool {
        self.views(node).all(so)
    }

    fn views(&self, node: usize) -> impl Iterator<Item = Reach> + '_ {
        let id = self.world.machines[node].identity.id;
        let others = self.world.machines.iter().filter(move |other| other.identity.id != id);
        others.filter_map(move |other| Some(other.node()?.reach(id)))
    }

    /// Some nodes fail, everybody gets to know, they come back, and everybody gets to know that.
    fn fail(&mut self) {
        let mut failing = BTreeSet::new();
        while failing.len() < self.setup.at_once as usize {
            failing.insert(self.rng.index(self.setup.nodes));
        }
        let quiet = 5 * STEPS + self.rng.below(STEPS);
        self.pass(quiet, &BTreeSet::new());
        let gone = self.world.now;
        for node in &failing {
            self.world.machines[*node].crash(Loss::Nothing);
        }
        let mut noticed: BTreeMap<usize, Noticed> =
            failing.iter().map(|node| (*node, Noticed::default())).collect();
        for _ in 0..PATIENCE * STEPS {
            self.pass(1, &failing);
            let after = (self.world.now - gone) as f64 / self.period as f64;
            for (node, noticed) in &mut noticed {
                noticed.look(after, self.views(*node));
            }
            if noticed.values().all(|noticed| noticed.known.is_some()) {
                break;
            }
        }
        noticed.values().for_each(|noticed| noticed.add_to(&mut self.figures));
        // The next failure finds the cluster whole again.
        for node in &failing {
            self.world.machines[*node].start(self.world.now);
            self.world.drain(*node);
        }
        for _ in 0..PATIENCE * STEPS {
            if failing.iter().all(|node| self.all_see(*node, |reach| reach == Reach::Up)) {
                break;
            }
            self.pass(1, &failing);
        }
    }

    /// Lets so many steps pass, and counts those who are wronged. `failing` are not judged.
    fn pass(&mut self, steps: u64, failing: &BTreeSet<usize>) {
        for _ in 0..steps {
            if self.setup.pauses && self.rng.chance(100) {
                let node = self.rng.index(self.setup.nodes);
                let until = self.world.now + self.rng.below(2 * self.period);
                self.world.machines[node].frozen_until = until;
            }
            self.world.run(self.world.now + self.period / STEPS);
            self.steps += 1;
            let nodes = self.world.machines.iter().filter_map(Machine::node);
            let declared: BTreeSet<NodeId> = nodes.flat_map(Node::down).copied().collect();
            for node in (0..self.setup.nodes).filter(|node| !failing.contains(node)) {
                let wronged = declared.contains(&self.world.machines[node].identity.id);
                let newly = wronged && !self.wronged[node];
                self.figures.false_positives += u32::from(newly);
                self.wronged[node] = wronged;
            }
        }
    }
}
