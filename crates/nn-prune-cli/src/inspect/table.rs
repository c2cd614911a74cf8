//! The table of tensors of `nn-prune inspect`.

use std::io::{self, Write};

use prune::checkpoint::{SkipReason, TensorInspection};

use super::Inspected;
use crate::args::InspectArgs;
use crate::format;
use crate::names::{Group, MAX_ROWS, group, natural_order};
use crate::skipped::{self, Skipped};
use crate::table::{self, Column};
use crate::text::escape_invisible;

/// Writes the tensors in natural order: with patterns those that `prune` would select, otherwise all.
///
/// Without `--full`, many equal layers are one row. If there are many tensors, those that cannot be pruned and have no zeros
/// are one row per reason.
pub fn write(out: &mut dyn Write, width: usize, tensors: &[Inspected], args: &InspectArgs) -> io::Result<()> {
    let (all, many) = (args.report.full, tensors.len() > MAX_ROWS);
    let is_listed = |inspected: &&Inspected| match (args.names.is_default(), inspected.skipped) {
        (_, None) => true,
        (true, Some(_)) => all || !many || inspected.tensor.zeros != Some(0) || inspected.tensor.masked.is_some(),
        (false, Some(_)) => false,
    };
    let (listed, unlisted): (Vec<&Inspected>, Vec<_>) = tensors.iter().partition(is_listed);
    let mut listed: Vec<&TensorInspection> = listed.into_iter().map(|inspected| inspected.tensor).collect();
    listed.sort_by(|a, b| natural_order(&a.name, &b.name));
    if listed.is_empty() {
        // No table without rows.
    } else if all || listed.len() <= MAX_ROWS {
        write_tensors(out, width, &listed)?;
    } else {
        write_groups(out, width, &listed)?;
    }
    let mut unlisted: Vec<Skipped<SkipReason>> = unlisted
        .into_iter()
        .filter_map(|Inspected { tensor, skipped }| {
            Some(Skipped { name: &tensor.name, entries: tensor.entries, reason: (*skipped)? })
        })
        .collect();
    unlisted.sort_by(|a, b| natural_order(a.name, b.name));
    if !unlisted.is_empty() {
        let title = if args.names.is_default() { "without zeros, not prunable" } else { "not listed because" };
        if !listed.is_empty() {
            writeln!(out)?;
        }
        skipped::write(out, width, title, &unlisted)?;
    }
    Ok(())
}

fn write_tensors(out: &mut dyn Write, width: usize, tensors: &[&TensorInspection]) -> io::Result<()> {
    let columns = [
        Column::name("tensor"),
        Column::text("dtype").dropped(1),
        Column::text("shape").dropped(2),
        Column::number("entries"),
        Column::number("zeros"),
        Column::number("sparsity"),
        Column::number("pruned").dropped(0),
    ];
    table::write(out, width, &columns, tensors, |tensor| {
        [
            escape_invisible(&tensor.name).into_owned(),
            tensor.dtype.to_string(),
            format::shape(&tensor.shape),
            format::count(tensor.entries),
            tensor.zeros.map_or("?".into(), format::count),
            tensor.zeros.map_or("?".into(), |zeros| format::percent(zeros, tensor.entries)),
            tensor.masked.map_or("no mask".into(), format::count),
        ]
    })
}

/// Writes one row for equal layers, with sums and the range of their sparsity.
fn write_groups(out: &mut dyn Write, width: usize, tensors: &[&TensorInspection]) -> io::Result<()> {
    let columns = [
        Column::name("tensors"),
        Column::number("count"),
        Column::text("dtype").dropped(1),
        Column::text("shape").dropped(2),
        Column::number("entries").dropped(3),
        Column::number("zeros"),
        Column::number("min sparsity"),
        Column::number("mean"),
        Column::number("max"),
        Column::number("pruned").dropped(0),
    ];
    let kind = |tensor: &TensorInspection| (tensor.dtype.to_string(), tensor.shape.clone(), tensor.masked.is_some());
    let groups = group(tensors, |tensor| &tensor.name, kind);
    table::write(out, width, &columns, &groups, |Group { name, members }| {
        let tensor = members[0]; // no group is empty, and its tensors have one dtype and shape
        // The zeros of a dtype that cannot be read are unknown.
        let zeros: Option<Vec<usize>> = members.iter().map(|tensor| tensor.zeros).collect();
        let sum: Option<usize> = zeros.as_ref().map(|zeros| zeros.iter().sum());
        let least = zeros.as_ref().and_then(|zeros| zeros.iter().min().copied());
        let most = zeros.as_ref().and_then(|zeros| zeros.iter().max().copied());
        let entries = tensor.entries * members.len();
        let percent = |zeros: Option<usize>, all| zeros.map_or("?".into(), |zeros| format::percent(zeros, all));
        let masked: Option<usize> = members.iter().map(|tensor| tensor.masked).sum();
        [
            escape_invisible(name).into_owned(),
            format::count(members.len()),
            tensor.dtype.to_string(),
            format::shape(&tensor.shape),
            format::count(entries),
            sum.map_or("?".into(), format::count),
            percent(least, tensor.entries),
            percent(sum, entries),
            percent(most, tensor.entries),
            masked.map_or("no mask".into(), format::count),
        ]
    })
}
