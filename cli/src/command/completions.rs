//! `kinfold completions`: what a shell needs to complete commands.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::command::Cli;
use crate::exit::{End, Failure};
use crate::output;

/// Print a shell's completions
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold completions bash > ~/.local/share/bash-completion/completions/kinfold
  kinfold completions fish > ~/.config/fish/completions/kinfold.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "kinfold", &mut script);
        output::print(|out| out.write_all(&script))?;
        Ok(End::Done)
    }
}
