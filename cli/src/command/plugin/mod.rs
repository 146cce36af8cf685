//! `kinfold plugin`: from an idea to a plugin that was tried, and from there into a cluster.

mod bench;
mod build;
mod check;
mod evidence;
mod failures;
mod install;
mod list;
mod logs;
mod native;
mod new;
mod remove;
mod replay;
mod rollback;
mod run;
mod saved;
mod shadow;
mod show;
mod stats;
mod subject;

use clap::{Args, Subcommand};

pub(crate) use rollback::Rollback;

use crate::exit::{End, Failure};

/// Make, try and install merge plugins
///
/// A plugin is a WebAssembly component that folds siblings into one value. `new` writes a folder with one that works, `build` makes
/// the component, `check` tries the laws of merging on it, `run` merges files, `bench` measures; none of these needs a cluster. `install` has a
/// cluster try the laws once more and keep the component; `bucket set BUCKET --merge NAME@VERSION` has a bucket merge with it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin new cart --lang typescript
  kinfold plugin build cart
  kinfold plugin check cart
  kinfold plugin run cart/cart.wasm one.txt other.txt
  kinfold plugin bench cart
  kinfold plugin install cart/cart.wasm
  kinfold bucket set carts --merge cart@0.1.0
  kinfold plugin stats")]
pub(crate) struct Plugin {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    New(new::New),
    Build(build::Build),
    Check(check::Check),
    Run(run::Run),
    Bench(bench::Bench),
    Install(install::Install),
    List(list::List),
    Show(show::Show),
    Remove(remove::Remove),
    Rollback(Rollback),
    Shadow(shadow::Shadow),
    Stats(stats::Stats),
    Logs(logs::Logs),
    Failures(failures::Failures),
    Replay(replay::Replay),
}

impl Plugin {
    pub(crate) fn run(self) -> Result<End, Failure> {
        match self.action {
            Action::New(command) => command.run(),
            Action::Build(command) => command.run(),
            Action::Check(command) => command.run(),
            Action::Run(command) => command.run(),
            Action::Bench(command) => command.run(),
            Action::Install(command) => command.run(),
            Action::List(command) => command.run(),
            Action::Show(command) => command.run(),
            Action::Remove(command) => command.run(),
            Action::Rollback(command) => command.run(),
            Action::Shadow(command) => command.run(),
            Action::Stats(command) => command.run(),
            Action::Logs(command) => command.run(),
            Action::Failures(command) => command.run(),
            Action::Replay(command) => command.run(),
        }
    }
}
