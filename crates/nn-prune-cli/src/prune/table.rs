//! The tables of `nn-prune prune`: the pruned tensors, and the reasons why others were skipped.

use std::io::{self, Write};

use prune::checkpoint::{Outcome, PruneReport, SkipReason, TensorReport};

use crate::format;
use crate::names::{Group, MAX_ROWS, group, natural_order};
use crate::skipped::{self, Skipped};
use crate::table::{self, Column};
use crate::text::escape_invisible;

/// The counts of a pruned tensor.
#[derive(Debug, Clone, Copy)]
struct Pruned {
    requested: Option<usize>,
    after: usize,
}

impl Pruned {
    fn of(tensor: &TensorReport) -> Option<Self> {
        match &tensor.outcome {
            Outcome::Pruned { asked, after, .. } => Some(Self { requested: *asked, after: *after }),
            Outcome::Skipped(_) => None,
            other => unreachable!("an outcome that this version does not know: {other:?}"),
        }
    }
}

/// Writes the tables in natural order. Without `full`, many equal layers are one row, and so are the tensors skipped for one
/// reason.
pub fn write(out: &mut dyn Write, width: usize, report: &PruneReport, full: bool) -> io::Result<()> {
    let mut tensors: Vec<&TensorReport> = report.tensors.iter().collect();
    tensors.sort_by(|a, b| natural_order(&a.name, &b.name));
    if full {
        return write_tensors(out, width, &tensors);
    }
    let skipped: Vec<Skipped<SkipReason>> = tensors
        .iter()
        .filter_map(|tensor| {
            Some(Skipped { name: &tensor.name, entries: tensor.entries, reason: skip_reason(tensor)? })
        })
        .collect();
    let pruned: Vec<&TensorReport> = tensors.into_iter().filter(|tensor| Pruned::of(tensor).is_some()).collect();
    if pruned.len() <= MAX_ROWS {
        write_tensors(out, width, &pruned)?;
    } else {
        write_groups(out, width, &pruned)?;
    }
    if !skipped.is_empty() {
        writeln!(out)?;
        skipped::write(out, width, "skipped because", &skipped)?;
    }
    Ok(())
}

fn skip_reason(tensor: &TensorReport) -> Option<&SkipReason> {
    match &tensor.outcome {
        Outcome::Skipped(reason) => Some(reason),
        Outcome::Pruned { .. } => None,
        other => unreachable!("an outcome that this version does not know: {other:?}"),
    }
}

fn write_tensors(out: &mut dyn Write, width: usize, tensors: &[&TensorReport]) -> io::Result<()> {
    let columns = [
        Column::name("tensor"),
        Column::text("dtype").dropped(0),
        Column::text("shape").dropped(2),
        Column::number("requested").dropped(1),
        Column::number("pruned"),
        Column::number("mask sparsity"),
        Column::number("error"),
        Column::number("error_check"),
        Column::number("dead").dropped(4),
        Column::number("dampening").dropped(3),
        Column::name("skipped because"),
    ];
    table::write(out, width, &columns, tensors, |tensor| {
        let pruned = Pruned::of(tensor);
        let calibration = tensor.calibration.unwrap_or_default();
        [
            escape_invisible(&tensor.name).into_owned(),
            tensor.dtype.to_string(),
            format::shape(&tensor.shape),
            pruned.and_then(|pruned| pruned.requested).map(format::count).unwrap_or_default(),
            pruned.map(|pruned| format::count(pruned.after)).unwrap_or_default(),
            pruned.map(|pruned| format::percent(pruned.after, tensor.entries)).unwrap_or_default(),
            error(calibration.error),
            error(calibration.error_check),
            calibration.dead.map(format::count).unwrap_or_default(),
            calibration.dampening.map(|added| format!("{added:.3e}")).unwrap_or_default(),
            skip_reason(tensor).map(|reason| escape_invisible(&reason.to_string()).into_owned()).unwrap_or_default(),
        ]
    })
}

/// A relative error, if it is known.
fn error(error: Option<f64>) -> String {
    error.map(|error| format!("{error:.4}")).unwrap_or_default()
}

/// The mean of the known numbers.
fn mean(numbers: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let numbers: Vec<f64> = numbers.flatten().collect();
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

/// Writes one row for equal layers, with sums and the range of their sparsity.
fn write_groups(out: &mut dyn Write, width: usize, tensors: &[&TensorReport]) -> io::Result<()> {
    let columns = [
        Column::name("tensors"),
        Column::number("count"),
        Column::text("dtype").dropped(0),
        Column::text("shape").dropped(2),
        Column::number("requested").dropped(1),
        Column::number("pruned"),
        Column::number("min sparsity"),
        Column::number("mean"),
        Column::number("max"),
        Column::number("mean error"),
        Column::number("mean error_check"),
    ];
    let groups = group(tensors, |tensor| &tensor.name, |tensor| (tensor.dtype.to_string(), &tensor.shape));
    table::write(out, width, &columns, &groups, |Group { name, members }| {
        let pruned = || members.iter().filter_map(|tensor| Pruned::of(tensor));
        let requested: Option<usize> = pruned().map(|pruned| pruned.requested).sum();
        let after = || pruned().map(|pruned| pruned.after);
        let tensor = members[0]; // no group is empty, and its tensors have one shape
        [
            escape_invisible(name).into_owned(),
            format::count(members.len()),
            tensor.dtype.to_string(),
            format::shape(&tensor.shape),
            requested.map(format::count).unwrap_or_default(),
            format::count(after().sum()),
            format::percent(after().min().unwrap_or(0), tensor.entries),
            format::percent(after().sum(), tensor.entries * members.len()),
            format::percent(after().max().unwrap_or(0), tensor.entries),
            error(mean(members.iter().map(|tensor| tensor.calibration.unwrap_or_default().error))),
            error(mean(members.iter().map(|tensor| tensor.calibration.unwrap_or_default().error_check))),
        ]
    })
}
