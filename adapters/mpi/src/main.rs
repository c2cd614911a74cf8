//! `nn-prune-mpi`: prunes a checkpoint with many MPI ranks, each of which reads and writes its own shards.
//!
//! [`Pruner::run_among`] does the work. It needs one operation of MPI, a sum of counts over all ranks.

use std::error::Error;
use std::ops::ControlFlow;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::sync::Mutex;

use clap::{Parser, Subcommand, ValueEnum};
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};
use prune::checkpoint::{
    Checkpoint, CheckpointError, Format, Output, Peers, Progress, PruneReport, Pruner, Scope, Selection,
};
use prune::{Amount, L1Unstructured, RandomUnstructured};

/// Prune a sharded checkpoint with many MPI ranks: mpirun -n N nn-prune-mpi prune DIR -o OUT ...
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Prune(PruneArgs),
}

/// Write a pruned copy: the files that `nn-prune prune` writes with the same options, byte for byte
#[derive(clap::Args)]
struct PruneArgs {
    /// A directory with shards, their *.safetensors.index.json, or a file, on a file system that all ranks see
    input: PathBuf,
    /// The output, a directory
    #[arg(short, long)]
    output: PathBuf,
    #[arg(long, value_enum)]
    method: Method,
    /// A fraction of the remaining entries (0.5), or a count of entries (100)
    #[arg(long, value_parser = amount)]
    amount: Amount,
    /// The entries that are ranked together: those of each tensor, or of all
    #[arg(long, value_enum, default_value = "tensor")]
    scope: ScopeName,
    /// The seed of random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[arg(long, value_enum, default_value = "weights")]
    format: FormatName,
    /// Prune only layers whose tensor names match this glob
    #[arg(long)]
    include: Vec<String>,
    /// Skip tensors whose names match this glob
    #[arg(long)]
    exclude: Vec<String>,
    /// Prune exactly the tensors whose names match this glob, whatever they are
    #[arg(long, conflicts_with = "include")]
    only: Vec<String>,
    /// Replace output files that exist
    #[arg(long)]
    force: bool,
    /// Finish an interrupted run of the same command, with any number of ranks
    #[arg(long)]
    resume: bool,
    /// Show no progress, and print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Method {
    L1,
    Random,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScopeName {
    Tensor,
    Global,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatName {
    Weights,
    Pytorch,
}

/// A number with a decimal point is a fraction, as in `nn-prune`.
fn amount(text: &str) -> Result<Amount, String> {
    let count = text.parse().map(Amount::Count);
    let amount = count.or_else(|_| text.parse().map(Amount::Fraction)).map_err(|_| "must be a number".to_owned())?;
    match amount {
        Amount::Fraction(_) => amount.count(0).map(|_| amount).map_err(|error| error.to_string()),
        _ => Ok(amount),
    }
}

/// All ranks.
struct World(SimpleCommunicator);

impl Peers for World {
    fn rank(&self) -> usize {
        self.0.rank() as usize
    }
    fn size(&self) -> usize {
        self.0.size() as usize
    }
    fn sum(&self, numbers: &mut [u64]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let own = numbers.to_vec();
        self.0.all_reduce_into(&own[..], numbers, SystemOperation::sum());
        Ok(())
    }
}

fn main() -> ExitCode {
    // A rank that panics must not wait for the others while they wait for it: `mpirun` ends them if it aborts.
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        report(info);
        process::abort()
    }));
    // Other threads read and write files; only this one calls MPI.
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
        eprintln!("error: MPI is initialized already");
        return ExitCode::FAILURE;
    };
    let world = World(universe.world());
    let is_first = world.rank() == 0;
    let args = match Cli::try_parse() {
        Ok(Cli { command: Command::Prune(args) }) => args,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            if is_first {
                drop(error.print());
            }
            return ExitCode::from(code);
        }
    };
    let result = prune(&args, &world);
    let error = match result {
        Ok(report) => {
            if is_first && !args.quiet {
                print(&report, &args.output);
            }
            return ExitCode::SUCCESS;
        }
        // All ranks have failed, or have stopped because others did.
        Err(error) => error,
    };
    let is_own = !matches!(error.downcast_ref(), Some(CheckpointError::PeersFailed { .. }));
    // If the first rank knows the reason, it is that of all ranks or that of the first.
    let mut told = [u64::from(is_first && is_own)];
    let is_told = world.sum(&mut told).is_ok() && told[0] > 0;
    if is_own && (is_first || !is_told) {
        eprintln!("error: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            eprintln!("  caused by: {error}");
            cause = error.source();
        }
    }
    ExitCode::FAILURE
}

fn prune(args: &PruneArgs, world: &World) -> Result<PruneReport, Box<dyn Error>> {
    let checkpoint = Checkpoint::open([&args.input]);
    let mut failed = [u64::from(checkpoint.is_err())];
    world.sum(&mut failed).map_err(|error| error as Box<dyn Error>)?;
    let checkpoint = match (checkpoint?, failed) {
        (checkpoint, [0]) => checkpoint,
        (_, [failed]) => return Err(CheckpointError::PeersFailed { failed }.into()),
    };
    let pruner = match args.method {
        Method::L1 => Pruner::new(L1Unstructured::new(args.amount)?),
        Method::Random => Pruner::new(RandomUnstructured::new(args.amount, args.seed)?),
    };
    let scope = match args.scope {
        ScopeName::Tensor => Scope::Tensor,
        ScopeName::Global => Scope::Global,
    };
    let format = match args.format {
        FormatName::Weights => Format::Weights,
        FormatName::Pytorch => Format::PyTorch,
    };
    let selection = args.only.iter().fold(Selection::new(), Selection::only);
    let selection = args.include.iter().fold(selection, Selection::include);
    let selection = args.exclude.iter().fold(selection, Selection::exclude);
    // As in `nn-prune`, so that either of the two can resume a run of the other.
    let pruner = pruner.scope(scope).format(format).selection(selection).output_axis(true);
    // An output that is named like a file is a directory here.
    let output = Output::new(args.output.join("")).force(args.force).resume(args.resume);
    let report = if world.rank() == 0 && !args.quiet {
        let last = Mutex::new(None);
        pruner.run_among(&checkpoint, &output, world, &|progress| show(progress, &last))?
    } else {
        pruner.run_among(&checkpoint, &output, world, &())?
    };
    Ok(report)
}

/// Prints the progress of the first rank, in steps of ten percent.
fn show(progress: Progress, last: &Mutex<Option<(String, u64)>>) -> ControlFlow<()> {
    let step = 10 * (10 * progress.done / progress.total.max(1));
    let now = Some((format!("{:?}", progress.phase).to_lowercase(), step));
    if let Ok(mut last) = last.lock()
        && *last != now
    {
        if let Some((phase, step)) = &now {
            eprintln!("rank 0: {phase} {step} %");
        }
        *last = now;
    }
    ControlFlow::Continue(())
}

fn print(report: &PruneReport, output: &Path) {
    println!("pruned:    {} of {} entries", report.pruned_after(), report.selected_entries());
    if let Some(threshold) = report.threshold {
        println!("threshold: magnitudes up to {threshold:.6e}");
    }
    println!("written:   {}", output.display());
}
