//! The cluster: a folder with certificates and configurations, made by the program itself, nodes, and the network between them.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use kinfold_client::{Client, Options};
use sim::rng::Rng;
use tokio::sync::{Mutex, MutexGuard};

use crate::disk::SmallDisk;
use crate::error::Error;
use crate::plan::{NODES, SMALL};
use crate::process::Node;
use crate::proxy::Proxies;
use crate::shim::{self, Shim};

/// The port of the first node; the others have those after it.
const PORT: u16 = 7401;

/// The certificate authorities: nodes trust both, and have certificates of one.
const AUTHORITIES: [&str; 2] = ["one", "two"];

/// The cluster.
#[derive(Debug)]
pub struct Site {
    folder: PathBuf,
    program: PathBuf,
    nodes: Vec<Mutex<Node>>,
    /// The network between them.
    pub proxies: Proxies,
    /// Authorities that were used so far.
    rotations: AtomicUsize,
}

impl Site {
    /// Makes a cluster in a folder, at an address of its own, and starts no node yet.
    ///
    /// # Errors
    /// The program, the compiler or the system does not do what it should.
    pub async fn new(
        folder: PathBuf,
        program: PathBuf,
        host: Ipv4Addr,
        rng: &mut Rng,
    ) -> Result<Self, Error> {
        let addresses: Vec<SocketAddr> =
            (0..NODES as u16).map(|n| (host, PORT + n).into()).collect();
        let proxies = Proxies::start(host.into(), &addresses, rng).await;
        let proxies = proxies.map_err(Error::at("opening sockets for", &folder))?;
        let library = shim::build(&folder)?;
        let mut site =
            Self { folder, program, nodes: Vec::new(), proxies, rotations: AtomicUsize::new(0) };
        site.authorities()?;
        for (role, name) in [("admin", "boss"), ("client", "app")] {
            site.leaf(AUTHORITIES[0], role, name, &addresses)?;
        }
        fs::create_dir_all(site.path("plugins")).map_err(Error::at("making", &site.folder))?;
        for number in 0..NODES {
            let node = site.node(number, &library)?;
            site.new_certificate(number)?;
            let text = site.config(number, &addresses);
            let path = site.path(&format!("{}.toml", node.name));
            fs::write(&path, text).map_err(Error::at("writing", &path))?;
            site.nodes.push(Mutex::new(node));
        }
        Ok(site)
    }

    fn node(&self, number: usize, library: &Path) -> Result<Node, Error> {
        let name = format!("n{}", number + 1);
        let folder = self.path(&name);
        fs::create_dir_all(&folder).map_err(Error::at("making", &folder))?;
        let shim = Shim::new(self.path(&format!("{name}.told")))?;
        let mut node = Node::new(name, folder.clone(), shim, &self.program, library);
        if number == SMALL {
            node.disk = SmallDisk::mount(folder);
        }
        Ok(node)
    }

    fn authorities(&self) -> Result<(), Error> {
        let mut both = Vec::new();
        for authority in AUTHORITIES {
            let out = self.text(authority);
            self.kinfold(["cert", "ca", "--cluster", "chaos", "--out", &out])?;
            let pem = self.path(authority).join("ca.pem");
            both.extend(fs::read(&pem).map_err(Error::at("reading", &pem))?);
        }
        let pem = self.path("ca.pem");
        fs::write(&pem, both).map_err(Error::at("writing", &pem))
    }

    fn leaf(&self, ca: &str, role: &str, name: &str, seeds: &[SocketAddr]) -> Result<(), Error> {
        let (ca, out) = (self.text(ca), self.text(""));
        let seeds = seeds.iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]);
        let leaf = ["cert", role, name, "--ca", &ca, "--out", &out].map(str::to_owned);
        self.kinfold(leaf.into_iter().chain(seeds))
    }

    /// A node gets a new certificate, of the authority whose turn it is. It has it from its next start on.
    ///
    /// # Errors
    /// The program does not make one.
    pub fn new_certificate(&self, number: usize) -> Result<(), Error> {
        let authority = AUTHORITIES[self.rotations.load(Ordering::Relaxed) % AUTHORITIES.len()];
        let name = format!("n{}", number + 1);
        for kind in ["pem", "key"] {
            // The program overwrites none.
            let _ = fs::remove_file(self.path(&format!("{name}.{kind}")));
        }
        self.leaf(authority, "node", &name, &[])
    }

    /// It is the other authority's turn.
    pub fn change_authority(&self) {
        self.rotations.fetch_add(1, Ordering::Relaxed);
    }

    fn config(&self, number: usize, addresses: &[SocketAddr]) -> String {
        let name = format!("n{}", number + 1);
        let listen = addresses[number];
        let others = (0..NODES).filter(|other| *other != number);
        let dial: Vec<String> = others
            .map(|other| format!("n{} = '{}'", other + 1, self.proxies.address(number, other)))
            .collect();
        let mut text = format!(
            "cluster = 'chaos'\nnode = '{name}'\ndata_dir = '{name}/data'\nplugins_dir = 'plugins'\n\
             listen = '{listen}'\npartitions = 16\nlog = {{ format = 'json' }}\nshutdown_grace_s = 3\n\
             storage = {{ cache_mib = 16, memtable_mib = 4, reserve_mib = 24 }}\n\
             certificates = {{ ca = 'ca.pem', cert = '{name}.pem', key = '{name}.key' }}\n\
             dial = {{ {} }}\n",
            dial.join(", ")
        );
        for (number, address) in addresses.iter().enumerate() {
            let member = format!("[[members]]\nname = 'n{}'\naddress = '{address}'\n", number + 1);
            text.write_str(&member).expect("a string takes everything");
        }
        text
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn kinfold<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<(), Error> {
        let output = Command::new(&self.program).args(arguments).output();
        let output = output.map_err(Error::at("starting", &self.program))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Stage(String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// A node, for as long as something is done to it.
    pub async fn hold(&self, number: usize) -> MutexGuard<'_, Node> {
        self.nodes[number].lock().await
    }

    /// A client of this role, `boss` or `app`.
    ///
    /// # Errors
    /// No node answers.
    pub async fn client(&self, role: &str) -> Result<Client, Error> {
        let mut options = Options::from_file(self.path(&format!("{role}.toml")))?;
        let both = self.path("ca.pem");
        options.ca = fs::read(&both).map_err(Error::at("reading", &both))?;
        options.deadline = std::time::Duration::from_secs(20);
        Ok(Client::connect(options).await?)
    }
}
