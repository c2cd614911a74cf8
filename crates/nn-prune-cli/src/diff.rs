//! `nn-prune diff`.

mod table;

use std::process::ExitCode;

use prune::checkpoint::{self, Containment, Difference, Dtype, EntryDifference, TensorDifference};
use serde::Serialize;

use crate::args::DiffArgs;
use crate::error::{CliError, exit};
use crate::progress::ProgressReporter;
use crate::table::width;
use crate::{format, input};

pub fn run(args: &DiffArgs) -> Result<ExitCode, CliError> {
    let options = args.key.options();
    let ((a, a_has_keys), (b, b_has_keys)) =
        (input::open_either(&args.a, &options)?, input::open_either(&args.b, &options)?);
    if !a_has_keys && !b_has_keys {
        return Err(CliError::usage("--key applies to files of PyTorch, and neither file is one"));
    }
    if !args.report.quiet {
        [&a, &b].into_iter().for_each(input::note_keys);
    }
    let reporter = ProgressReporter::new("comparing", args.report.quiet);
    let difference = checkpoint::diff(&a, &b, &reporter)?;
    drop(reporter);

    if args.report.json {
        format::print_json(&Json::of(&difference))?;
    } else {
        format::print_report(
            &args.report,
            || tensors_line(&difference),
            |out| write!(out, "{}", summary(&difference)),
            |out| {
                table::write(out, width(), &difference, args.report.full)?;
                write!(out, "{}", summary(&difference))
            },
        )?;
    }
    Ok(if difference.is_equal() { ExitCode::SUCCESS } else { ExitCode::from(exit::DIFFERENT) })
}

/// The numbers of tensors that are equal, that differ, and that only one checkpoint has.
fn tensors_line(difference: &Difference) -> String {
    let differing = difference.common.iter().filter(|tensor| !tensor.is_equal()).count();
    format!(
        "{} equal, {} different, {} only in A, {} only in B",
        format::counted(difference.common.len() - differing, "tensor"),
        format::count(differing),
        format::count(difference.only_a.len()),
        format::count(difference.only_b.len()),
    )
}

fn summary(difference: &Difference) -> String {
    let mut text = tensors_line(difference) + "\n";
    let all = sum_of_all(difference);
    if all.became_zero + all.became_nonzero + all.zero_in_both > 0 {
        text += &format!("zeros of all tensors: {}\n", containment(all.containment()));
    }
    text
}

/// Describes how the zeros of A and B relate.
fn containment(containment: Containment) -> &'static str {
    match containment {
        Containment::Equal => "equal",
        Containment::AInB => "B includes A's",
        Containment::BInA => "A includes B's",
        Containment::Neither => "neither includes the other's",
    }
}

/// Adds up all tensors that can be compared.
fn sum_of_all(difference: &Difference) -> EntryDifference {
    sum(difference.common.iter().filter_map(|tensor| tensor.entries))
}

fn sum(tensors: impl IntoIterator<Item = EntryDifference>) -> EntryDifference {
    let mut sum = EntryDifference::default();
    for tensor in tensors {
        sum.entries += tensor.entries;
        sum.differing += tensor.differing;
        sum.became_zero += tensor.became_zero;
        sum.became_nonzero += tensor.became_nonzero;
        sum.zero_in_both += tensor.zero_in_both;
    }
    sum
}

/// The output of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    equal: bool,
    /// The relation between the zeros of all tensors.
    zeros: &'static str,
    only_a: &'a [String],
    only_b: &'a [String],
    common: Vec<JsonTensor<'a>>,
}

#[derive(Serialize)]
struct JsonTensor<'a> {
    name: &'a str,
    equal: bool,
    a: JsonKind<'a>,
    b: JsonKind<'a>,
    /// `null` if the entries cannot be compared.
    entries: Option<JsonEntries>,
}

#[derive(Serialize)]
struct JsonKind<'a> {
    dtype: String,
    shape: &'a [usize],
}

#[derive(Serialize)]
struct JsonEntries {
    entries: usize,
    differing: usize,
    became_zero: usize,
    became_nonzero: usize,
    zero_in_both: usize,
    zeros: &'static str,
}

impl<'a> Json<'a> {
    fn of(difference: &'a Difference) -> Self {
        let kind = |(dtype, shape): &'a (Dtype, Vec<usize>)| JsonKind { dtype: dtype.to_string(), shape };
        let tensor = |tensor: &'a TensorDifference| JsonTensor {
            name: &tensor.name,
            equal: tensor.is_equal(),
            a: kind(&tensor.a),
            b: kind(&tensor.b),
            entries: tensor.entries.map(|entries| JsonEntries {
                entries: entries.entries,
                differing: entries.differing,
                became_zero: entries.became_zero,
                became_nonzero: entries.became_nonzero,
                zero_in_both: entries.zero_in_both,
                zeros: json_containment(entries.containment()),
            }),
        };
        Self {
            equal: difference.is_equal(),
            zeros: json_containment(sum_of_all(difference).containment()),
            only_a: &difference.only_a,
            only_b: &difference.only_b,
            common: difference.common.iter().map(tensor).collect(),
        }
    }
}

/// The name of a relation in JSON.
fn json_containment(containment: Containment) -> &'static str {
    match containment {
        Containment::Equal => "equal",
        Containment::AInB => "a_in_b",
        Containment::BInA => "b_in_a",
        Containment::Neither => "neither",
    }
}
