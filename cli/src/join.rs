//! How a new machine becomes a node: from a token and the address of any member.
//!
//! The node's folder gets what the token brings, an identity, and a configuration; the node stages that it joins, and serves, owning
//! nothing, until an operator commits that. Done again, what is there is kept.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use kinfold_client::{Client, Member, MemberChange, Options, Profile};
use kinfold_host::data_dir::DataDir;
use kinfold_host::joined::Joined;
use kinfold_host::token::Token;

use crate::exit::Failure;
use crate::output;

/// The port that a node listens on if nobody says another.
const PORT: u16 = 7401;

/// Who wants to join.
pub(crate) struct Newcomer {
    /// A member's address.
    pub(crate) seed: String,
    /// What the operator made.
    pub(crate) token: Token,
    /// The folder for everything of the node.
    pub(crate) folder: PathBuf,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) advertise: Option<String>,
    pub(crate) zone: String,
    pub(crate) capacity: u32,
}

impl Newcomer {
    /// The configuration to serve with. Asks to join, unless that was done before.
    pub(crate) async fn join(self) -> Result<PathBuf, Failure> {
        let config = self.folder.join("node.toml");
        if config.exists() {
            output::note(&format!("{} is there: going on with it", config.display()));
            return Ok(config);
        }
        let listen = self.listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], PORT)));
        let advertise = match &self.advertise {
            Some(address) => address.clone(),
            None if !listen.ip().is_unspecified() => listen.to_string(),
            None => SocketAddr::new(towards(&self.seed)?, listen.port()).to_string(),
        };
        make_folder(&self.folder)?;
        let Token { ca, cert, key, .. } = &self.token;
        for (name, text, mode) in
            [("ca.pem", ca, 0o644), ("node.pem", cert, 0o644), ("node.key", key, 0o600)]
        {
            write(&self.folder.join(name), text, mode)?;
        }
        let text = self.stage(listen, advertise).await?;
        write(&config, &text, 0o600)?;
        output::note(&format!(
            "{node} asks to join: look at `kinfold cluster plan`, and commit it; until then it owns nothing",
            node = self.token.node
        ));
        Ok(config)
    }

    /// Asks a member how the ring is, and stages that this node joins. Gives the node's configuration.
    async fn stage(&self, listen: SocketAddr, advertise: String) -> Result<String, Failure> {
        let profile = Profile {
            cluster: self.token.cluster.clone(),
            seeds: vec![self.seed.clone()],
            ca: "ca.pem".into(),
            cert: "node.pem".into(),
            key: "node.key".into(),
            deadline_ms: None,
            addresses: Default::default(),
        };
        let path = self.folder.join("profile.toml");
        let text = toml::to_string(&profile)
            .map_err(|e| Failure::Usage(format!("the profile can't be written as TOML: {e}")))?;
        write(&path, &text, 0o600)?;
        let client = Client::connect(Options::from_file(&path)?).await?;
        let status = client.cluster_status().await?;
        let node = &self.token.node;
        let joined = self.identity(status.record.clone())?;
        let members = status.record.members();
        // If it is a member already, it was killed before it kept its configuration, and its change has been committed since.
        let itself = members.get(&joined.id).map(|member| member.address.clone());
        if let Some(address) = itself.as_ref().filter(|address| **address != advertise) {
            return Err(Failure::Refused(format!(
                "`{node}` is a member by now, and the others dial it at {address}, not at {advertise}: start it with --listen and --advertise as at first"
            )));
        }
        let taken = members.into_values().any(|m| m.name == *node && m.id != joined.id);
        let asks = status.staged.iter().any(|(id, change)| {
            matches!(change, MemberChange::Join(member) | MemberChange::Replace { by: member, .. }
                if member.name == *node && member.id != joined.id && *id != joined.id)
        });
        if taken || asks {
            return Err(Failure::Refused(format!(
                "there is a node `{node}` in the cluster, or one that asks to join: a token is good for one machine; make another one for another name"
            )));
        }
        let member = Member {
            id: joined.id,
            name: node.clone(),
            address: advertise.clone(),
            zone: self.zone.clone(),
            capacity: self.capacity,
        };
        let partitions = joined.record.ring().partitions();
        let text = format!(
            "# This node joined the cluster: who the others are it learns from them.\ncluster = {:?}\nnode = {node:?}\ndata_dir = \"data\"\nlisten = \"{listen}\"\nadvertise = {advertise:?}\npartitions = {partitions}\n\n[certificates]\nca = \"ca.pem\"\ncert = \"node.pem\"\nkey = \"node.key\"\n\n[[members]]\nname = {node:?}\naddress = {advertise:?}\nzone = {:?}\ncapacity = {}\n",
            self.token.cluster, self.zone, self.capacity
        );
        if itself.is_none() {
            client.stage(vec![(member.id, Some(MemberChange::Join(member)))]).await?;
        }
        client.close().await;
        Ok(text)
    }

    /// This node's identity, durable before anybody hears of it.
    fn identity(&self, record: kinfold_client::record::Record) -> Result<Joined, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::Refused(error.to_string());
        let data = self.folder.join("data");
        let dir =
            DataDir::open(&data, &self.token.cluster, &self.token.node).map_err(|e| failed(&e))?;
        if let Some(joined) = Joined::read(dir.path()).map_err(|e| failed(&e))? {
            return Ok(joined);
        }
        let joined = Joined::new(record).map_err(|e| failed(&e))?;
        joined.keep(dir.path()).map_err(|e| failed(&e))?;
        Ok(joined)
    }
}

/// This machine's address on the way to a member.
fn towards(seed: &str) -> Result<std::net::IpAddr, Failure> {
    let asked = || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        // Nothing is sent: the system only chooses the way.
        socket.connect(seed)?;
        socket.local_addr()
    };
    asked().map(|address| address.ip()).map_err(|error| {
        Failure::Usage(format!(
            "which address the others are to dial can't be told from the way to {seed} ({error}): pass --advertise"
        ))
    })
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Failure::file(folder))
}

/// Writes a file aside and puts it in its place, so that it is there whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let draft = path.with_extension("new");
    let done = || {
        let mut options = File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    done().map_err(Failure::file(path))
}
