//! The bench's own cluster: three nodes in this process, with the product's defaults, gone afterwards.

use std::path::Path;

use kinfold_client::{Client, Options};
use kinfold_host::Running;
use kinfold_host::config::{self, Config, Overrides};

use super::floor;
use crate::command::dev_files::{DevFiles, Shape};
use crate::dev_folder::PROFILE;
use crate::exit::Failure;
use crate::meeting;

/// Three nodes in this process.
pub(crate) struct Cluster {
    files: DevFiles,
    configs: Vec<Config>,
    nodes: Vec<(String, Running)>,
}

impl Cluster {
    /// Starts the nodes, which keep everything in `folder`.
    pub(crate) async fn start(folder: &Path) -> Result<Self, Failure> {
        let files = DevFiles::throw_away(folder, Shape { nodes: 3, port: 0 })?;
        let mut cluster = Self { configs: Vec::new(), nodes: Vec::new(), files };
        for path in cluster.files.configs().to_vec() {
            // A development cluster is told to be modest; this one is to be as a node is by default.
            let usual = config::Storage::default();
            let storage = Overrides {
                cache_mib: Some(usual.cache_mib),
                memtable_mib: Some(usual.memtable_mib),
                reserve_mib: Some(usual.reserve_mib),
                ..Overrides::default()
            };
            let config = Config::load(Some(&path), |_| None, storage)?;
            let node = config.node.clone();
            cluster.configs.push(config.clone());
            let running = kinfold_host::start(config)
                .await
                .map_err(|source| Failure::start(&node, source))?;
            cluster.nodes.push((node, running));
        }
        let client = Client::connect(cluster.options()?).await?;
        meeting::meet(&client).await;
        client.close().await;
        Ok(cluster)
    }

    /// How to reach it, as an operator.
    pub(crate) fn options(&self) -> Result<Options, Failure> {
        Ok(Options::from_file(self.files.folder().join(PROFILE))?)
    }

    /// The name that the certificates carry.
    pub(crate) fn name(&self) -> &str {
        self.configs.first().map_or("", |config| config.cluster.as_str())
    }

    /// The nodes' names and certificates, for the floor.
    pub(crate) fn members(&self) -> Vec<floor::Member> {
        let member = |config: &Config| floor::Member {
            name: config.node.clone(),
            certificates: config.certificates.clone(),
        };
        self.configs.iter().map(member).collect()
    }

    /// Stops one node, by its place.
    pub(crate) async fn stop_one(&mut self, place: usize) -> Result<(), Failure> {
        let (node, running) = self.nodes.remove(place);
        running.stop().await.map_err(|source| Failure::Stop { node, source })
    }

    /// Starts it again.
    pub(crate) async fn start_one(&mut self, place: usize) -> Result<(), Failure> {
        let config = self.configs[place].clone();
        let node = config.node.clone();
        let started = kinfold_host::start_again(config).await;
        let running = started.map_err(|source| Failure::start(&node, source))?;
        self.nodes.insert(place, (node, running));
        Ok(())
    }

    /// Has one more node ask to join.
    pub(crate) async fn join_one(&mut self, node: &str) -> Result<(), Failure> {
        let config = self.files.newcomer(node)?.join().await?;
        let config = Config::load(Some(&config), |_| None, Overrides::default())?;
        self.configs.push(config.clone());
        let started = kinfold_host::start(config).await;
        let running = started.map_err(|source| Failure::start(node, source))?;
        self.nodes.push((node.to_owned(), running));
        Ok(())
    }

    /// Stops the nodes and removes their files.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        for (node, running) in self.nodes {
            running.stop().await.map_err(|source| Failure::Stop { node, source })?;
        }
        self.files.done()
    }
}
