//! Three nodes in this process, as `kinfold dev` has them; the first is tied to the other two by wires that can be cut.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kinfold_client::{Client, NodeStatus, Options};
use kinfold_host::Running;
use kinfold_host::config::{Config, Overrides};
use tokio::task::JoinSet;

use super::wire::{Shears, Wire};
use crate::dev_folder::PROFILE;
use crate::exit::Failure;

/// The nodes' names. The first is alone on its side of the cut.
pub(crate) const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// The plugin that the nodes do not have built in.
const LEADERBOARD: &[u8] = include_bytes!("../../../plugins/prebuilt/leaderboard.wasm");

/// Longer than any request should take, on any machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at whether the nodes have met.
const PAUSE: Duration = Duration::from_millis(20);

/// Three running nodes.
pub(crate) struct Cluster {
    running: Vec<(&'static str, Running)>,
    addresses: Vec<SocketAddr>,
    shears: Shears,
    _wires: Vec<Wire>,
    options: Options,
}

impl Cluster {
    /// Starts a node for each of three configurations in `folder`.
    pub(crate) async fn start(folder: &Path, configs: &[PathBuf]) -> Result<Self, Failure> {
        let configs = configs.iter().map(|path| with_plugin(path, folder));
        let configs = configs.collect::<Result<Vec<Config>, _>>()?;
        let addresses: Vec<_> = configs.iter().map(|config| config.listen).collect();
        let (shears, mut wires, mut starting) = (Shears::default(), Vec::new(), JoinSet::new());
        for (i, mut config) in configs.into_iter().enumerate() {
            for (j, far) in addresses.iter().enumerate().filter(|(j, _)| (i == 0) != (*j == 0)) {
                let wire = Wire::lay(*far, &shears).await.map_err(Failure::file(folder))?;
                let address = wire.address().to_string().parse().expect("a socket's address");
                config.dial.insert(NODES[j].to_owned(), address);
                wires.push(wire);
            }
            starting.spawn(async move {
                let started = kinfold_host::start(config).await;
                let started = started.map_err(|source| Failure::start(NODES[i], source))?;
                Ok::<_, Failure>((NODES[i], started))
            });
        }
        let running = starting.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut options = Options::from_file(folder.join(PROFILE))?;
        options.deadline = PATIENCE;
        Ok(Self { running, addresses, shears, _wires: wires, options })
    }

    /// A client of all nodes.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        Ok(Client::connect(self.options.clone()).await?)
    }

    /// A client that reaches one node only, as one on the same side of a cut does.
    pub(crate) async fn client_of(&self, node: usize) -> Result<Client, Failure> {
        let address = self.addresses[node].to_string();
        let options = Options {
            seeds: vec![address.clone()],
            addresses: NODES.map(|name| (name.to_owned(), address.clone())).into(),
            ..self.options.clone()
        };
        Ok(Client::connect(options).await?)
    }

    /// Cuts and heals the wires between the first node and the others.
    pub(crate) fn shears(&self) -> &Shears {
        &self.shears
    }

    /// Stops the nodes in good order.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        let mut stopping = JoinSet::new();
        for (node, running) in self.running {
            stopping.spawn(async move {
                let stopped = running.stop().await;
                stopped.map_err(|source| Failure::Stop { node: node.to_owned(), source })
            });
        }
        stopping.join_all().await.into_iter().collect()
    }
}

/// Reads a node's configuration and gives it the plugin, also for a later start.
fn with_plugin(path: &Path, folder: &Path) -> Result<Config, Failure> {
    let mut config = Config::load(Some(path), |_| None, Overrides::default())?;
    let plugins = folder.join("plugins");
    fs::create_dir_all(&plugins).map_err(Failure::file(&plugins))?;
    let component = plugins.join("leaderboard.wasm");
    fs::write(&component, LEADERBOARD).map_err(Failure::file(&component))?;
    config.plugins_dir = Some(plugins);
    fs::write(path, config.to_toml()?).map_err(Failure::file(path))?;
    Ok(config)
}

/// Waits until every node has heard of every other since now and knows the same buckets. If that takes too long: who has not.
pub(crate) async fn meet(client: &Client) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let asked = begun.elapsed();
        let nodes = client.status().await;
        let apart: Vec<_> = nodes.iter().flat_map(|node| not_heard(node, asked)).collect();
        if apart.is_empty() || begun.elapsed() > 2 * PATIENCE {
            return apart;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The peers that a node has not heard of within this time, in words.
fn not_heard(node: &NodeStatus, within: Duration) -> Vec<String> {
    let name = &node.member.name;
    match &node.status {
        Err(why) => vec![format!("{name} does not answer: {why}")],
        Ok(status) => status
            .peers
            .iter()
            .filter(|peer| {
                let heard = peer.heard_ms.is_some_and(|ms| u128::from(ms) <= within.as_millis());
                !heard || !peer.same_catalogue
            })
            .map(|peer| format!("{name} has not heard of its peer {} again", peer.node))
            .collect(),
    }
}
