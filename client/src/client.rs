//! The client: carries out the course of a request, and keeps the layout fresh meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_protocol::id::BucketName;
use kinfold_protocol::layout::Layout;
use kinfold_protocol::message::client::{Code, Request, RequestHeader, Response};
use kinfold_protocol::message::frame::Frame;
use kinfold_protocol::trace::TraceContext;

use crate::answer;
use crate::bucket::Bucket;
use crate::course::{Course, Kind, Step};
use crate::error::Error;
use crate::exchange::{Answer, Fault, exchange};
use crate::hedge::{self, Ended};
use crate::nodes::Nodes;
use crate::options::Options;
use crate::route::{self, Route, Target};
use crate::tls;

/// Layouts that one request fetches at most before it goes on with the one it has.
const REFRESHES: u32 = 3;

/// A connection to a cluster. Clones are the same client, cheap to make and to send anywhere.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    trace: Option<TraceContext>,
}

struct Inner {
    nodes: Nodes,
    cluster: String,
    seeds: Vec<String>,
    addresses: BTreeMap<String, String>,
    deadline: Duration,
    layout: RwLock<Option<Arc<Layout>>>,
    refreshing: AtomicBool,
    turns: AtomicUsize,
}

/// A request with its body, before it is known to whom it goes.
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) route: Route,
    pub(crate) request: Request,
    pub(crate) body: Bytes,
    /// Is it known that an earlier call may have done the same?
    pub(crate) repeated: bool,
}

impl Client {
    /// Connects to the first seed that answers, and learns from it who the nodes are and what they own.
    ///
    /// # Errors
    /// [`Error::Config`]: the options can't be used. [`Error::Unreachable`]: no seed answered by the deadline.
    /// [`Error::Refused`]: the cluster wants nothing to do with this client.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        if options.seeds.is_empty() {
            return Err(Error::Config("there are no seeds: name one node at least".to_owned()));
        }
        let config = tls::config(&options)?;
        let nodes = Nodes::new(config, tls::server_name(&options.cluster))?;
        let inner = Inner {
            nodes,
            cluster: options.cluster,
            seeds: options.seeds,
            addresses: options.addresses,
            deadline: options.deadline,
            layout: RwLock::default(),
            refreshing: AtomicBool::new(false),
            turns: AtomicUsize::new(0),
        };
        let client = Self { inner: Arc::new(inner), trace: None };
        let call = Call {
            kind: Kind::Read,
            route: Route::Seeds,
            request: Request::Layout,
            body: Bytes::new(),
            repeated: false,
        };
        let answer = client.run(call, Instant::now() + client.inner.deadline).await?;
        client.install(answer::layout(answer)?);
        Ok(client)
    }

    /// A handle on a bucket, which need not exist yet.
    ///
    /// # Errors
    /// [`Error::Config`]: this can't be a bucket's name.
    pub fn bucket(&self, name: impl Into<String>) -> Result<Bucket, Error> {
        let name = BucketName::new(name).map_err(|e| Error::Config(e.to_string()))?;
        Ok(Bucket::new(self.clone(), name))
    }

    /// This client for the requests of one trace: each carries the context, and nodes that record traces make spans under it.
    ///
    /// ```no_run
    /// # async fn run(client: kinfold_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse()?;
    /// client.with_trace(context).bucket("carts")?.get("alice").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_trace(&self, context: TraceContext) -> Self {
        Self { trace: Some(context), ..self.clone() }
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.inner.cluster
    }

    /// Who owns what, as far as this client knows. It asks again by itself when a node knows of a newer layout.
    #[must_use]
    pub fn layout(&self) -> Arc<Layout> {
        self.known_layout().expect("connect ends with a layout")
    }

    /// Closes all connections and waits until the nodes know. Without it they find out when the connections fall idle.
    pub async fn close(&self) {
        self.inner.nodes.close();
        self.inner.nodes.closed().await;
    }

    /// The deadline of a request that brings none.
    pub(crate) fn default_deadline(&self) -> Duration {
        self.inner.deadline
    }

    /// Addresses that go over the layout's.
    pub(crate) fn addresses(&self) -> &BTreeMap<String, String> {
        &self.inner.addresses
    }

    /// Carries out one request until it is answered definitely, or its deadline has come. The answer is one to this
    /// request, and no failure.
    pub(crate) async fn run(&self, call: Call, deadline: Instant) -> Result<Answer, Error> {
        let turn = self.inner.turns.fetch_add(1, Ordering::Relaxed);
        let mut course = Course::new(call.kind, self.targets(&call.route, turn), deadline);
        if call.repeated {
            course.doubt();
        }
        let mut refreshes = 0;
        loop {
            let (target, limit) = match course.step(Instant::now()) {
                Step::Try(target, limit) => (target, limit),
                Step::Wait(pause) => {
                    tokio::time::sleep(jittered(pause)).await;
                    continue;
                }
                Step::GiveUp(error) => return Err(error),
            };
            for Ended { target, outcome } in
                hedge::ask(self, &call, &mut course, target, limit).await?
            {
                let answer = match outcome {
                    Ok(answer) => answer,
                    Err(fault) => {
                        course.fault(&target, fault);
                        continue;
                    }
                };
                let newer = answer.header.layout > self.layout_version();
                if let Response::Conflict(conflict) = &answer.header.response
                    && let Some(error) = course.conflict(&target, conflict.settled)
                {
                    return Err(error);
                }
                let Response::Failed(failure) = answer.header.response else {
                    if newer {
                        self.refresh_meanwhile(target);
                    }
                    return Ok(Answer { attempts: course.attempts(), ..answer });
                };
                let stale = failure.code == Code::StaleLayout;
                if let Some(error) = course.refused(&target, failure) {
                    return Err(error);
                }
                if stale && newer && refreshes < REFRESHES {
                    refreshes += 1;
                    let left = deadline.saturating_duration_since(Instant::now());
                    if self.refresh(&target, left).await.is_ok() {
                        course.redirect(self.targets(&call.route, turn));
                    }
                }
            }
        }
    }

    /// The connections.
    pub(crate) fn nodes(&self) -> &Nodes {
        &self.inner.nodes
    }

    /// Asks one node once.
    pub(crate) async fn attempt(
        &self,
        target: &Target,
        request: &Request,
        frame: Frame,
        limit: Duration,
    ) -> Result<Answer, Fault> {
        let started = Instant::now();
        let nodes = &self.inner.nodes;
        let connection = match tokio::time::timeout(limit, nodes.connection(&target.address)).await
        {
            Ok(connection) => connection.map_err(Fault::NotSent)?,
            Err(_) => {
                return Err(Fault::NotSent(format!(
                    "not connected within {} ms",
                    limit.as_millis()
                )));
            }
        };
        let heard = connection.stats().udp_rx.datagrams;
        let sent = AtomicBool::new(false);
        let left = limit.saturating_sub(started.elapsed());
        let answer = match tokio::time::timeout(left, exchange(&connection, frame, &sent)).await {
            Ok(answer) => answer?,
            Err(_) => {
                if connection.stats().udp_rx.datagrams == heard {
                    nodes.silent(&target.address, &connection).await;
                }
                let why = format!("no answer within {} ms", left.as_millis());
                return Err(if sent.into_inner() { Fault::Lost(why) } else { Fault::NotSent(why) });
            }
        };
        answer::check(request, &answer).map_err(Fault::Broken)?;
        Ok(answer)
    }

    /// The request as bytes. A node gets a little less time than the attempt, so that its word that it ran out of time
    /// arrives before the attempt is given up.
    pub(crate) fn frame(
        &self,
        request: &Request,
        body: &Bytes,
        limit: Duration,
    ) -> Result<Frame, Error> {
        let way_back = (limit / 10).min(Duration::from_millis(250));
        let deadline_ms = (limit - way_back).as_millis().clamp(1, u32::MAX.into());
        let header = RequestHeader {
            layout: self.layout_version(),
            deadline_ms: u32::try_from(deadline_ms).unwrap_or(u32::MAX),
            trace: self.trace.map(|trace| trace.to_string()),
            request: request.clone(),
        };
        let body = if body.is_empty() { Vec::new() } else { vec![body.clone()] };
        Frame::new(&header, body)
            .map_err(|e| Error::Config(format!("the request can't be sent: {e}")))
    }

    fn targets(&self, route: &Route, turn: usize) -> Vec<Target> {
        let seed = |address: &String| Target { name: address.clone(), address: address.clone() };
        match (self.known_layout(), route) {
            (_, Route::Seeds) | (None, _) => self.inner.seeds.iter().map(seed).collect(),
            (Some(layout), _) => {
                let suspect = |address: &str| {
                    if self.inner.nodes.is_look_due(address) {
                        let (inner, address) = (Arc::clone(&self.inner), address.to_owned());
                        tokio::spawn(async move { inner.nodes.look(&address).await });
                    }
                    self.inner.nodes.is_suspect(address)
                };
                route::targets(&layout, route, turn, &self.inner.addresses, suspect)
            }
        }
    }

    fn known_layout(&self) -> Option<Arc<Layout>> {
        self.inner.layout.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn layout_version(&self) -> u64 {
        self.known_layout().map_or(0, |layout| layout.version())
    }

    /// Fetches the layout from a node that knows a newer one, while requests go on with the old one.
    fn refresh_meanwhile(&self, target: Target) {
        if self.inner.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let client = self.clone();
        tokio::spawn(async move {
            let deadline = client.inner.deadline;
            if let Err(error) = client.refresh(&target, deadline).await {
                tracing::debug!(node = target.name, %error, "the layout was not refreshed");
            }
            client.inner.refreshing.store(false, Ordering::Release);
        });
    }

    async fn refresh(&self, target: &Target, limit: Duration) -> Result<(), Error> {
        let request = Request::Layout;
        let frame = self.frame(&request, &Bytes::new(), limit)?;
        let answer = self.attempt(target, &request, frame, limit).await;
        self.install(answer::layout(answer.map_err(|fault| fault.into_read_error(&target.name))?)?);
        Ok(())
    }

    /// Takes up a layout, unless a newer one is here.
    pub(crate) fn install(&self, layout: Layout) {
        let mut held = self.inner.layout.write().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|known| known.version() >= layout.version()) {
            return;
        }
        let members = layout.members().iter();
        let mut addresses: BTreeSet<_> =
            members.map(|m| route::target(m, &self.inner.addresses).address).collect();
        addresses.extend(self.inner.seeds.iter().cloned());
        *held = Some(Arc::new(layout));
        drop(held);
        self.inner.nodes.retain(&addresses);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("cluster", &self.inner.cluster).finish_non_exhaustive()
    }
}

/// Some of the pause more, so that clients that were turned away together don't come back together.
fn jittered(pause: Duration) -> Duration {
    let chance = getrandom::u32().unwrap_or_default();
    pause + pause.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 2.0)
}
