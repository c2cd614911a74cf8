//! The tables of `nn-prune pack`: the packed tensors with their sizes, and those that stay dense.

use std::io::{self, Write};

use prune::checkpoint::{DenseReason, PackReport, PackedTensorReport};

use crate::format;
use crate::names::{Group, MAX_ROWS, group, natural_order};
use crate::skipped::{self, Skipped};
use crate::table::{self, Column};
use crate::text::escape_invisible;

/// Writes the tables. Without `full`, many equal layers are one row, and tensors that stay dense one row per reason.
pub fn write(out: &mut dyn Write, width: usize, report: &PackReport, full: bool) -> io::Result<()> {
    let listed = report.tensors.iter().filter(|tensor| full || tensor.dense.is_none());
    let mut listed: Vec<&PackedTensorReport> = listed.collect();
    listed.sort_by(|a, b| natural_order(&a.name, &b.name));
    if full || listed.len() <= MAX_ROWS {
        write_tensors(out, width, &listed)?;
    } else {
        write_groups(out, width, &listed)?;
    }
    let dense: Vec<Skipped<DenseReason>> = report.tensors.iter().filter_map(dense).collect();
    if full || dense.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    skipped::write(out, width, "dense because", &dense)
}

fn dense(tensor: &PackedTensorReport) -> Option<Skipped<'_, DenseReason>> {
    Some(Skipped { name: &tensor.name, entries: tensor.entries, reason: tensor.dense.as_ref()? })
}

fn write_tensors(out: &mut dyn Write, width: usize, tensors: &[&PackedTensorReport]) -> io::Result<()> {
    let columns = [
        Column::name("tensor"),
        Column::text("dtype").dropped(1),
        Column::text("shape").dropped(0),
        Column::number("sparsity"),
        Column::number("dense"),
        Column::number("written"),
        Column::number("of dense"),
        Column::name("dense because").dropped(2),
    ];
    table::write(out, width, &columns, tensors, |tensor| {
        [
            escape_invisible(&tensor.name).into_owned(),
            tensor.dtype.to_string(),
            format::shape(&tensor.shape),
            tensor.kept.map_or("-".into(), |kept| format::percent(tensor.entries - kept, tensor.entries)),
            format::bytes(tensor.bytes_dense),
            format::bytes(tensor.bytes_after),
            format::percent(tensor.bytes_after as usize, tensor.bytes_dense as usize),
            tensor.dense.map(|reason| reason.to_string()).unwrap_or_default(),
        ]
    })
}

/// Writes one row for equal layers, with their sums.
fn write_groups(out: &mut dyn Write, width: usize, tensors: &[&PackedTensorReport]) -> io::Result<()> {
    let columns = [
        Column::name("tensors"),
        Column::number("count"),
        Column::text("dtype").dropped(1),
        Column::text("shape").dropped(0),
        Column::number("mean sparsity"),
        Column::number("dense"),
        Column::number("written"),
        Column::number("of dense"),
    ];
    let kind = |tensor: &PackedTensorReport| (tensor.dtype.to_string(), tensor.shape.clone());
    let groups = group(tensors, |tensor| &tensor.name, kind);
    table::write(out, width, &columns, &groups, |Group { name, members }| {
        let tensor = members[0]; // no group is empty, and its tensors have one dtype and shape
        let sum = |of: fn(&PackedTensorReport) -> u64| members.iter().map(|tensor| of(tensor)).sum::<u64>();
        let kept: usize = members.iter().map(|tensor| tensor.kept.unwrap_or(tensor.entries)).sum();
        let (entries, dense, after) =
            (tensor.entries * members.len(), sum(|tensor| tensor.bytes_dense), sum(|tensor| tensor.bytes_after));
        [
            escape_invisible(name).into_owned(),
            format::count(members.len()),
            tensor.dtype.to_string(),
            format::shape(&tensor.shape),
            format::percent(entries - kept, entries),
            format::bytes(dense),
            format::bytes(after),
            format::percent(after as usize, dense as usize),
        ]
    })
}
