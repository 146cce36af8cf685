//! `kinfold demo`: the main job in one command.

use clap::Args;

use crate::command::dev_files::{DevFiles, Shape};
use crate::demo::{self, Stage};
use crate::exit::{End, Failure};
use crate::signals::Stop;
use crate::{dev_folder, output};

/// Show what Kinfold is for: three nodes, a cut, and nothing lost
///
/// Starts three nodes on this machine, loads a few thousand records, cuts the network between the nodes, has both sides
/// take writes that conflict, heals it, reads everything through every node, and checks that no acknowledged write is
/// missing and that all nodes agree. Needs no other cluster and leaves nothing behind.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold demo
  kinfold demo --keep

Exit code 1: something that has to be there is not, or the nodes disagree; the output says what and where.")]
pub(crate) struct Demo {
    /// Keep the nodes' folder, and say where it is
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let folder = dev_folder::throw_away("kinfold-demo-", &std::env::temp_dir())?;
        let runtime = crate::runtime::of_nodes()?;
        let files = DevFiles::keep(folder.path(), Shape { nodes: 3, port: 0 })?;
        let end = runtime.block_on(async {
            let (mut stop, stage) = (Stop::listen()?, Stage::open());
            tokio::select! {
                end = demo::play(&stage, files.folder(), files.configs()) => end,
                () = stop.wait() => {
                    output::note("stopped before the end");
                    Ok(End::NotWell)
                }
            }
        });
        // The nodes' threads end before their files go.
        drop(runtime);
        if self.keep {
            let path = folder.keep();
            output::note(&format!(
                "everything is kept in {path}: `kinfold dev --dir {path}` starts the nodes again",
                path = path.display()
            ));
        }
        end
    }
}
