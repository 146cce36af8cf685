//! The commands: one file each.

mod bench;
mod bucket;
mod bucket_options;
mod cert;
mod cluster;
mod completions;
mod delete;
mod demo;
mod dev;
pub(crate) mod dev_files;
mod explain;
mod get;
mod known_plugins;
mod list;
mod plan_capacity;
mod plugin;
mod put;
mod ring;
mod serve;
mod status;
mod transfer;
mod written;

use clap::{Parser, Subcommand};

use crate::exit::{self, End, Failure};

/// Kinfold: a key-value store that stays writable when the network breaks, and folds what diverged with your own merge
/// function.
#[derive(Debug, Parser)]
#[command(name = "kinfold", version, after_help = exit::HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Dev(dev::Dev),
    Demo(demo::Demo),
    Put(put::Put),
    Get(get::Get),
    Delete(delete::Delete),
    List(list::List),
    Export(transfer::Export),
    Import(transfer::Import),
    Bucket(bucket::Bucket),
    Explain(explain::Explain),
    Status(status::Status),
    Ring(ring::Ring),
    Plugin(plugin::Plugin),
    Cluster(cluster::Cluster),
    Cert(cert::Cert),
    PlanCapacity(Box<plan_capacity::PlanCapacity>),
    Bench(Box<bench::Bench>),
    Completions(completions::Completions),
}

impl Cli {
    /// Runs the command to its end.
    pub(crate) fn run(self) -> Result<End, Failure> {
        match self.command {
            Command::Serve(command) => command.run(),
            Command::Dev(command) => command.run(),
            Command::Demo(command) => command.run(),
            Command::Put(command) => command.run(),
            Command::Get(command) => command.run(),
            Command::Delete(command) => command.run(),
            Command::List(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Import(command) => command.run(),
            Command::Bucket(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Ring(command) => command.run(),
            Command::Plugin(command) => command.run(),
            Command::Cluster(command) => command.run(),
            Command::Cert(command) => command.run(),
            Command::PlanCapacity(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Completions(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        fn check(command: &clap::Command) {
            let subcommands: Vec<_> = command.get_subcommands().collect();
            subcommands.iter().for_each(|sub| check(sub));
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let name = command.get_name();
            assert!(name == "kinfold" || help.contains("Example"), "{name} has no example");
        }
        check(&Cli::command());
    }
}
