//! `kinfold plugin`: from an idea to a plugin that was tried.

mod bench;
mod build;
mod check;
mod new;
mod run;
mod subject;

use clap::{Args, Subcommand};

use crate::exit::{End, Failure};

/// Make, build and try merge plugins
///
/// A plugin is a WebAssembly component that folds siblings into one value. `new` writes a folder with one that works, `build` makes
/// the component, `check` tries the laws of merging on it, `run` merges files, `bench` measures. None needs a cluster.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold plugin new cart --lang typescript
  kinfold plugin build cart
  kinfold plugin check cart
  kinfold plugin run cart/cart.wasm one.txt other.txt
  kinfold plugin bench cart")]
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
}

impl Plugin {
    pub(crate) fn run(self) -> Result<End, Failure> {
        match self.action {
            Action::New(command) => command.run(),
            Action::Build(command) => command.run(),
            Action::Check(command) => command.run(),
            Action::Run(command) => command.run(),
            Action::Bench(command) => command.run(),
        }
    }
}
