//! `kinfold cert`: the certificates that say who is who.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use kinfold_client::Profile;
use kinfold_host::certificate::{Authority, Role};

use crate::exit::{End, Failure};
use crate::output;

const DAY: u64 = 24 * 60 * 60;

/// Make the certificates of a cluster
///
/// `ca` makes the authority, once for a cluster; whoever holds its key decides who is a node, a client or an operator. The
/// others make a certificate and a private key for one of these.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold cert ca --cluster shop
  kinfold cert node n1
  kinfold cert client checkout --seed n1.shop.example:7401 --seed n2.shop.example:7401
  kinfold cert admin alice")]
pub(crate) struct Cert {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the authority of a new cluster: ca.pem, which everybody needs, and ca.key, which nobody else should have
    #[command(after_help = "Example:\n  kinfold cert ca --cluster shop --out /secure/shop")]
    Ca {
        /// The cluster's name: lowercase letters, digits and hyphens
        #[arg(long)]
        cluster: String,
        /// The folder to write to; made if there is none
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        out: PathBuf,
    },
    /// Make a node's certificate: NAME.pem and NAME.key
    #[command(after_help = "Example:\n  kinfold cert node n1 --ca /secure/shop --out /etc/kinfold")]
    Node(Leaf),
    /// Make a client's certificate: NAME.pem and NAME.key, and with --seed the profile NAME.toml
    #[command(after_help = "\
Example:
  kinfold cert client checkout --seed n1.shop.example:7401
  kinfold get --profile checkout.toml carts alice")]
    Client {
        #[command(flatten)]
        leaf: Leaf,
        /// A node's address, HOST:PORT, for the profile; can be given more than once
        #[arg(long, value_name = "ADDRESS")]
        seed: Vec<String>,
    },
    /// Make an operator's certificate: NAME.pem and NAME.key, and with --seed the profile NAME.toml
    #[command(after_help = "Example:\n  kinfold cert admin alice --seed n1.shop.example:7401")]
    Admin {
        #[command(flatten)]
        leaf: Leaf,
        /// A node's address, HOST:PORT, for the profile; can be given more than once
        #[arg(long, value_name = "ADDRESS")]
        seed: Vec<String>,
    },
}

#[derive(Args, Debug)]
struct Leaf {
    /// Whose: lowercase letters, digits and hyphens
    name: String,
    /// The folder with ca.pem and ca.key
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    ca: PathBuf,
    /// The folder to write to; made if there is none
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
    /// How many days it is valid
    #[arg(long, default_value_t = 365)]
    days: u64,
}

impl Cert {
    pub(crate) fn run(self) -> Result<End, Failure> {
        match self.action {
            Action::Ca { cluster, out } => {
                let authority = Authority::create(&cluster)?;
                make_folder(&out)?;
                authority.save(&out)?;
                output::note(&format!(
                    "the authority of cluster {cluster} is in {folder}: keep ca.key where no node and no client can read it",
                    folder = out.display()
                ));
            }
            Action::Node(leaf) => drop(leaf.issue(Role::Node)?),
            Action::Client { leaf, seed } => leaf.issue_with_profile(Role::Client, seed)?,
            Action::Admin { leaf, seed } => leaf.issue_with_profile(Role::Admin, seed)?,
        }
        Ok(End::Done)
    }
}

impl Leaf {
    fn issue(&self, role: Role) -> Result<Authority, Failure> {
        let authority = Authority::open(&self.ca)?;
        let validity = Duration::from_secs(self.days.saturating_mul(DAY));
        let issued = authority.issue_for(role, &self.name, validity)?;
        make_folder(&self.out)?;
        issued.save(&self.out, &self.name)?;
        output::note(&format!(
            "{role} {name} of cluster {cluster}: {name}.pem and {name}.key are in {folder}",
            name = self.name,
            cluster = authority.cluster(),
            folder = self.out.display()
        ));
        Ok(authority)
    }

    fn issue_with_profile(&self, role: Role, seeds: Vec<String>) -> Result<(), Failure> {
        let authority = self.issue(role)?;
        if seeds.is_empty() {
            return Ok(());
        }
        let ca = fs::canonicalize(self.ca.join("ca.pem")).map_err(Failure::file(&self.ca))?;
        let profile = Profile {
            cluster: authority.cluster().to_owned(),
            seeds,
            ca,
            cert: format!("{}.pem", self.name).into(),
            key: format!("{}.key", self.name).into(),
            deadline_ms: None,
            addresses: Default::default(),
        };
        let path = self.out.join(format!("{}.toml", self.name));
        write_profile(&path, &profile)?;
        output::note(&format!(
            "the profile is {path}: pass it with --profile, or set KINFOLD_PROFILE",
            path = path.display()
        ));
        Ok(())
    }
}

/// Writes a profile where there is none yet.
pub(crate) fn write_profile(path: &Path, profile: &Profile) -> Result<(), Failure> {
    let text = toml::to_string(profile)
        .map_err(|e| Failure::Usage(format!("the profile can't be written as TOML: {e}")))?;
    let mut file = fs::File::create_new(path).map_err(Failure::file(path))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(Failure::file(path))
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Failure::file(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Cli;
    use clap::Parser;
    use kinfold_client::Options;

    fn run(arguments: &[&str]) -> Result<End, Failure> {
        Cli::try_parse_from(["kinfold", "cert"].iter().chain(arguments)).unwrap().run()
    }

    #[test]
    fn an_authority_a_node_and_a_client_with_its_profile() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("new");
        let folder = folder.to_str().unwrap();
        run(&["ca", "--cluster", "shop", "--out", folder]).unwrap();
        run(&["node", "n1", "--ca", folder, "--out", folder]).unwrap();
        let seed = ["--seed", "127.0.0.1:1"];
        run(&[&["client", "me", "--ca", folder, "--out", folder], &seed[..]].concat()).unwrap();
        let options = Options::from_file(format!("{folder}/me.toml")).unwrap();
        assert_eq!((options.cluster.as_str(), options.seeds.len()), ("shop", 1));
        let again = run(&["node", "n1", "--ca", folder, "--out", folder]).unwrap_err().to_string();
        assert!(again.contains("exists"), "{again}");
    }
}
