//! The world of a run: machines, network and clients, and the order of what happens to them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kinfold_protocol::id::NodeId;
use kinfold_protocol::io::Input;
use kinfold_protocol::message::client::ResponseHeader;
use kinfold_protocol::replica::Ticket;

use crate::agenda::Agenda;
use crate::client::{Call, Client, Sending, Turn};
use crate::disk::Loss;
use crate::event::Event;
use crate::history::History;
use crate::keyspace::Keyspace;
use crate::latency::Legs;
use crate::machine::Machine;
use crate::measure::Measured;
use crate::net::Net;
use crate::pledge::Pledge;
use crate::rng::Rng;
use crate::trace::Trace;
use kinfold_protocol::planted::{self, Bug};

/// A whole cluster and its clients, in one thread.
pub struct World {
    /// Microseconds since the beginning.
    pub now: u64,
    /// The nodes.
    pub machines: Vec<Machine>,
    /// The network.
    pub net: Net,
    /// The clients.
    pub clients: Vec<Client>,
    /// What they asked and were answered.
    pub history: History,
    /// The buckets and keys.
    pub keys: Keyspace,
    /// Do clients begin new operations?
    pub open: bool,
    /// Ways in which nodes broke their contract.
    pub breaches: Vec<String>,
    /// Messages that go through their encoding, of a thousand.
    pub encoded: u32,
    /// The planted bug, if there is one.
    pub bug: Option<Bug>,
    /// Datagrams that nodes have sent.
    pub datagrams: u64,
    /// What is sent between nodes, if that is measured.
    pub measured: Option<Measured>,
    /// How long the legs of requests take, if that is not for the network to say.
    pub legs: Option<Legs>,
    /// Chance of the shell.
    pub rng: Rng,
    /// Pledges that are not durable: of which node, in which life, and by which job.
    pub(crate) pledging: BTreeMap<(usize, u32, Ticket), Vec<Pledge>>,
    /// Those that are durable: of which node, and in which life.
    pub(crate) pledged: BTreeSet<(usize, u32, Pledge)>,
    /// Do ambushes wait for a promise?
    pub(crate) ambushes_promises: bool,
    names: BTreeMap<NodeId, usize>,
    agenda: Agenda<Event>,
    trace: Trace,
    /// The last answer to the auditor.
    audited: Option<(Call, ResponseHeader, Bytes)>,
}

impl World {
    /// A world in which nothing has happened yet.
    #[must_use]
    pub fn new(
        machines: Vec<Machine>,
        net: Net,
        clients: Vec<Client>,
        keys: Keyspace,
        trace: Trace,
        bug: Option<Bug>,
        rng: Rng,
    ) -> Self {
        planted::plant(bug);
        Self {
            now: 0,
            names: machines.iter().enumerate().map(|(at, m)| (m.identity.id, at)).collect(),
            machines,
            net,
            clients,
            history: History::default(),
            keys,
            open: false,
            breaches: Vec::new(),
            agenda: Agenda::default(),
            trace,
            audited: None,
            encoded: 250,
            measured: None,
            legs: None,
            bug,
            datagrams: 0,
            rng,
            pledging: BTreeMap::new(),
            pledged: BTreeSet::new(),
            ambushes_promises: false,
        }
    }

    /// What happened, as a hash, and in how many events.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Which machine is that node?
    #[must_use]
    pub fn machine_of(&self, id: NodeId) -> Option<usize> {
        self.names.get(&id).copied()
    }

    /// A machine with a copy of another one's disk and with its identity, such as a virtual machine that was cloned. It is down,
    /// and the others reach the first.
    pub fn clone_machine(&mut self, of: usize) -> usize {
        let twin = self.machines[of].cloned(self.rng.fork());
        self.machines.push(twin);
        self.machines.len() - 1
    }

    /// Enters an event.
    pub fn enter(&mut self, at: u64, event: Event) {
        self.agenda.enter(at, event);
    }

    /// Lets the next event happen, if there is one until then.
    pub fn step(&mut self, until: u64) -> bool {
        let Some((at, event)) = self.agenda.next(until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = at;
        if let Some(node) = node_of(&event)
            && self.machines[node].frozen_until > at
        {
            self.agenda.enter(self.machines[node].frozen_until, event);
            return true;
        }
        self.trace.note(at, &event);
        self.happen(event);
        true
    }

    /// Lets everything happen until then.
    pub fn run(&mut self, until: u64) {
        while self.step(until) {}
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { from, to, envelope } => {
                if self.machines[to].is_up() && self.net.reaches(from, to) {
                    let from = self.machines[from].identity.id;
                    self.feed(to, Input::Peer { from, envelope: *envelope });
                }
            }
            Event::Datagram { from, to, bytes } => {
                if self.machines[to].is_up() && self.net.reaches(from, to) {
                    let from = self.machines[from].identity.id;
                    self.feed(to, Input::Datagram { from, bytes });
                }
            }
            Event::Ask { node, call, header, body } => {
                let machine = &mut self.machines[node];
                if machine.is_up() && !machine.stopping {
                    let origin = machine.ask(call);
                    let admin = call.client == Call::AUDITOR;
                    self.feed(node, Input::Client { origin, admin, header: *header, body });
                }
            }
            Event::Answer { call, header, body } => self.on_answer(call, *header, body),
            Event::Within { node, life, what } => {
                if self.machines[node].is_up() && self.machines[node].life() == life {
                    self.within(node, what);
                }
            }
            Event::Next { client } => {
                if self.open {
                    let (now, client) = (self.now, &mut self.clients[client]);
                    let sending = client.begin(now, &self.keys, &mut self.history);
                    self.send(sending);
                }
            }
            Event::Patience { call } => {
                let client = &mut self.clients[call.client];
                let again = client.on_patience(self.now, call, &self.keys, &mut self.history);
                self.go_on(call.client, again);
            }
            Event::Start { node } => {
                if self.machines[node].stopping {
                    self.machines[node].crash(Loss::Some);
                }
                if !self.machines[node].is_up() {
                    self.machines[node].start(self.now);
                    self.drain(node);
                }
            }
            Event::Fault(fault) => {
                if self.open {
                    fault.strike(self);
                }
            }
        }
    }

    fn on_answer(&mut self, call: Call, header: ResponseHeader, body: Bytes) {
        if call.client == Call::AUDITOR {
            self.audited = Some((call, header, body));
            return;
        }
        let client = &mut self.clients[call.client];
        let again = client.on_answer(self.now, call, header, body, &self.keys, &mut self.history);
        self.go_on(call.client, again);
    }

    fn go_on(&mut self, client: usize, turn: Turn) {
        match turn {
            Turn::Same => {}
            Turn::Again(sending) => self.send(*sending),
            Turn::Over => {
                let pause = self.clients[client].pause();
                self.agenda.enter(self.now + pause, Event::Next { client });
            }
        }
    }

    fn send(&mut self, sending: Sending) {
        let Sending { call, node, header, body, patience } = sending;
        self.agenda.enter(self.now + patience, Event::Patience { call });
        if let Some(delay) = self.net.with_client() {
            let header = Box::new(header);
            self.agenda.enter(self.now + delay, Event::Ask { node, call, header, body });
        }
    }

    /// Asks a node as the auditor, and lets the world go on until the answer is there, or for ten seconds.
    pub fn audit(&mut self, sending: Sending) -> Option<(ResponseHeader, Bytes)> {
        let Sending { call, node, header, body, .. } = sending;
        self.audited = None;
        let header = Box::new(header);
        self.agenda.enter(self.now, Event::Ask { node, call, header, body });
        let until = self.now + 10_000_000;
        loop {
            match self.audited.take() {
                Some((answered, header, body)) if answered == call => return Some((header, body)),
                Some(_) | None => {}
            }
            if !self.step(until) {
                return None;
            }
        }
    }
}

/// The node that an event happens to, if it takes part in it.
fn node_of(event: &Event) -> Option<usize> {
    match event {
        Event::Arrive { to, .. } | Event::Datagram { to, .. } => Some(*to),
        Event::Ask { node, .. } | Event::Within { node, .. } => Some(*node),
        Event::Answer { .. }
        | Event::Next { .. }
        | Event::Patience { .. }
        | Event::Start { .. }
        | Event::Fault(_) => None,
    }
}
