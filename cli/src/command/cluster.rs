//! `kinfold cluster`: who is a member, and who owns what.

mod plan;
mod status;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use kinfold_client::record::Record;
use kinfold_client::{Client, Member, MemberChange, NodeId};
use kinfold_host::certificate::{Authority, Role};
use kinfold_host::token::Token;
use serde::Serialize;

use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;

const DAY: u64 = 24 * 60 * 60;

/// Change which nodes there are, and what they own
///
/// A change goes in steps: stage what is to become of members, look at the plan, commit it. Nodes join by
/// `kinfold serve --join`, with a token from here.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold cluster token n4 --ca /secure/shop
  kinfold serve --join n1.shop.example:7401 --token TOKEN     on the new machine
  kinfold cluster plan
  kinfold cluster commit 3f9ac01b
  kinfold cluster status --wait
  kinfold cluster leave n2")]
pub(crate) struct Cluster {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the token with which one new machine can join under a name
    #[command(
        after_help = "Example:\n  kinfold cluster token n4 --ca /secure/shop\n\nThe token has the node's private key in it: hand it over as you would a key."
    )]
    Token {
        /// The new node's name: lowercase letters, digits and hyphens
        name: String,
        /// The folder with ca.pem and ca.key
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        ca: PathBuf,
        /// How many days the node's certificate is valid
        #[arg(long, default_value_t = 365)]
        days: u64,
    },
    /// Stage that a node takes the place of another one, instead of just joining
    #[command(after_help = "Example:\n  kinfold cluster replace n2 --by n4 --lost")]
    Replace {
        /// The member that goes
        name: String,
        /// The node that asks to join
        #[arg(long, value_name = "NAME")]
        by: String,
        /// The member is lost, disk and all: don't wait for it
        #[arg(long)]
        lost: bool,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Stage that a member leaves, once the others have what it owns
    #[command(after_help = "Example:\n  kinfold cluster leave n2")]
    Leave {
        /// The member
        name: String,
        /// The member is lost, disk and all: don't wait for it
        #[arg(long)]
        lost: bool,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Stage that a member is in another zone
    #[command(after_help = "Example:\n  kinfold cluster set-zone n2 rack-7")]
    SetZone {
        /// The member
        name: String,
        /// What fails together with it
        zone: String,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Stage that a member gets another share of the data, relative to the others'
    #[command(after_help = "Example:\n  kinfold cluster set-capacity n2 4")]
    SetCapacity {
        /// The member
        name: String,
        /// Its capacity, 1 to 1000
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
        capacity: u32,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Take back what is staged of a member
    #[command(after_help = "Example:\n  kinfold cluster unstage n4")]
    Unstage {
        /// The member, or the node that asks to join
        name: String,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Show what would come of what is staged
    #[command(after_help = "Example:\n  kinfold cluster plan --rate 50MiB")]
    Plan {
        /// Bytes a second that a node is expected to take in, for the estimate of time
        #[arg(long, value_name = "BYTES", default_value = "20MiB", value_parser = crate::bench::size::parse)]
        rate: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Make the plan that was shown: the members vote on it
    #[command(after_help = "Example:\n  kinfold cluster commit 3f9ac01b")]
    Commit {
        /// The plan, as `plan` names it; its first eight digits are enough
        plan: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Take back a change that was committed, while nothing is read from new owners yet
    #[command(after_help = "Example:\n  kinfold cluster abort")]
    Abort {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Show who is a member, what is staged, and how far a change has come
    #[command(after_help = "Example:\n  kinfold cluster status --wait")]
    Status {
        /// Wait until no change is in progress
        #[arg(long)]
        wait: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
}

#[derive(Serialize)]
struct Decided {
    version: u64,
}

impl Cluster {
    pub(crate) fn run(self) -> Result<End, Failure> {
        match self.action {
            Action::Token { name, ca, days } => token(&name, &ca, days),
            Action::Leave { name, lost, cluster } => {
                let said = format!("{name} is to leave");
                stage(cluster, name, said, move |_| MemberChange::Leave { lost })
            }
            Action::SetZone { name, zone, cluster } => {
                let said = format!("{name} is to be in zone {zone}");
                stage(cluster, name, said, move |_| MemberChange::SetZone(zone))
            }
            Action::SetCapacity { name, capacity, cluster } => {
                let said = format!("{name} is to have capacity {capacity}");
                stage(cluster, name, said, move |_| MemberChange::SetCapacity(capacity))
            }
            Action::Replace { name, by, lost, cluster } => replace(cluster, name, by, lost),
            Action::Unstage { name, cluster } => unstage(cluster, name),
            Action::Plan { rate, json, cluster } => plan::show(cluster, rate as u64, json),
            Action::Commit { plan, json, cluster } => plan::commit(cluster, plan, json),
            Action::Abort { json, cluster } => cluster.with_client(async |client| {
                let version = client.abort().await?;
                decided("the change is taken back", version, json)
            }),
            Action::Status { wait, json, cluster } => status::show(cluster, wait, json),
        }
    }
}

fn decided(what: &str, version: u64, json: bool) -> Result<End, Failure> {
    if json {
        output::print_json(&Decided { version })?;
    } else {
        output::note(&format!("{what}: version {version} of the ring"));
    }
    Ok(End::Done)
}

fn token(name: &str, ca: &std::path::Path, days: u64) -> Result<End, Failure> {
    let validity = Duration::from_secs(days.saturating_mul(DAY));
    let token = issue(&Authority::open(ca)?, name, validity)?;
    output::print(|out| writeln!(out, "{}", token.to_text()))?;
    output::note(&format!(
        "on the new machine: kinfold serve --join ADDRESS-OF-ANY-NODE --token TOKEN\nthe token has {name}'s private key in it, and is good for one machine"
    ));
    Ok(End::Done)
}

/// A token for a node of this name.
pub(crate) fn issue(
    authority: &Authority,
    name: &str,
    validity: Duration,
) -> Result<Token, Failure> {
    let issued = authority.issue_for(Role::Node, name, validity)?;
    Ok(Token {
        cluster: authority.cluster().to_owned(),
        node: name.to_owned(),
        ca: authority.cert_pem().to_owned(),
        cert: issued.cert_pem,
        key: issued.key_pem,
    })
}

/// The member of that name.
fn member(record: &Record, name: &str) -> Result<Member, Failure> {
    let members = record.members();
    let found = members.values().find(|member| member.name == name);
    found.map(|member| (*member).clone()).ok_or_else(|| {
        let names: Vec<&str> = members.values().map(|member| member.name.as_str()).collect();
        Failure::Refused(format!("`{name}` is no member: there are {}", names.join(", ")))
    })
}

/// The node of that name that asks to join.
async fn newcomer(client: &Client, name: &str) -> Result<Option<(NodeId, Member)>, Failure> {
    let staged = client.cluster_status().await?.staged;
    Ok(staged.into_iter().find_map(|(id, change)| match change {
        MemberChange::Join(member) if member.name == name => Some((id, member)),
        MemberChange::Join(_)
        | MemberChange::Leave { .. }
        | MemberChange::Replace { .. }
        | MemberChange::SetZone(_)
        | MemberChange::SetCapacity(_) => None,
    }))
}

async fn tell(client: &Client, done: &str, missing: &[NodeId]) -> Result<End, Failure> {
    let record = client.cluster_status().await?.record;
    let members = record.members();
    let name = |id: &NodeId| members.get(id).map_or_else(|| id.to_string(), |m| m.name.clone());
    let missing: Vec<String> = missing.iter().map(name).collect();
    output::tell_change(&format!("staged: {done}; `kinfold cluster plan` shows the plan"), &missing)
}

fn stage(
    cluster: ClusterArgs,
    name: String,
    said: String,
    change: impl FnOnce(&Member) -> MemberChange,
) -> Result<End, Failure> {
    cluster.with_client(async |client| {
        let record = client.cluster_status().await?.record;
        let member = member(&record, &name)?;
        let missing = client.stage(vec![(member.id, Some(change(&member)))]).await?;
        tell(&client, &said, &missing).await
    })
}

fn replace(cluster: ClusterArgs, name: String, by: String, lost: bool) -> Result<End, Failure> {
    cluster.with_client(async |client| {
        let record = client.cluster_status().await?.record;
        let member = member(&record, &name)?;
        let Some((id, newcomer)) = newcomer(&client, &by).await? else {
            return Err(Failure::Refused(format!(
                "no node `{by}` asks to join: start it with `kinfold serve --join` first"
            )));
        };
        let changes =
            vec![(id, None), (member.id, Some(MemberChange::Replace { by: newcomer, lost }))];
        let missing = client.stage(changes).await?;
        tell(&client, &format!("{by} is to take the place of {name}"), &missing).await
    })
}

fn unstage(cluster: ClusterArgs, name: String) -> Result<End, Failure> {
    cluster.with_client(async |client| {
        let id = match newcomer(&client, &name).await? {
            Some((id, _)) => id,
            None => member(&client.cluster_status().await?.record, &name)?.id,
        };
        let missing = client.stage(vec![(id, None)]).await?;
        tell(&client, &format!("nothing of {name}"), &missing).await
    })
}
