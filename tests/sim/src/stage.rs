//! A small cluster set up by hand, for scenarios that chance rarely finds: one bucket, one key, and whoever acts is told to.

use std::collections::BTreeSet;

use bytes::Bytes;
use kinfold_protocol::catalogue::MemberChange;
use kinfold_protocol::causality::Digest;
use kinfold_protocol::config::{BucketConfig, Consistency, GossipLimits, Limits};
use kinfold_protocol::id::{BucketName, Key, NodeId, RequestId};
use kinfold_protocol::layout::{Layout, Member};
use kinfold_protocol::message::client::{
    BucketChange, Failure, Found, Get, List, Request, RequestHeader, Response, Write, Written,
};
use kinfold_protocol::message::cluster::{ClusterRequest, ClusterResponse};
use kinfold_protocol::record::Record;
use kinfold_protocol::ring::Ring;
use kinfold_protocol::time::Duration;

use crate::client::{Call, Sending, split};
use crate::clock::Clock;
use crate::disk::Loss;
use crate::event::Event;
use crate::fault::Fault;
use crate::history::OpId;
use crate::keyspace::Keyspace;
use crate::machine::{Identity, Machine};
use crate::net::{Net, Weather};
use crate::rng::Rng;
use crate::trace::Trace;
use crate::world::World;
use kinfold_protocol::planted::Bug;

/// How often nodes probe each other, in microseconds.
pub const PERIOD: u64 = 100_000;

/// A cluster, a bucket and a key.
pub struct Stage {
    /// The cluster.
    pub world: World,
    /// The key's owners, in order.
    pub owners: Vec<usize>,
    /// The other nodes.
    pub others: Vec<usize>,
    key: Key,
    writes: u32,
}

/// A cluster of so many nodes that nothing is wrong with.
#[must_use]
pub fn cluster(nodes: usize, limits: &Limits, bug: Option<Bug>, seed: u64) -> (World, Layout) {
    cluster_with_spares(nodes, 0, limits, bug, seed)
}

/// The member of a staged cluster that is called by this number.
#[must_use]
pub fn member(number: usize) -> Member {
    let name = format!("node-{number}");
    Member {
        id: NodeId::from_name("staged", &name),
        address: format!("{name}:1"),
        name,
        zone: "zone".into(),
        capacity: 100,
    }
}

/// The same with further nodes that are no members yet: they know the ring's first record. They come last.
#[must_use]
pub fn cluster_with_spares(
    nodes: usize,
    spares: usize,
    limits: &Limits,
    bug: Option<Bug>,
    seed: u64,
) -> (World, Layout) {
    let mut rng = Rng::new(seed);
    let partitions = u32::try_from(nodes.next_power_of_two().max(8)).unwrap_or(65_536);
    let ring = Ring::new(partitions).expect("a power of two");
    let layout = Layout::compute((0..nodes).map(member).collect(), ring, 3, None)
        .expect("members of these names and capacities");
    let machine = |member: &Member| {
        let identity = Identity {
            id: member.id,
            cluster: "staged".into(),
            layout: layout.clone(),
            limits: limits.clone(),
        };
        Machine::new(identity, Clock::new(0, 0), 500, rng.fork())
    };
    let spares: Vec<Member> = (nodes..nodes + spares).map(member).collect();
    let machines = layout.members().iter().chain(&spares).map(machine);
    let machines: Vec<Machine> = machines.collect();
    let net = Net::new(rng.fork(), Weather::CALM);
    let keys = Keyspace::default();
    let world = World::new(machines, net, Vec::new(), keys, Trace::new(false), bug, rng);
    (world, layout)
}

impl Stage {
    /// Nodes that see each other, and a bucket.
    ///
    /// # Panics
    /// If the bucket can't be made.
    #[must_use]
    pub fn new(nodes: usize, config: BucketConfig, bug: Option<Bug>) -> Self {
        let limits = Limits {
            gossip: GossipLimits { period: Duration(PERIOD), round_trip: Duration(PERIOD / 4) },
            ..Limits::default()
        };
        Self::within(nodes, config, &limits, bug, 1)
    }

    /// The same within other limits, and by another seed.
    ///
    /// # Panics
    /// If the bucket can't be made.
    #[must_use]
    pub fn within(
        nodes: usize,
        config: BucketConfig,
        limits: &Limits,
        bug: Option<Bug>,
        seed: u64,
    ) -> Self {
        Self::with_spares(nodes, 0, config, limits, bug, seed)
    }

    /// The same with further nodes that are no members yet, and are up. They come last, and are not among the others.
    ///
    /// # Panics
    /// If the bucket can't be made.
    #[must_use]
    pub fn with_spares(
        nodes: usize,
        spares: usize,
        config: BucketConfig,
        limits: &Limits,
        bug: Option<Bug>,
        seed: u64,
    ) -> Self {
        let (mut world, layout) = cluster_with_spares(nodes, spares, limits, bug, seed);
        (0..nodes + spares).for_each(|node| world.enter(0, Event::Start { node }));
        world.run(20 * PERIOD);
        let bucket = BucketName::new("staged").expect("letters");
        let key = Key { bucket: bucket.clone(), key: Bytes::from_static(b"key") };
        let partition = layout.ring().partition(&key);
        let owners: Vec<usize> =
            layout.owners(partition, config.n).filter_map(|id| world.machine_of(id)).collect();
        let others = (0..nodes).filter(|node| !owners.contains(node)).collect();
        let mut stage = Self { world, owners, others, key, writes: 0 };
        let made =
            stage.ask(0, Request::BucketCreate(BucketChange { bucket, config, force: false }), b"");
        assert!(matches!(made, Some((Response::BucketSaved { .. }, _))), "{made:?}");
        stage
    }

    /// Goes on with another key, of the same owners where all nodes own everything.
    pub(crate) fn turn_to(&mut self, key: Bytes) {
        self.key.key = key;
    }

    fn ask(&mut self, node: usize, request: Request, body: &[u8]) -> Option<(Response, Bytes)> {
        self.writes += 1;
        let attempt = self.writes;
        let call = Call { client: Call::AUDITOR, op: OpId(u32::MAX), attempt };
        let header = RequestHeader { layout: 0, deadline_ms: 0, trace: None, request };
        let body = Bytes::copy_from_slice(body);
        let (header, body) = self.world.audit(Sending { call, node, header, body, patience: 0 })?;
        Some((header.response, body))
    }

    fn write(&mut self, context: Option<Bytes>, w: Option<u8>) -> Write {
        let Key { bucket, key } = self.key.clone();
        let request = RequestId(u128::from(self.writes).to_be_bytes());
        Write { bucket, key, context, w, request, conditional: false, ttl_ms: None }
    }

    /// Writes a value at a node; what was acknowledged, if it was.
    pub fn put(
        &mut self,
        node: usize,
        value: &str,
        context: Option<Bytes>,
        w: Option<u8>,
    ) -> Option<Written> {
        let write = self.write(context, w);
        match self.ask(node, Request::Put(write), value.as_bytes())? {
            (Response::Written(written), _) => Some(written),
            _ => None,
        }
    }

    /// Writes a value that is to be there for so many milliseconds, zero for ever; what was acknowledged, or why not.
    pub fn put_for(
        &mut self,
        node: usize,
        value: &str,
        ttl_ms: u64,
        context: Option<Bytes>,
    ) -> Option<Result<Written, Failure>> {
        let write = Write { ttl_ms: Some(ttl_ms), ..self.write(context, None) };
        match self.ask(node, Request::Put(write), value.as_bytes())? {
            (Response::Written(written), _) => Some(Ok(written)),
            (Response::Failed(failure), _) => Some(Err(failure)),
            _ => None,
        }
    }

    /// Asks one node after the other to make the same write, as a client does that had no answer.
    pub fn put_twice(&mut self, nodes: [usize; 2], value: &str) {
        let write = self.write(None, None);
        for node in nodes {
            let answer = self.ask(node, Request::Put(write.clone()), value.as_bytes());
            assert!(matches!(answer, Some((Response::Written(_), _))), "{answer:?}");
        }
    }

    /// Writes a value on the condition that the key is as `context` has it; what that was answered.
    pub fn put_if(&mut self, node: usize, value: &str, context: Option<Bytes>) -> Option<Response> {
        let write = Write { conditional: true, ..self.write(context, None) };
        self.ask(node, Request::Put(write), value.as_bytes()).map(|(response, _)| response)
    }

    /// Writes a value under another key of the bucket; was that acknowledged?
    pub fn put_key(&mut self, node: usize, key: &str, value: &str) -> bool {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let write = Write { key, ..self.write(None, None) };
        let answer = self.ask(node, Request::Put(write), value.as_bytes());
        matches!(answer, Some((Response::Written(_), _)))
    }

    /// Deletes another key of the bucket, on the condition of what all owners hold; was that acknowledged?
    pub fn delete_key(&mut self, node: usize, key: &str) -> bool {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let bucket = self.key.bucket.clone();
        let get = Get { bucket, key: key.clone(), r: None, consistency: None };
        let Some((Response::Found(found), _)) = self.ask(node, Request::Get(get), b"") else {
            return false;
        };
        let write = Write { key, conditional: true, ..self.write(Some(found.context), None) };
        let answer = self.ask(node, Request::Delete(write), b"");
        matches!(answer, Some((Response::Written(_), _)))
    }

    /// Lists the bucket page by page.
    ///
    /// # Panics
    /// If a page is not answered, or has more keys than the limit.
    pub fn list(&mut self, node: usize, prefix: &str, limit: u32) -> Vec<String> {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let bucket = self.key.bucket.clone();
            let prefix = Bytes::copy_from_slice(prefix.as_bytes());
            let list = List { bucket, prefix, limit, cursor, r: None };
            let answer = self.ask(node, Request::List(list), b"");
            let Some((Response::Listed(listed), _)) = answer else {
                panic!("a page is answered: {answer:?}");
            };
            assert!(listed.keys.len() <= limit as usize, "{listed:?}");
            all.extend(listed.keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()));
            cursor = listed.cursor;
            if cursor.is_none() {
                return all;
            }
        }
    }

    /// Asks a node about the ring.
    pub fn cluster(&mut self, node: usize, request: ClusterRequest) -> Option<Response> {
        self.ask(node, Request::Cluster(request), b"").map(|(response, _)| response)
    }

    /// Has a node be asked about the ring, and does not wait for the answer.
    pub fn cluster_meanwhile(&mut self, node: usize, request: ClusterRequest) {
        self.writes += 1;
        let call = Call { client: Call::AUDITOR, op: OpId(u32::MAX), attempt: self.writes };
        let request = Request::Cluster(request);
        let header = Box::new(RequestHeader { layout: 0, deadline_ms: 0, trace: None, request });
        let body = Bytes::new();
        self.world.enter(self.world.now, Event::Ask { node, call, header, body });
    }

    /// Stages changes at a node.
    ///
    /// # Panics
    /// If they are not staged.
    pub fn stage(&mut self, node: usize, changes: Vec<(NodeId, Option<MemberChange>)>) {
        let answer = self.cluster(node, ClusterRequest::Stage(changes));
        let staged = matches!(answer, Some(Response::Cluster(ClusterResponse::Staged { .. })));
        assert!(staged, "{answer:?}");
    }

    /// The digest of the plan that a node makes of what is staged.
    ///
    /// # Panics
    /// If there is none.
    pub fn plan(&mut self, node: usize) -> Digest {
        match self.cluster(node, ClusterRequest::Plan) {
            Some(Response::Cluster(ClusterResponse::Planned { digest, .. })) => digest,
            other => panic!("a plan is made: {other:?}"),
        }
    }

    /// The ring's record at a node.
    ///
    /// # Panics
    /// If it is down.
    #[must_use]
    pub fn record(&self, node: usize) -> &Record {
        self.world.machines[node].node().expect("it is up").record()
    }

    /// Deletes the key at a node; was that acknowledged?
    pub fn delete(&mut self, node: usize, context: Bytes) -> bool {
        let write = self.write(Some(context), None);
        matches!(self.ask(node, Request::Delete(write), b""), Some((Response::Written(_), _)))
    }

    /// Reads the key at a node.
    pub fn get(
        &mut self,
        node: usize,
        consistency: Consistency,
    ) -> Option<(BTreeSet<String>, Found)> {
        self.read(node, consistency, None)
    }

    /// Reads the key at a node, from nobody else.
    pub fn get_of_one(&mut self, node: usize) -> Option<BTreeSet<String>> {
        self.read(node, Consistency::Sloppy, Some(1)).map(|(values, _)| values)
    }

    /// Has all owners read the key in the same moment, and does not wait for what they answer.
    pub fn get_everywhere_at_once(&mut self) {
        for node in self.owners.clone() {
            self.writes += 1;
            let Key { bucket, key } = self.key.clone();
            let request = Request::Get(Get { bucket, key, r: None, consistency: None });
            let call = Call { client: Call::AUDITOR, op: OpId(u32::MAX), attempt: self.writes };
            let header =
                Box::new(RequestHeader { layout: 0, deadline_ms: 0, trace: None, request });
            let ask = Event::Ask { node, call, header, body: Bytes::new() };
            self.world.enter(self.world.now, ask);
        }
    }

    /// What all owners together hold.
    ///
    /// # Panics
    /// If one of them does not answer.
    pub fn agreed(&mut self) -> BTreeSet<String> {
        let all = u8::try_from(self.owners.len()).ok();
        let node = self.owners[0];
        self.read(node, Consistency::Strict, all).expect("the owners answer").0
    }

    /// Reads the key at a node, from so many.
    pub(crate) fn read(
        &mut self,
        node: usize,
        consistency: Consistency,
        r: Option<u8>,
    ) -> Option<(BTreeSet<String>, Found)> {
        let Key { bucket, key } = self.key.clone();
        let get = Get { bucket, key, r, consistency: Some(consistency) };
        match self.ask(node, Request::Get(get), b"")? {
            (Response::Found(found), body) => {
                let values = split(&found.values, body);
                let text = |value: Bytes| String::from_utf8_lossy(&value).into_owned();
                Some((values.into_iter().map(text).collect(), found))
            }
            _ => None,
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Lets so many probing periods pass.
    pub fn pass(&mut self, periods: u64) {
        self.world.run(self.world.now + periods * PERIOD);
    }

    /// Cuts these nodes off from all others, both ways.
    pub fn cut_off(&mut self, side: &[usize]) {
        for node in 0..self.world.machines.len() {
            for other in side.iter().copied().filter(|_| !side.contains(&node)) {
                self.world.net.cut(node, other);
                self.world.net.cut(other, node);
            }
        }
    }

    /// Mends all cuts, and waits until nobody keeps anything for anybody: for a minute at most.
    pub fn mend(&mut self) {
        self.world.net.mend();
        self.world.net.turn(Weather::CALM);
        let until = self.world.now + 60_000_000;
        while self.kept().next().is_some() && self.world.step(until) {}
        self.pass(10);
    }

    /// A node ends, loses what was not durable, and starts again after so many periods.
    pub fn crash(&mut self, node: usize, periods: u64) {
        Fault::Crash { node, loss: Loss::All, down: periods * PERIOD }.strike(&mut self.world);
    }

    /// Starts a node that is down.
    pub fn restart(&mut self, node: usize) {
        self.world.enter(self.world.now, Event::Start { node });
    }

    /// Nodes that keep the key for others.
    pub fn kept(&self) -> impl Iterator<Item = usize> + '_ {
        let kept = |node: &usize| !self.world.machines[*node].disk.debts().is_empty();
        (0..self.world.machines.len()).filter(kept)
    }

    /// How many intervals the context of the key has at a node.
    #[must_use]
    pub fn intervals(&self, node: usize) -> usize {
        let stored = self.world.machines[node].disk.visible(&self.key);
        stored.map_or(0, |stored| stored.object.context.intervals().len())
    }

    /// How many versions of the key a node holds.
    #[must_use]
    pub fn versions(&self, node: usize) -> usize {
        let stored = self.world.machines[node].disk.visible(&self.key);
        stored.map_or(0, |stored| stored.object.versions.len())
    }

    /// Does a node hold anything of the key?
    #[must_use]
    pub fn holds(&self, node: usize) -> bool {
        self.world.machines[node].disk.visible(&self.key).is_some()
    }
}
