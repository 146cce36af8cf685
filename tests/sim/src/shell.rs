//! The shell around each node: gives it facts and carries out what it wants done, in simulated time.

use bytes::Bytes;
use kinfold_protocol::catalogue::PluginPlan;
use kinfold_protocol::causality::Digest;
use kinfold_protocol::cbor;
use kinfold_protocol::id::{Actor, NodeId};
use kinfold_protocol::io::{Alarm, Input, Origin, Output, StoreEvent};
use kinfold_protocol::merge::Validity;
use kinfold_protocol::message::client::ResponseHeader;
use kinfold_protocol::message::frame::PREFIX;
use kinfold_protocol::message::peer::{Envelope, Message};
use kinfold_protocol::message::plugin::ComponentState;
use kinfold_protocol::replica::Ticket;

use crate::client::Call;
use crate::disk::Loss;
use crate::event::{Event, Inner};
use crate::fault::Fault;
use crate::machine::{self, Machine};
use crate::pledge::Pledge;
use crate::plugins::{self, Health};
use crate::world::World;

/// How long an answer to the auditor takes, in microseconds.
pub(crate) const AUDIT: u64 = 100;

/// The most that a node may want done after one fact.
const MOST_OUTPUTS: usize = 10_000;

/// The most bytes that a datagram may have.
const MOST_BYTES: usize = 1_100;

impl World {
    /// Something happens within the present life of a node.
    pub(crate) fn within(&mut self, node: usize, what: Inner) {
        match what {
            Inner::Job { ticket, job } => {
                let writes = machine::job_writes(&job);
                let pledges = Pledge::of(&job);
                if !pledges.is_empty() {
                    let life = self.machines[node].life();
                    self.pledging.insert((node, life, ticket), pledges);
                }
                let (result, noted) = self.machines[node].run(*job);
                for (key, request, effect) in noted {
                    self.history.note(&key, request, effect);
                }
                let done = Inner::Done { ticket, writes, result: Box::new(result) };
                if self.rng.chance(200) {
                    let delay = self.machines[node].disk_time() / 8;
                    self.enter_within(node, delay, done);
                } else {
                    self.within(node, done);
                }
            }
            Inner::Done { ticket, writes, result } => {
                let good = result.is_ok();
                self.feed(node, Input::Store(StoreEvent::Done { ticket, result: *result }));
                if writes && good {
                    self.await_sync(node, ticket);
                }
            }
            Inner::Sync => {
                let told = self.machines[node].disk.end_sync();
                for event in told {
                    self.tell_of_sync(node, event);
                }
                self.sync(node);
            }
            Inner::Load { component } => self.load(node, component),
            Inner::Merged { ticket, result } => self.feed(node, Input::Merged { ticket, result }),
            Inner::Wake => {
                if self.machines[node].woken(self.now) {
                    self.feed(node, Input::Tick);
                }
                self.arm(node);
            }
        }
    }

    fn await_sync(&mut self, node: usize, ticket: Ticket) {
        let pledges = self.pledging.get(&(node, self.machines[node].life(), ticket));
        let promising = pledges.is_some_and(|p| p.iter().any(|p| matches!(p, Pledge::Promise(_))));
        let durable = self.machines[node].await_sync(ticket);
        if durable {
            self.tell_of_sync(node, StoreEvent::Synced { ticket });
        }
        let ambush = &mut self.machines[node].ambush;
        match ambush.take_if(|_| promising || !self.ambushes_promises) {
            Some(down) => Fault::Crash { node, loss: Loss::All, down }.strike(self),
            None => self.sync(node),
        }
    }

    /// A node is told that a job is durable, or that it is not.
    fn tell_of_sync(&mut self, node: usize, event: StoreEvent) {
        if let StoreEvent::Synced { ticket } = event {
            let life = self.machines[node].life();
            let pledges = self.pledging.remove(&(node, life, ticket)).unwrap_or_default();
            self.pledged.extend(pledges.into_iter().map(|pledge| (node, life, pledge)));
        }
        self.feed(node, Input::Store(event));
    }

    fn sync(&mut self, node: usize) {
        if self.machines[node].disk.begin_sync() {
            let delay = self.machines[node].disk_time();
            self.enter_within(node, delay, Inner::Sync);
        }
    }

    fn enter_within(&mut self, node: usize, delay: u64, what: Inner) {
        let life = self.machines[node].life();
        self.enter(self.now + delay, Event::Within { node, life, what });
    }

    /// Gives a node a fact, and carries out what it wants done.
    pub(crate) fn feed(&mut self, node: usize, input: Input) {
        self.machines[node].handle(self.now, input);
        self.drain(node);
    }

    /// Carries out what a node wants done.
    pub(crate) fn drain(&mut self, node: usize) {
        let mut count = 0;
        while let Some(output) = self.machines[node].poll() {
            count += 1;
            if count > MOST_OUTPUTS {
                self.breaches.push(format!(
                    "node {node} wants more than {MOST_OUTPUTS} things done at once"
                ));
                return;
            }
            self.carry_out(node, output);
        }
        self.machines[node].stop_if_idle();
        self.arm(node);
    }

    /// Sees to it that the node is told the time when it wants to be.
    fn arm(&mut self, node: usize) {
        if let Some(at) = self.machines[node].new_wake(self.now) {
            self.enter_within(node, at - self.now, Inner::Wake);
        }
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        match output {
            Output::Reply { origin, header, body } => self.reply(node, origin, header, body),
            Output::Send { to, envelope, .. } => {
                self.send_to_peer(node, to, envelope);
            }
            Output::Datagram { to, bytes } => self.send_datagram(node, to, &bytes),
            Output::Store { ticket, job } => {
                self.machines[node].begin_job(&job);
                let delay = self.machines[node].disk_time() / 8;
                self.enter_within(node, delay, Inner::Job { ticket, job: Box::new(job) });
            }
            Output::Merge { ticket, request } => {
                let health = match self.machines[node].has_plugin(&request.plugin) {
                    true => self.machines[node].plugins,
                    false => Health::Missing,
                };
                let result = plugins::merge(&request, health, &mut self.rng);
                let delay = self.rng.spread(100);
                self.enter_within(node, delay, Inner::Merged { ticket, result });
            }
            Output::Validate { ticket, .. } => {
                let validity = Validity::Valid;
                self.feed(node, Input::Validated { ticket, validity });
            }
            Output::Plugins(plan) => self.plan_plugins(node, plan),
            Output::Alarm(Alarm::Clash { key }) => {
                self.breaches.push(format!("{key} holds one dot with two contents"));
            }
            Output::Refuse { node: id, actor } => self.turn_away(node, id, actor),
            Output::Members(_) | Output::Alarm(_) => {}
        }
    }

    /// A node refuses another process that is this node in a life of this actor: it ends, as soon as it hears of that.
    fn turn_away(&mut self, node: usize, id: NodeId, actor: Actor) {
        let is_meant =
            |machine: &Machine| machine.identity.id == id && machine.actor == Some(actor);
        let Some(refused) = self.machines.iter().position(is_meant) else { return };
        if self.net.reaches(node, refused) {
            self.machines[refused].turned_away = true;
            self.machines[refused].crash(Loss::Some);
        }
    }

    /// A node is to have these components: it gets each of them after a while.
    fn plan_plugins(&mut self, node: usize, plan: PluginPlan) {
        for component in plan.components.values().copied() {
            let delay = self.rng.spread(20_000);
            self.enter_within(node, delay, Inner::Load { component });
        }
        self.machines[node].plan = plan;
    }

    fn load(&mut self, node: usize, component: Digest) {
        let machine = &mut self.machines[node];
        if !machine.plan.components.values().any(|wanted| *wanted == component) {
            return;
        }
        if machine.plugins == Health::Missing {
            self.enter_within(node, 200_000, Inner::Load { component });
            return;
        }
        machine.components.insert(component);
        self.feed(node, Input::Component { hash: component, state: ComponentState::Ready });
    }

    fn reply(&mut self, node: usize, origin: Origin, header: ResponseHeader, body: Vec<Bytes>) {
        let Some(call) = self.machines[node].answered(origin) else {
            return;
        };
        let header = if self.rng.chance(self.encoded) {
            match cbor::decode(&cbor::encode(&header)) {
                Ok(decoded) if decoded == header => decoded,
                other => {
                    self.breaches.push(format!("{header:?} was encoded to {other:?}"));
                    header
                }
            }
        } else {
            header
        };
        let delay = if call.client == Call::AUDITOR { Some(AUDIT) } else { self.net.with_client() };
        if let Some(delay) = delay {
            let (header, body) = (Box::new(header), Bytes::from(body.concat()));
            self.enter(self.now + delay, Event::Answer { call, header, body });
        }
    }

    fn send_to_peer(&mut self, from: usize, to: NodeId, envelope: Envelope) {
        let Some(to) = self.machine_of(to) else {
            self.breaches.push(format!("node {from} writes to {to}, who is no member"));
            return;
        };
        if let Some(pledge) = Pledge::told_by(&envelope.message)
            && !self.pledged.contains(&(from, self.machines[from].life(), pledge))
        {
            self.breaches.push(format!("node {from} tells of a {pledge:?} that is not durable"));
        }
        if let Some(measured) = &mut self.measured {
            measured.note(&envelope);
        }
        let mut delays = match &mut self.legs {
            Some(legs) => [legs.delay(from, to, &envelope.message), None],
            None => self.net.between_nodes(from, to),
        };
        // A stream delivers once: a request that came twice could be refused once and carried out once, and whoever asked
        // counts the answers.
        if matches!(envelope.message, Message::Forward { .. } | Message::Forwarded { .. }) {
            delays[1] = None;
        }
        if delays == [None, None] {
            return;
        }
        let envelope = if self.rng.chance(self.encoded) { self.encode(envelope) } else { envelope };
        for delay in delays.into_iter().flatten() {
            let envelope = Box::new(envelope.clone());
            self.enter(self.now + delay, Event::Arrive { from, to, envelope });
        }
    }

    fn send_datagram(&mut self, from: usize, to: NodeId, bytes: &Bytes) {
        let Some(to) = self.machine_of(to) else {
            self.breaches.push(format!("node {from} sends {to} a datagram, who is no member"));
            return;
        };
        self.datagrams += 1;
        if bytes.len() > MOST_BYTES {
            self.breaches.push(format!("node {from} sends a datagram of {} bytes", bytes.len()));
        }
        for delay in self.net.between_nodes(from, to).into_iter().flatten() {
            self.enter(self.now + delay, Event::Datagram { from, to, bytes: bytes.clone() });
        }
    }

    /// Sends a message through its encoding.
    fn encode(&mut self, envelope: Envelope) -> Envelope {
        let frame = match envelope.clone().encode() {
            Ok(frame) => frame,
            Err(error) => {
                self.breaches.push(format!("a message can't be sent: {error}"));
                return envelope;
            }
        };
        match Envelope::decode(&frame.head[PREFIX..], frame.body.concat().into()) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.breaches.push(format!("{envelope:?} does not decode: {error}"));
                envelope
            }
        }
    }
}
