//! A cluster of processes: a folder with certificates and configurations made by the program itself, and nodes to start, kill
//! and stop.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kinfold_client::Options;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Run, command, kinfold};

/// A machine that is busy with other tests gets so long before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that a cluster's nodes and clients need.
pub(crate) struct Site {
    folder: TempDir,
    pub(crate) nodes: Vec<(String, SocketAddr)>,
}

/// A node's process. It is killed when dropped.
pub(crate) struct Node {
    child: Child,
    log: PathBuf,
}

impl Site {
    /// A cluster of so many nodes, with `settings` in each configuration.
    pub(crate) fn new(nodes: usize, settings: &str) -> Self {
        Self::of("e2e", nodes, settings)
    }

    /// Addresses that no other test has. A port that the system chose could be another program's by the time it is used: so each
    /// process has a loopback address of its own, with ports below those that the system gives out.
    fn own_addresses() -> impl Iterator<Item = SocketAddr> {
        static PORT: AtomicU16 = AtomicU16::new(7401);
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        let host = Ipv4Addr::new(127, 1 + high, middle, low);
        std::iter::repeat_with(move || (host, PORT.fetch_add(1, Ordering::Relaxed)).into())
    }

    /// A cluster of this name.
    pub(crate) fn of(cluster: &str, nodes: usize, settings: &str) -> Self {
        Self::below(&std::env::temp_dir(), cluster, nodes, settings)
    }

    /// A cluster of this name, in a folder below `folder`.
    pub(crate) fn below(folder: &Path, cluster: &str, nodes: usize, settings: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("kinfold-e2e-").tempdir_in(folder).unwrap();
        let nodes: Vec<_> =
            (1..=nodes).map(|n| format!("n{n}")).zip(Self::own_addresses()).collect();
        let site = Self { folder, nodes };
        let path = site.path("").display().to_string();
        let seeds = site.nodes.iter().flat_map(|(_, a)| ["--seed".to_owned(), a.to_string()]);
        let seeds: Vec<_> = seeds.collect();
        kinfold(["cert", "ca", "--cluster", cluster, "--out", &path], b"").ends(0);
        for (role, name) in [("admin", "boss"), ("client", "app")] {
            let leaf = ["cert", role, name, "--ca", &path, "--out", &path].map(str::to_owned);
            kinfold(leaf.iter().chain(&seeds), b"").ends(0);
        }
        for (name, address) in &site.nodes {
            kinfold(["cert", "node", name, "--ca", &path, "--out", &path], b"").ends(0);
            fs::write(site.config(name), site.text(cluster, name, *address, settings)).unwrap();
        }
        site
    }

    fn text(&self, cluster: &str, name: &str, address: SocketAddr, settings: &str) -> String {
        let mut text = format!(
            "cluster = '{cluster}'\nnode = '{name}'\ndata_dir = '{name}'\nplugins_dir = 'plugins'\n\
             listen = '{address}'\npartitions = 32\nlog = {{ format = 'json' }}\n\
             certificates = {{ ca = 'ca.pem', cert = '{name}.pem', key = '{name}.key' }}\n{settings}\n"
        );
        if !settings.contains("storage") {
            text += "storage = { cache_mib = 16, memtable_mib = 8, reserve_mib = 64 }\n";
        }
        for (name, address) in &self.nodes {
            writeln!(text, "[[members]]\nname = '{name}'\naddress = '{address}'").unwrap();
        }
        fs::create_dir_all(self.path("plugins")).unwrap();
        text
    }

    /// A path in the site's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A node's configuration.
    pub(crate) fn config(&self, node: &str) -> PathBuf {
        self.path(&format!("{node}.toml"))
    }

    /// Starts a node, and does not wait for it.
    pub(crate) fn start(&self, node: &str) -> Node {
        let log = self.path(&format!("{node}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut serve = command();
        serve.arg("serve").arg("--config").arg(self.config(node));
        let child = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Node { child, log }
    }

    /// Has a new machine join by a token, which is all that it is given but its folder and its address.
    pub(crate) fn join(&self, folder: &str, token: &str) -> Node {
        self.join_at(folder, token, Self::own_addresses().next().unwrap())
    }

    /// The same at an address that it has had before.
    pub(crate) fn join_at(&self, folder: &str, token: &str, listen: SocketAddr) -> Node {
        let log = self.path(&format!("{folder}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let listen = listen.to_string();
        let seed = self.nodes[0].1.to_string();
        let mut serve = command();
        serve.args(["serve", "--join", &seed, "--token", token, "--listen", &listen, "--data-dir"]);
        serve.arg(self.path(folder)).args(["--log-format", "json"]);
        let child = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Node { child, log }
    }

    /// Starts all nodes, and waits until they have met.
    pub(crate) fn start_all(&self) -> Vec<Node> {
        let nodes = self.nodes.iter().map(|(name, _)| self.start(name)).collect();
        self.meet();
        nodes
    }

    /// Waits until all nodes answer, have heard of each other, and have the same buckets.
    pub(crate) fn meet(&self) {
        let all = self.nodes.len();
        eventually("the nodes meet", || {
            let run = self.boss(["status", "--json"]);
            let Ok(Value::Array(nodes)) = serde_json::from_slice(&run.out) else { return false };
            nodes.len() == all
                && nodes.iter().all(|node| {
                    node["reachable"] == true
                        && node["peers_heard"] == node["peers"]
                        && node["catalogue_same"] == true
                })
        });
    }

    /// Runs the program as an operator.
    pub(crate) fn boss<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        self.run("boss", arguments, b"")
    }

    /// Runs the program as a client.
    pub(crate) fn app<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        self.run("app", arguments, b"")
    }

    /// Runs the program with this profile and this input.
    pub(crate) fn run<'a>(
        &self,
        profile: &str,
        arguments: impl IntoIterator<Item = &'a str>,
        input: &[u8],
    ) -> Run {
        let profile = self.path(&format!("{profile}.toml")).display().to_string();
        let arguments = arguments.into_iter().map(str::to_owned);
        kinfold(arguments.chain(["--profile".to_owned(), profile]), input)
    }

    /// What a client in this process needs to know.
    pub(crate) fn options(&self) -> Options {
        Options::from_file(self.path("boss.toml")).unwrap()
    }
}

impl Node {
    /// Kills it as a crash does: it gets no chance to do anything.
    pub(crate) fn crash(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to stop, as a supervisor does, and waits until it has.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }

    /// How it has ended, if it has by itself.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Has it do nothing until [`Node::wake`]: to the others it is cut off, and when it wakes it knows nothing of that.
    pub(crate) fn freeze(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    /// Has it go on.
    pub(crate) fn wake(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far, in all its lives.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The actor of its life, as its log has it.
    pub(crate) fn actor(&self) -> String {
        let mut actor = None;
        eventually("the node says that it started", || {
            let log = self.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            actor = lines
                .filter(|line| line["fields"]["message"] == "started")
                .filter_map(|line| line["fields"]["actor"].as_str().map(str::to_owned))
                .next_back();
            actor.is_some()
        });
        actor.unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// Waits until `holds`, and fails with `what` if that takes longer than any machine should need.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(25));
    }
}

/// The names of what is in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
