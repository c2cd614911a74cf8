//! The tables of `nn-prune compact`: the dimensions, and the tensors that change.

use std::io::{self, Write};

use prune::checkpoint::{CompactReport, CompactedTensorReport};
use prune::compact::CompactedDimension;

use crate::format;
use crate::names::{Group, MAX_ROWS, group, natural_order};
use crate::table::{self, Column};
use crate::text::escape_invisible;

/// Writes the tables. Without `full`, tensors that stay as they are have no row, and many equal layers are one row.
pub fn write(out: &mut dyn Write, width: usize, report: &CompactReport, full: bool) -> io::Result<()> {
    write_dimensions(out, width, report, full)?;
    writeln!(out)?;
    let listed = report.tensors.iter().filter(|tensor| full || is_changed(tensor));
    let mut listed: Vec<&CompactedTensorReport> = listed.collect();
    listed.sort_by(|a, b| natural_order(&a.name, &b.name));
    if full || listed.len() <= MAX_ROWS {
        write_tensors(out, width, &listed)
    } else {
        write_groups(out, width, &listed)
    }
}

/// Returns `true` if a tensor is cut, renamed or dropped.
pub fn is_changed(tensor: &CompactedTensorReport) -> bool {
    tensor.renamed.as_ref() != Some(&tensor.name) || tensor.before != tensor.after
}

fn write_dimensions(out: &mut dyn Write, width: usize, report: &CompactReport, full: bool) -> io::Result<()> {
    let dimensions: Vec<&CompactedDimension> = report.dimensions.iter().collect();
    if full || dimensions.len() <= MAX_ROWS {
        let columns = [Column::name("dimension"), Column::number("units"), Column::number("kept")];
        return table::write(out, width, &columns, &dimensions, |dimension| {
            let name = escape_invisible(&dimension.name).into_owned();
            [name, format::count(dimension.units), format::count(dimension.kept)]
        });
    }
    let columns =
        [Column::name("dimensions"), Column::number("count"), Column::number("units"), Column::number("kept")];
    let groups = group(&dimensions, |dimension| &dimension.name, |dimension| (dimension.units, dimension.kept));
    table::write(out, width, &columns, &groups, |Group { name, members }| {
        let dimension = members[0]; // no group is empty
        let name = escape_invisible(name).into_owned();
        [name, format::count(members.len()), format::count(dimension.units), format::count(dimension.kept)]
    })
}

fn write_tensors(out: &mut dyn Write, width: usize, tensors: &[&CompactedTensorReport]) -> io::Result<()> {
    let columns = [
        Column::name("tensor"),
        Column::text("dtype").dropped(0),
        Column::text("before"),
        Column::text("after"),
        Column::name("new name"),
    ];
    table::write(out, width, &columns, tensors, |tensor| {
        let renamed = tensor.renamed.as_ref().filter(|renamed| **renamed != tensor.name);
        let renamed = renamed.map(|renamed| escape_invisible(renamed).into_owned()).unwrap_or_default();
        let name = escape_invisible(&tensor.name).into_owned();
        [name, tensor.dtype.to_string(), format::shape(&tensor.before), after(tensor), renamed]
    })
}

/// Writes one row for equal layers.
fn write_groups(out: &mut dyn Write, width: usize, tensors: &[&CompactedTensorReport]) -> io::Result<()> {
    let columns = [
        Column::name("tensors"),
        Column::number("count"),
        Column::text("dtype").dropped(0),
        Column::text("before"),
        Column::text("after"),
    ];
    let kind = |tensor: &CompactedTensorReport| (tensor.dtype.to_string(), tensor.before.clone(), after(tensor));
    let groups = group(tensors, |tensor| &tensor.name, kind);
    table::write(out, width, &columns, &groups, |Group { name, members }| {
        let tensor = members[0]; // no group is empty, and its tensors have one dtype and one shape each
        let name = escape_invisible(name).into_owned();
        let count = format::count(members.len());
        [name, count, tensor.dtype.to_string(), format::shape(&tensor.before), after(tensor)]
    })
}

fn after(tensor: &CompactedTensorReport) -> String {
    match &tensor.renamed {
        None => "dropped".into(),
        Some(name) if *name != tensor.name && tensor.before == tensor.after => "renamed".into(),
        Some(_) => format::shape(&tensor.after),
    }
}
