//! `kinfold dev`: a cluster on this machine, in one process.

use std::future::{self, Future};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Poll;

use clap::Args;
use kinfold_client::{Client, Options};
use kinfold_host::Running;
use kinfold_host::config::{Config, Level, Log, LogFormat, Overrides};
use tokio::task::JoinSet;

use crate::command::dev_files::{DevFiles, Shape};
use crate::dev_folder::{self, PROFILE};
use crate::exit::{End, Failure};
use crate::signals::Stop;
use crate::{logging, meeting, output};

/// Nodes of a cluster that nobody asked otherwise for.
const NODES: u8 = 3;

/// The first node's UDP port; the others have the next ones.
const PORT: u16 = 7401;

/// Run a whole cluster on this machine, to try things out
///
/// All nodes run in this process and listen on loopback only, with throw-away certificates. Ctrl-C stops them. Without
/// --dir everything is gone then; with it everything is kept there, and the next start goes on with it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold dev
  kinfold dev --nodes 5 --port 0
  kinfold dev --dir ./try

In another terminal, while it runs:
  kinfold bucket create carts --merge set-union
  kinfold put carts alice milk
  kinfold get carts alice")]
pub(crate) struct Dev {
    /// How many nodes, 1 to 9. Default: 3
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: Option<u8>,
    /// The first node's UDP port, the others have the next ones; 0 takes ports that are free. Default: 7401
    #[arg(long)]
    port: Option<u16>,
    /// Keep everything in this folder, and go on with what is there
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// The least severe level that is logged: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log_level: Level,
}

impl Dev {
    pub(crate) fn run(self) -> Result<End, Failure> {
        logging::start(&Log { level: self.log_level, format: LogFormat::Text });
        let shape = Shape { nodes: self.nodes.unwrap_or(NODES), port: self.port.unwrap_or(PORT) };
        let files = match &self.dir {
            None => DevFiles::throw_away(&dev_folder::default_path(), shape)?,
            Some(folder) => {
                let files = DevFiles::keep(folder, shape)?;
                if files.was_there() && (self.nodes.is_some() || self.port.is_some()) {
                    return Err(Failure::Usage(format!(
                        "the cluster in {} has its nodes and ports already: drop --nodes and --port, or choose another folder",
                        folder.display()
                    )));
                }
                files
            }
        };
        let runtime = crate::runtime::of_nodes()?;
        let end = runtime.block_on(run(&files, self.dir.as_deref()));
        runtime.shutdown_background();
        files.done()?;
        end
    }
}

async fn run(files: &DevFiles, kept: Option<&Path>) -> Result<End, Failure> {
    let mut stop = Stop::listen()?;
    let mut nodes = Vec::new();
    for path in files.configs() {
        let config = Config::load(Some(path), |_| None, Overrides::default())?;
        let (name, listen) = (config.node.clone(), config.listen);
        match kinfold_host::start(config).await {
            Ok(running) => nodes.push(Node { name, running }),
            Err(source) => {
                let _ = stop_all(nodes).await;
                output::note(&format!(
                    "{name} was to listen on {listen}: with `--port 0` the system chooses ports that are free"
                ));
                return Err(Failure::start(&name, source));
            }
        }
    }
    let profile = files.folder().join(PROFILE);
    tokio::select! {
        met = meet(&profile) => met?,
        () = stop.wait() => return stop_all(nodes).await,
    }
    output::print(|out| introduce(out, &nodes, &profile, kept))?;
    let ended = tokio::select! {
        () = stop.wait() => None,
        name = any_ended(&nodes) => Some(name),
    };
    output::note("stopping");
    tokio::select! {
        stopped = stop_all(nodes) => match ended {
            Some(name) => Err(Failure::Ended(name)),
            None => stopped,
        },
        () = stop.wait() => Ok(End::NotWell),
    }
}

/// A node of the cluster, in this process.
struct Node {
    name: String,
    running: Running,
}

/// Waits until all nodes have heard of each other, and says who has not.
async fn meet(profile: &Path) -> Result<(), Failure> {
    let client = Client::connect(Options::from_file(profile)?).await?;
    for apart in meeting::meet(&client).await {
        output::note(&apart);
    }
    client.close().await;
    Ok(())
}

/// The name of the first node that can't go on.
async fn any_ended(nodes: &[Node]) -> String {
    let mut waiting: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> =
        nodes.iter().map(|node| Box::pin(node.running.wait()) as _).collect();
    future::poll_fn(|context| {
        let ended = waiting.iter_mut().position(|wait| wait.as_mut().poll(context).is_ready());
        ended.map_or(Poll::Pending, |at| Poll::Ready(nodes[at].name.clone()))
    })
    .await
}

async fn stop_all(nodes: Vec<Node>) -> Result<End, Failure> {
    let mut stopping = JoinSet::new();
    for Node { name, running } in nodes {
        stopping.spawn(async move {
            running.stop().await.map_err(|source| Failure::Stop { node: name, source })
        });
    }
    let stopped = stopping.join_all().await;
    stopped.into_iter().collect::<Result<(), _>>()?;
    Ok(End::Done)
}

fn introduce(
    out: &mut dyn Write,
    nodes: &[Node],
    profile: &Path,
    kept: Option<&Path>,
) -> io::Result<()> {
    let folder = profile.parent().unwrap_or(profile).display();
    writeln!(out, "A cluster of {} runs on this machine, for this machine only:", nodes.len())?;
    for node in nodes {
        writeln!(out, "  {}  {}", node.name, node.running.local_addr())?;
    }
    match kept {
        None => {
            writeln!(out, "Its certificates and data, in {folder}, are removed when it stops.")?
        }
        Some(_) => writeln!(out, "Its certificates and data are kept in {folder}.")?,
    }
    writeln!(out, "\nIn another terminal:")?;
    if kept.is_some() {
        writeln!(out, "  export KINFOLD_PROFILE='{}'", profile.display())?;
    }
    writeln!(out, "  kinfold bucket create carts --merge set-union")?;
    writeln!(out, "  kinfold put carts alice milk")?;
    writeln!(out, "  kinfold get carts alice")?;
    writeln!(out, "\nReady. Ctrl-C stops it.")
}

#[cfg(test)]
mod tests {
    use crate::command::Cli;
    use clap::Parser;

    #[test]
    fn from_one_to_nine_nodes() {
        let parses = |nodes| Cli::try_parse_from(["kinfold", "dev", "--nodes", nodes]).is_ok();
        assert!(parses("1") && parses("9"));
        assert!(!parses("0") && !parses("10"));
    }
}
