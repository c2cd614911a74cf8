//! `nn-prune`: prunes safetensors checkpoints from the command line.
//!
//! The program parses options, prints results and returns an exit code. [`prune::checkpoint`](::prune::checkpoint) does
//! the work.

mod amount;
mod args;
mod calibrated;
mod compact;
mod compact_args;
mod companions;
mod convert;
mod cut;
mod diff;
mod error;
mod format;
mod input;
mod inspect;
mod names;
mod outputs;
mod pack;
mod parse;
mod permute;
mod plot;
mod progress;
mod prune;
mod recipe;
mod skipped;
mod statistics;
mod table;
mod text;
mod verify;
mod visible_json;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use error::CliError;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match parse_args().map_err(CliError::from).and_then(|cli| run(cli.command)) {
        Ok(code) => code,
        Err(error) => error.report(),
    }
}

fn parse_args() -> Result<Cli, clap::Error> {
    Cli::try_parse().map_err(|error| {
        // The message quotes arguments. A shell may have expanded them from names of untrusted files.
        let escaped = std::env::args_os().map(|arg| text::escape_invisible(&arg.to_string_lossy()).into_owned());
        Cli::try_parse_from(escaped).err().unwrap_or(error)
    })
}

fn run(command: Command) -> Result<ExitCode, CliError> {
    progress::stop_when_interrupted()?;
    match command {
        Command::Prune(args) => prune::run(&args)?,
        Command::Count(args) => cut::count(&args)?,
        Command::Cut(args) => cut::cut(&args)?,
        Command::Compact(args) => compact::run(&args)?,
        Command::Permute(args) => permute::run(&args)?,
        Command::Inspect(args) => inspect::run(&args)?,
        Command::Remove(args) => convert::remove(&args.convert)?,
        Command::Restore(args) => convert::restore(&args.convert)?,
        Command::Masks(args) => convert::masks(&args)?,
        Command::Pack(args) => pack::pack(&args)?,
        Command::Unpack(args) => convert::unpack(&args.convert)?,
        Command::Statistics(args) => statistics::run(&args)?,
        Command::Diff(args) => return diff::run(&args),
        Command::Verify(args) => return verify::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "nn-prune", &mut script);
            format::print(&script)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
