//! `nn-prune`: prunes safetensors checkpoints from the command line.
//!
//! All it does is read options, show results and choose an exit code; the work is done by [`prune::checkpoint`].

mod args;
mod convert;
mod diff;
mod failure;
mod input;
mod inspect;
mod plot;
mod progress;
mod pruning;
mod show;
mod values;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use failure::Failure;

/// What scripts go by; `--help` lists them.
mod exit {
    pub const ERROR: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const DIFFERENT: u8 = 3;
    /// What shells report of a program that Ctrl-C has ended.
    pub const INTERRUPTED: u8 = 130;
}

fn main() -> ExitCode {
    match parse().map_err(Failure::from).and_then(|cli| run(cli.command)) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn parse() -> Result<Cli, clap::Error> {
    Cli::try_parse().map_err(|error| {
        // The message quotes arguments, and a shell may have made them of the names of a stranger's files.
        let arguments = std::env::args_os().map(|argument| show::plain(&argument.to_string_lossy()).into_owned());
        Cli::try_parse_from(arguments).err().unwrap_or(error)
    })
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    progress::stop_when_interrupted()?;
    match command {
        Command::Prune(args) => pruning::run(&args)?,
        Command::Inspect(args) => inspect::run(&args)?,
        Command::Remove(args) => convert::remove(&args)?,
        Command::Masks(args) => convert::masks(&args)?,
        Command::Diff(args) => return diff::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "nn-prune", &mut script);
            show::print(&script)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
