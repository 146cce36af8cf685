//! The cluster: a folder with certificates and configurations, made by the program itself, nodes, and the network between them.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kinfold_client::{Client, Options};
use sim::rng::Rng;
use tokio::sync::{Mutex, MutexGuard};

use crate::disk::{self, SmallDisk};
use crate::error::Error;
use crate::guest::Guest;
use crate::plan::{GUEST, NODES, SMALL};
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
    library: PathBuf,
    /// Where each node listens, the one that comes and goes last.
    addresses: Vec<SocketAddr>,
    /// The node that comes and goes.
    pub guest: Mutex<Guest>,
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
            (0..=NODES as u16).map(|n| (host, PORT + n).into()).collect();
        let proxies = Proxies::start(host.into(), &addresses, rng).await;
        let proxies = proxies.map_err(Error::at("opening sockets for", &folder))?;
        let library = shim::build(&folder)?;
        let mut site = Self {
            folder,
            program,
            nodes: Vec::new(),
            library,
            addresses: addresses.clone(),
            guest: Mutex::default(),
            proxies,
            rotations: AtomicUsize::new(0),
        };
        site.authorities()?;
        for (role, name) in [("admin", "boss"), ("client", "app")] {
            site.leaf(AUTHORITIES[0], role, name, &addresses[..NODES])?;
        }
        fs::create_dir_all(site.path("plugins")).map_err(Error::at("making", &site.folder))?;
        for number in 0..NODES {
            let node = site.node(number)?;
            site.new_certificate(number)?;
            let text = site.config(number, &addresses);
            let path = site.path(&format!("{}.toml", node.name));
            fs::write(&path, text).map_err(Error::at("writing", &path))?;
            site.nodes.push(Mutex::new(node));
        }
        Ok(site)
    }

    fn node(&self, number: usize) -> Result<Node, Error> {
        let name = format!("n{}", number + 1);
        let folder = self.path(&name);
        fs::create_dir_all(&folder).map_err(Error::at("making", &folder))?;
        let shim = Shim::new(self.path(&format!("{name}.told")))?;
        let mut node = Node::new(name, folder.clone(), shim, &self.program, &self.library);
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
        fs::write(&pem, both).map_err(Error::at("writing", &pem))?;
        // Who joins trusts both as well: the one that issued its certificate stands first.
        for (authority, other) in [(0, 1), (1, 0)].map(|(a, b)| (AUTHORITIES[a], AUTHORITIES[b])) {
            let folder = self.path(&format!("{authority}-joins"));
            fs::create_dir_all(&folder).map_err(Error::at("making", &folder))?;
            let read = |name| {
                let path = self.path(name).join("ca.pem");
                fs::read(&path).map_err(Error::at("reading", &path))
            };
            let pem = folder.join("ca.pem");
            fs::write(&pem, [read(authority)?, read(other)?].concat())
                .map_err(Error::at("writing", &pem))?;
            let (key, its) = (self.path(authority).join("ca.key"), folder.join("ca.key"));
            fs::copy(key, &its).map_err(Error::at("writing", &its))?;
        }
        Ok(())
    }

    /// A node that joins by a token, with nothing on its disk yet; `seed` is whom it asks.
    ///
    /// # Errors
    /// The program makes no token.
    pub fn newcomer(&self, seed: usize) -> Result<Node, Error> {
        let mut node = self.node(GUEST)?;
        disk::remove(&node.folder)?;
        let authority = AUTHORITIES[self.rotations.load(Ordering::Relaxed) % AUTHORITIES.len()];
        let ca = self.text(&format!("{authority}-joins"));
        let token = self.kinfold(["cluster", "token", &node.name, "--ca", &ca])?;
        let [seed, listen] = [seed, GUEST].map(|number| self.addresses[number].to_string());
        let folder = node.folder.display().to_string();
        let arguments = ["--join", &seed, "--token", token.trim(), "--listen", &listen]
            .into_iter()
            .chain(["--data-dir", &folder, "--log-format", "json"]);
        node.start_with(arguments.map(str::to_owned).collect());
        Ok(node)
    }

    /// Where a node dials the others: at the proxies on its way to them, as a configuration has it.
    #[must_use]
    pub fn dial(&self, number: usize) -> String {
        let others = (0..=GUEST).filter(|other| *other != number);
        let dial = others
            .map(|other| format!("n{} = '{}'", other + 1, self.proxies.address(number, other)));
        dial.collect::<Vec<_>>().join(", ")
    }

    fn leaf(&self, ca: &str, role: &str, name: &str, seeds: &[SocketAddr]) -> Result<(), Error> {
        let (ca, out) = (self.text(ca), self.text(""));
        let seeds = seeds.iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]);
        let leaf = ["cert", role, name, "--ca", &ca, "--out", &out].map(str::to_owned);
        self.kinfold(leaf.into_iter().chain(seeds)).map(drop)
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
        let mut text = format!(
            "cluster = 'chaos'\nnode = '{name}'\ndata_dir = '{name}/data'\nplugins_dir = 'plugins'\n\
             listen = '{listen}'\npartitions = 16\nlog = {{ format = 'json' }}\nshutdown_grace_s = 3\n\
             storage = {{ cache_mib = 16, memtable_mib = 4, reserve_mib = 24 }}\n\
             certificates = {{ ca = 'ca.pem', cert = '{name}.pem', key = '{name}.key' }}\n\
             dial = {{ {} }}\n",
            self.dial(number)
        );
        for (number, address) in addresses[..NODES].iter().enumerate() {
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
    ) -> Result<String, Error> {
        let output = Command::new(&self.program).args(arguments).output();
        let output = output.map_err(Error::at("starting", &self.program))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
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
        Ok(Client::connect(self.options(role)?).await?)
    }

    /// A client of this role that reaches these nodes only, and waits so long for an answer.
    ///
    /// # Errors
    /// None of them answers.
    pub async fn client_of(
        &self,
        role: &str,
        nodes: &[usize],
        deadline: Duration,
    ) -> Result<Client, Error> {
        let mut options = self.options(role)?;
        options.deadline = deadline;
        options.seeds = nodes.iter().map(|node| self.addresses[*node].to_string()).collect();
        // Nobody can be at that port, and to learn this takes no time.
        let others = (0..=GUEST).filter(|node| !nodes.contains(node));
        let nowhere = |node| (format!("n{}", node + 1), "127.0.0.1:0".to_owned());
        options.addresses = others.map(nowhere).collect();
        Ok(Client::connect(options).await?)
    }

    fn options(&self, role: &str) -> Result<Options, Error> {
        let mut options = Options::from_file(self.path(&format!("{role}.toml")))?;
        let both = self.path("ca.pem");
        options.ca = fs::read(&both).map_err(Error::at("reading", &both))?;
        options.deadline = Duration::from_secs(20);
        Ok(options)
    }
}
