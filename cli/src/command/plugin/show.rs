//! `kinfold plugin show`: one plugin, what was tried on it, and who has it.

use std::io::{self, Write};

use clap::Args;
use kinfold_client::{
    Component, ComponentState, Error, Listed, Member, NodePlugins, Release, Tombstones,
};
use serde_json::json;

use crate::cluster_args::ClusterArgs;
use crate::command::plugin::{evidence, list};
use crate::exit::{End, Failure};
use crate::output;

/// Show a plugin: its hash, what was tried on it, which buckets use it, and which nodes are ready
///
/// By its name alone, if only one version of it is installed.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin show cart@0.1.0
  kinfold plugin show cart --json

Exit code 1: a node is not ready for it, or can't be reached.")]
pub(crate) struct Show {
    /// The plugin: NAME or NAME@VERSION
    #[arg(value_name = "NAME[@VERSION]")]
    plugin: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// How a node is with the plugin, in words.
struct Node {
    name: String,
    ready: bool,
    state: String,
}

impl Show {
    pub(crate) fn run(self) -> Result<End, Failure> {
        self.cluster.with_client(async |client| {
            let listed = client.plugins().await?;
            let (release, component) = find(&listed, &self.plugin)?;
            let buckets = client.buckets().await?;
            let users = list::users(&buckets, release.as_str());
            let nodes: Vec<Node> = client
                .plugin_stats()
                .await
                .into_iter()
                .map(|(member, told)| node(member, told, release))
                .collect();
            if self.json {
                output::print_json(&json!({
                    "plugin": release.as_str(),
                    "description": component.description,
                    "blake3": component.hash.to_string(),
                    "bytes": component.size,
                    "contract": component.contract.name(),
                    "tombstones": tombstones(component),
                    "installed_by": component.installed_by,
                    "buckets": users,
                    "nodes": nodes.iter().map(|node| json!({
                        "name": node.name, "ready": node.ready, "state": node.state,
                    })).collect::<Vec<_>>(),
                    "evidence": evidence::json(&component.evidence),
                }))?;
            } else {
                output::print(|out| write(out, release, component, &users, &nodes))?;
            }
            Ok(if nodes.iter().all(|node| node.ready) { End::Done } else { End::NotWell })
        })
    }
}

/// The release that a name means.
pub(super) fn find<'l>(
    listed: &'l Listed,
    plugin: &str,
) -> Result<(&'l Release, &'l Component), Failure> {
    let all: Vec<_> = listed
        .installed
        .iter()
        .filter(|(release, _)| release.as_str() == plugin || release.name() == plugin)
        .collect();
    match all[..] {
        [one] => Ok(one),
        [] => Err(Failure::Refused(format!(
            "no plugin `{plugin}` is installed: see `kinfold plugin list`"
        ))),
        _ => {
            let names: Vec<&str> = all.iter().map(|(release, _)| release.as_str()).collect();
            Err(Failure::Refused(format!("which of {}?", names.join(", "))))
        }
    }
}

fn node(member: Member, told: Result<NodePlugins, Error>, release: &Release) -> Node {
    let (ready, state) = match told {
        Err(error) => (false, error.to_string()),
        Ok(told) => match told.components.get(release) {
            Some(ComponentState::Ready) => (true, "ready".to_owned()),
            Some(ComponentState::Failed(why)) => (false, format!("can't use it: {why}")),
            Some(ComponentState::Missing) | None => (false, "does not have it yet".to_owned()),
        },
    };
    Node { name: member.name, ready, state }
}

fn tombstones(component: &Component) -> &'static str {
    match component.tombstones {
        Tombstones::Pass => "pass",
        Tombstones::Reset => "reset",
    }
}

fn write(
    out: &mut dyn Write,
    release: &Release,
    component: &Component,
    users: &[&str],
    nodes: &[Node],
) -> io::Result<()> {
    writeln!(out, "plugin       {release}")?;
    if !component.description.is_empty() {
        writeln!(out, "description  {}", component.description)?;
    }
    writeln!(out, "blake3       {}", component.hash)?;
    writeln!(out, "size         {} bytes", component.size)?;
    writeln!(out, "contract     {}", component.contract.name())?;
    writeln!(out, "tombstones   {}", tombstones(component))?;
    writeln!(out, "installed by {}", component.installed_by)?;
    let users = if users.is_empty() { "none".to_owned() } else { users.join(", ") };
    writeln!(out, "buckets      {users}")?;
    for Node { name, state, .. } in nodes {
        writeln!(out, "node         {name}: {state}")?;
    }
    writeln!(out, "\nwhat was tried before it was installed:")?;
    evidence::write(&component.evidence, out)
}
