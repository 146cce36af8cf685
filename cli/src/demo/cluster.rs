//! Three nodes in this process, as `kinfold dev` has them; the first is tied to the other two by wires that can be cut.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kinfold_client::{Client, Options};
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
