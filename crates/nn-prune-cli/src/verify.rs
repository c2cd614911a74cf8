//! `nn-prune verify`.

mod table;

use std::process::ExitCode;

use prune::checkpoint::{self, TensorVerification, Verification, ZeroPattern};
use prune::{Block, NM, PruneError, Violation};
use serde::Serialize;

use crate::args::VerifyArgs;
use crate::error::{CliError, exit};
use crate::format;
use crate::parse::{BlockName, PatternName};
use crate::progress::ProgressReporter;
use crate::skipped::JsonReason;
use crate::table::width;

pub fn run(args: &VerifyArgs) -> Result<ExitCode, CliError> {
    let pattern = pattern(args)?;
    let checkpoint = args.input.open(args.report.quiet)?;
    let reporter = ProgressReporter::new("verifying", args.report.quiet);
    let found = checkpoint::verify(&checkpoint, &args.names.selection(), pattern, &reporter)?;
    drop(reporter);

    if args.report.json {
        format::print_json(&Json::of(&found))?;
    } else {
        format::print_report(
            &args.report,
            || groups_line(&found),
            |out| writeln!(out, "{}", groups_line(&found)),
            |out| {
                table::write(out, width(), &found, args.report.full)?;
                writeln!(out, "{}", groups_line(&found))
            },
        )?;
    }
    Ok(if found.holds() { ExitCode::SUCCESS } else { ExitCode::from(exit::DIFFERENT) })
}

fn pattern(args: &VerifyArgs) -> Result<ZeroPattern, CliError> {
    let invalid = |error: PruneError| CliError::usage(error);
    match (&args.pattern, &args.block) {
        (Some(PatternName { n, m }), _) => Ok(NM::new(*n, *m, args.dim.unwrap_or(-1)).map_err(invalid)?.into()),
        // The amount has no meaning here.
        (None, Some(BlockName(shape))) => Ok(Block::new(0, shape, 2).map_err(invalid)?.into()),
        (None, None) => Err(CliError::usage("--pattern N:M or --block AxB is missing")),
    }
}

/// The line of the summary.
fn groups_line(found: &Verification) -> String {
    let checked = || found.tensors.iter().filter_map(|tensor| tensor.result.as_ref().ok());
    let groups: usize = checked().map(|violations| violations.groups).sum();
    let tensors = format::counted(checked().count(), "tensor");
    if found.holds() {
        return format!("the pattern holds in all {} groups of {tensors}", format::count(groups));
    }
    let broken = checked().filter(|violations| !violations.is_empty()).count();
    format!(
        "the pattern is broken in {} of {} groups, in {} of {tensors}",
        format::count(found.violations()),
        format::count(groups),
        format::count(broken),
    )
}

/// The output of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    holds: bool,
    violations: usize,
    tensors: Vec<JsonTensor<'a>>,
}

#[derive(Serialize)]
struct JsonTensor<'a> {
    name: &'a str,
    dtype: String,
    shape: &'a [usize],
    entries: usize,
    groups: Option<usize>,
    violations: Option<usize>,
    /// The first groups that break the pattern.
    first: Vec<JsonViolation<'a>>,
    skipped: Option<String>,
    /// The reason why it was skipped, for programs.
    reason: Option<JsonReason<'a>>,
}

#[derive(Serialize)]
struct JsonViolation<'a> {
    at: &'a [usize],
    kept: usize,
    allowed: usize,
}

impl<'a> Json<'a> {
    fn of(found: &'a Verification) -> Self {
        let violation =
            |Violation { at, kept, allowed }: &'a Violation| JsonViolation { at, kept: *kept, allowed: *allowed };
        let tensor = |tensor: &'a TensorVerification| {
            let (violations, reason) = (tensor.result.as_ref().ok(), tensor.result.as_ref().err());
            JsonTensor {
                name: &tensor.name,
                dtype: tensor.dtype.to_string(),
                shape: &tensor.shape,
                entries: tensor.entries,
                groups: violations.map(|violations| violations.groups),
                violations: violations.map(|violations| violations.count),
                first: violations.into_iter().flat_map(|violations| &violations.first).map(violation).collect(),
                skipped: reason.map(ToString::to_string),
                reason: reason.map(JsonReason::of),
            }
        };
        Self {
            holds: found.holds(),
            violations: found.violations(),
            tensors: found.tensors.iter().map(tensor).collect(),
        }
    }
}
