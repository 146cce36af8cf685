//! Brings a node up, in an order such that nothing is touched before everything is known to fit, and nothing is served
//! before the life that begins is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kinfold_protocol::catalogue::Catalogue;
use kinfold_protocol::cbor;
use kinfold_protocol::config::{CollectLimits, ExpiryLimits};
use kinfold_protocol::id::{Actor, NodeId};
use kinfold_protocol::io::{Input, saved};
use kinfold_protocol::layout::{self, Layout};
use kinfold_protocol::life::{Life, Met};
use kinfold_protocol::node::{Boot, Node};
use kinfold_protocol::record::{Kept, Record};
use kinfold_protocol::ring::{Partition, Ring};
use kinfold_protocol::time::{self, Clock};
use kinfold_sandbox::{Merger, MergerConfig};
use kinfold_storage::{Durability, Mended, Options, Storage};
use quinn::Endpoint;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::clock::{self, Clocks};
use crate::components::{self, Components};
use crate::config::{self, Config};
use crate::counters::Counters;
use crate::data_dir::DataDir;
use crate::descriptors;
use crate::endpoint::{self, Bound};
use crate::hands::Hands;
use crate::inbox::{Arrival, Arrivals, Inbox};
use crate::joined::Joined;
use crate::kept_layout;
use crate::metrics;
use crate::node_loop::NodeLoop;
use crate::peers::Peers;
use crate::rim::Rim;
use crate::running::Running;
use crate::scrub::{self, Scrubber};
use crate::server;
use crate::start_error::StartError;
use crate::tls::Credentials;
use crate::traces::{Exporter, Traces};
use crate::twin;

/// Copies that the layout keeps of every partition, where there are as many members.
const COPIES: u8 = 3;

/// What a node that was stopped held is free within this.
const LET_GO: Duration = Duration::from_secs(10);

/// Between two tries.
const LOOK: Duration = Duration::from_millis(50);

/// Starts a node. Its tasks run on the tokio runtime that this is called in.
///
/// # Errors
/// [`StartError`]: nothing runs, and nothing is held.
pub async fn start(config: Config) -> Result<Running, StartError> {
    descriptors::take_all()?;
    let credentials = Credentials::load(&config.cluster, &config.node, &config.certificates)?;
    let (endpoint, bound) = bind(&config, &credentials)?;
    let local_addr = endpoint
        .local_addr()
        .map_err(|source| StartError::Listen { listen: config.listen, source })?;
    let scrapers = listen_to_scrapers(&config).await?;
    let data_dir = DataDir::open(&config.data_dir, &config.cluster, &config.node)?;
    let origin = match Joined::read(data_dir.path())? {
        Some(joined) => Origin::Joined(joined),
        None => Origin::Founded(layout_of(&config)?),
    };

    let counters = Arc::new(Counters::default());
    let mended = mend_store(&config, &data_dir, origin.ring()).await?;
    let (inbox, mut arrivals) = mpsc::unbounded_channel();
    // Compiling plugins and reading the journal take about as long: side by side.
    let (storage, merger) =
        tokio::try_join!(open_store(&config, &data_dir, inbox.clone()), start_merger(&config))?;
    let merger = Arc::new(merger);
    let components = Components::open(data_dir.path(), Arc::clone(&merger), inbox.clone());
    let components = Arc::new(components.map_err(StartError::Components)?);
    let hands = Hands::new(
        storage,
        Arc::clone(&merger),
        Arc::clone(&components),
        inbox.clone(),
        Arc::clone(&counters),
    );
    let Begun { life, clock, catalogue, ring, lost, met } =
        begin(&hands, &mut arrivals, &origin, mended).await?;
    hands.disk().mended().map_err(kinfold_storage::OpenError::Io)?;
    let record = ring.record.clone();
    let address = record.members().into_values().find(|member| member.name == config.node);
    let address = address.map(|member| config.address_of(&member.name, &member.address));
    if let Some(address) = address
        && let Some(twin) =
            twin::find(&endpoint, &credentials, (&config.cluster, &config.node), &address).await
    {
        return Err(StartError::Twin(twin));
    }
    let debts = hands.debts().map_err(|source| StartError::State { name: "hints", source })?;

    components.load_kept(catalogue.plan()).await;

    let id = match origin {
        Origin::Founded(_) => NodeId::from_name(&config.cluster, &config.node),
        Origin::Joined(joined) => joined.id,
    };
    let clocks = Clocks::start();
    let boot = Boot {
        id,
        cluster: config.cluster.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        life,
        clock,
        ring,
        catalogue,
        debts,
        lost,
        met,
        limits: limits(&config),
        seed: random()?,
    };
    let node = Node::new(boot, clocks.now());
    let peers = Peers::new(&config, credentials, &endpoint, &counters);
    let members = record.members();
    for name in config.dial.keys().filter(|name| members.values().all(|m| m.name != **name)) {
        info!(name, "`dial` has an address for a node that is no member by now");
    }
    peers.follow(members.into_values());
    let disk = hands.disk();
    let (scrub, thread) = Scrubber::start(disk.clone(), config.scrub.clone(), record.ring());
    let exporter = config.traces.endpoint.clone().map(|endpoint| {
        info!(%endpoint, "traces go to this collector");
        let (node, version) = (config.node.clone(), env!("CARGO_PKG_VERSION"));
        Exporter::start(endpoint.0, node, version)
    });
    let traces = Traces::new(&config.traces, exporter, Arc::clone(&counters));
    let core =
        NodeLoop::new(node, clocks, arrivals, hands, peers.clone(), Arc::clone(&counters), traces);
    let version = record.version;
    let (supplied, others) = (Arc::clone(&components), peers.clone());
    let rim = Arc::new(Rim::new(
        &config,
        peers,
        inbox,
        disk.clone(),
        merger,
        components,
        Arc::clone(&counters),
        scrub,
    ));
    rim.layout.store(version, Ordering::Relaxed);

    let (patience, mut impatient) = watch::channel(());
    let (ends, ended) = watch::channel(());
    let core = tokio::spawn(async move {
        let _ends = ends;
        let remains = core.run(async move { while impatient.changed().await.is_ok() {} }).await;
        (remains, data_dir)
    });
    let mut tasks = vec![core.abort_handle()];
    tasks.push(tokio::spawn(components::supply(supplied, others)).abort_handle());
    tasks.push(tokio::spawn(server::accept(endpoint.clone(), Arc::clone(&rim))).abort_handle());
    let metrics_addr = scrapers.as_ref().and_then(|listener| listener.local_addr().ok());
    if let Some(listener) = scrapers {
        let sources = metrics::Sources {
            rim: Arc::clone(&rim),
            endpoint: endpoint.clone(),
            disk,
            version: env!("CARGO_PKG_VERSION"),
        };
        tasks.push(tokio::spawn(metrics::serve(listener, Arc::new(sources))).abort_handle());
    }
    info!(node = %config.node, %id, cluster = %config.cluster, actor = %life.actor, listen = %local_addr, "started");
    Ok(Running {
        node: config.node,
        actor: life.actor,
        local_addr,
        metrics_addr,
        grace: Duration::from_secs(config.shutdown_grace_s),
        endpoint,
        bound: Some(bound),
        rim,
        counters,
        core: Some(core),
        tasks,
        ended,
        scrub: thread,
        patience: Some(patience),
    })
}

/// Starts a node that was stopped in this process a moment ago: what it held is waited for, which may take some milliseconds.
///
/// # Errors
/// As of [`start`].
pub async fn start_again(config: Config) -> Result<Running, StartError> {
    let until = Instant::now() + LET_GO;
    loop {
        match start(config.clone()).await {
            Err(error) if error.is_held() && Instant::now() < until => {
                tokio::time::sleep(LOOK).await;
            }
            started => return started,
        }
    }
}

fn layout_of(config: &Config) -> Result<Layout, StartError> {
    let members = config.members.iter().map(|member| layout::Member {
        id: NodeId::from_name(&config.cluster, &member.name),
        name: member.name.clone(),
        address: member.address.to_string(),
        zone: member.zone.clone(),
        capacity: member.capacity,
    });
    let ring = Ring::new(config.partitions)?;
    Ok(Layout::compute(members.collect(), ring, COPIES, None)?)
}

fn bind(config: &Config, credentials: &Credentials) -> Result<(Endpoint, Bound), StartError> {
    let listen = config.listen;
    endpoint::bind(listen, credentials).map_err(|source| {
        if source.kind() == io::ErrorKind::AddrInUse {
            StartError::AddressInUse(listen)
        } else {
            StartError::Listen { listen, source }
        }
    })
}

/// The port for scrapers, where there is to be one.
async fn listen_to_scrapers(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let Some(listen) = config.metrics.listen else { return Ok(None) };
    let bound = TcpListener::bind(listen).await;
    let listener = bound.map_err(|source| StartError::Metrics { listen, source })?;
    if !listen.ip().is_loopback() {
        warn!(%listen, "the node's figures can be read by whoever reaches this address: it has neither encryption nor names");
    }
    info!(%listen, "figures for scrapers are at /metrics");
    Ok(Some(listener))
}

async fn open_store(
    config: &Config,
    data_dir: &DataDir,
    inbox: Inbox,
) -> Result<Storage, StartError> {
    let path = store_of(data_dir);
    let options = store_options(config);
    let opening = tokio::task::spawn_blocking(move || {
        Storage::open(&path, options, move |event| {
            // Nobody listens any more only once the node has ended.
            let _ = inbox.send(Arrival::Fact(Input::Store(event)));
        })
    });
    Ok(opening.await??)
}

fn store_of(data_dir: &DataDir) -> PathBuf {
    data_dir.path().join("store")
}

/// Mends the store, if it is known to be damaged.
async fn mend_store(
    config: &Config,
    data_dir: &DataDir,
    ring: Ring,
) -> Result<Option<Mended>, StartError> {
    let (path, options) = (store_of(data_dir), store_options(config));
    let mending = tokio::task::spawn_blocking(move || {
        kinfold_storage::mend(&path, &options, |load| {
            scrub::places(ring, load(saved::CATALOGUE).as_deref())
        })
    });
    Ok(mending.await??)
}

fn store_options(config: &Config) -> Options {
    Options {
        cache_mib: config.storage.cache_mib,
        memtable_mib: config.storage.memtable_mib,
        reserve_mib: config.storage.reserve_mib,
        durability: match config.durability {
            config::Durability::Sync => Durability::Sync,
            config::Durability::Interval => {
                Durability::Interval(Duration::from_millis(config.interval_ms))
            }
        },
        ..Options::default()
    }
}

async fn start_merger(config: &Config) -> Result<Merger, StartError> {
    let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let usual = config.data_dir.join("plugins");
    let merger = MergerConfig {
        threads: size(config.merge.threads),
        queue: size(config.merge.queue),
        // The usual folder need not be there; one that was asked for should.
        plugins_dir: config.plugins_dir.clone().or_else(|| usual.is_dir().then_some(usual)),
        compiled_dir: Some(config.data_dir.join("compiled")),
        ..MergerConfig::default()
    };
    let starting = tokio::task::spawn_blocking(move || Merger::start(merger));
    let (merger, refused) = starting.await??;
    // A component that was refused is in the log already. Its merges fail and the siblings stay, which is better than a
    // node that is away.
    for folder in refused.iter().filter(|refused| !refused.path.is_file()) {
        error!(error = %folder, "the plugins folder can't be read, and none of its plugins is there");
    }
    for (manifest, hash) in merger.plugins() {
        info!(plugin = manifest.name, version = manifest.version, %hash, "plugin loaded");
    }
    Ok(merger)
}

/// How a node came to be one of this cluster.
enum Origin {
    /// The cluster was founded with it, and so.
    Founded(Layout),
    /// It joined.
    Joined(Joined),
}

impl Origin {
    /// How many partitions there are: the same for as long as the cluster lives.
    fn ring(&self) -> Ring {
        match self {
            Self::Founded(layout) => layout.ring(),
            Self::Joined(joined) => joined.record.ring(),
        }
    }
}

/// What a node begins its life with.
struct Begun {
    life: Life,
    clock: Clock,
    catalogue: Catalogue,
    ring: Kept,
    /// Partitions of which the disk has lost something.
    lost: BTreeSet<Partition>,
    /// As which actors it met the other members.
    met: BTreeMap<NodeId, Met>,
}

/// Reads what was kept, and makes durable that a life begins.
async fn begin(
    hands: &Hands,
    arrivals: &mut Arrivals,
    origin: &Origin,
    mended: Option<Mended>,
) -> Result<Begun, StartError> {
    let load =
        |name: &'static str| hands.load(name).map_err(|source| StartError::State { name, source });
    let ring: Option<Kept> = decode(saved::RING, load(saved::RING)?)?;
    let (ring, founding) = match origin {
        Origin::Joined(joined) => (ring.unwrap_or_else(|| Kept::new(joined.record.clone())), None),
        Origin::Founded(layout) => {
            let ring = ring.unwrap_or_else(|| Kept::new(Record::founding(layout.clone())));
            // Once the ring was changed, the members of the configuration are those of its founding, and no more than that.
            if ring.record.version == layout.version() {
                if let Some(kept) = load(kept_layout::LAYOUT)? {
                    kept_layout::check(&kept, layout)?;
                }
                (Kept { record: Record::founding(layout.clone()), ..ring }, Some(layout))
            } else {
                (ring, None)
            }
        }
    };
    let buckets = decode(saved::CATALOGUE, load(saved::CATALOGUE)?)?.unwrap_or_default();
    let plugins = decode(saved::PLUGINS, load(saved::PLUGINS)?)?.unwrap_or_default();
    let staged = decode(saved::STAGED, load(saved::STAGED)?)?.unwrap_or_default();
    let catalogue = Catalogue::of(buckets, plugins).with_staged(staged);
    let met = decode(saved::MET, load(saved::MET)?)?.unwrap_or_default();
    let mut lost: BTreeSet<Partition> =
        decode(saved::LOST, load(saved::LOST)?)?.unwrap_or_default();
    if let Some(Mended { lost: more, left, .. }) = mended {
        lost.extend(more);
        hands.disk().leave(&left);
    }
    let mut previous: Option<Life> = decode(saved::LIFE, load(saved::LIFE)?)?;
    if let Some(life) = &mut previous
        && hands.lost_the_journals_end()
        && life.clean
    {
        error!(actor = %life.actor, "the journal's end is damaged and acknowledged writes may be missing here: this node goes on as another actor, and other owners' copies repair it");
        life.clean = false;
        let all = (0..ring.record.ring().partitions()).map(Partition);
        // They may have been written out before what they rest on.
        let forgotten =
            all.clone().try_for_each(|partition| hands.disk().forget_marks_of(partition));
        forgotten.map_err(|source| StartError::State { name: "marks", source })?;
        lost.extend(all);
    }
    let life = Life::begin(previous, Actor(random()?), clock::wall());
    let founding_layout = founding.map(|layout| (kept_layout::LAYOUT, cbor::encode(layout)));
    let state = [
        (saved::RING, cbor::encode(&ring)),
        (saved::LOST, cbor::encode(&lost)),
        (saved::LIFE, cbor::encode(&life)),
    ];
    for (name, bytes) in founding_layout.into_iter().chain(state) {
        hands
            .save(arrivals, name, bytes)
            .await
            .map_err(|source| StartError::State { name, source })?;
    }
    Ok(Begun { life, clock: life.clock(previous), catalogue, ring, lost, met })
}

fn decode<T: DeserializeOwned>(
    name: &'static str,
    bytes: Option<bytes::Bytes>,
) -> Result<Option<T>, StartError> {
    bytes
        .map(|bytes| cbor::decode(&bytes))
        .transpose()
        .map_err(|source| StartError::Damaged { name, source })
}

fn random() -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(StartError::Random)?;
    Ok(u64::from_be_bytes(bytes))
}

fn limits(config: &Config) -> kinfold_protocol::config::Limits {
    let limits = &config.limits;
    let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let seconds = |n: u32| time::Duration::from_millis(u64::from(n) * 1_000);
    let default = kinfold_protocol::config::Limits::default();
    kinfold_protocol::config::Limits {
        key_bytes: size(limits.key_bytes),
        value_bytes: size(limits.value_bytes),
        siblings: size(limits.siblings),
        // One value of the greatest length must always fit.
        object_bytes: default.object_bytes.max(u64::from(limits.value_bytes)),
        requests: size(limits.requests),
        discarded: size(limits.discarded),
        collect: CollectLimits { age: seconds(limits.delete_age_s), ..default.collect },
        exchange: seconds(config.repair.exchange_s),
        expiry: ExpiryLimits { grace: seconds(limits.clocks_apart_s), ..default.expiry },
        ..default
    }
}
