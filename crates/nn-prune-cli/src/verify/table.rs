//! The tables of `nn-prune verify`: the tensors that break the pattern, and the first groups that do.

use std::io::{self, Write};

use prune::checkpoint::{SkipReason, TensorVerification, Verification};
use prune::{Violation, Violations};

use crate::format;
use crate::names::{MAX_ROWS, natural_order};
use crate::skipped::{self, Skipped};
use crate::table::{self, Column};
use crate::text::escape_invisible;

/// The number of tensors whose first groups are listed.
const LISTED: usize = 4;

/// Writes the tensors that break the pattern, with `full` also the others, and why tensors were skipped.
pub fn write(out: &mut dyn Write, width: usize, found: &Verification, full: bool) -> io::Result<()> {
    let mut tensors: Vec<&TensorVerification> = found.tensors.iter().collect();
    tensors.sort_by(|a, b| natural_order(&a.name, &b.name));
    let checked = |tensor: &&TensorVerification| tensor.result.as_ref().is_ok_and(|found| full || !found.is_empty());
    let rows: Vec<&TensorVerification> = tensors.iter().copied().filter(checked).collect();
    if !rows.is_empty() {
        let shown = if full { rows.len() } else { rows.len().min(MAX_ROWS) };
        write_tensors(out, width, &rows[..shown])?;
        if shown < rows.len() {
            writeln!(out, "... and {}; --full shows all", format::counted(rows.len() - shown, "more tensor"))?;
        }
        writeln!(out)?;
        write_groups(out, &rows)?;
    }
    let skipped: Vec<Skipped<SkipReason>> = tensors
        .iter()
        .filter_map(|tensor| {
            let reason = tensor.result.as_ref().err()?;
            Some(Skipped { name: &tensor.name, entries: tensor.entries, reason })
        })
        .collect();
    if !skipped.is_empty() {
        skipped::write(out, width, "skipped because", &skipped)?;
        writeln!(out)?;
    }
    Ok(())
}

fn write_tensors(out: &mut dyn Write, width: usize, tensors: &[&TensorVerification]) -> io::Result<()> {
    let columns = [
        Column::name("tensor"),
        Column::text("dtype").dropped(0),
        Column::text("shape").dropped(1),
        Column::number("groups"),
        Column::number("broken"),
        Column::number("share").dropped(2),
    ];
    table::write(out, width, &columns, tensors, |tensor| {
        let (broken, groups) = tensor.result.as_ref().map_or((0, 0), |found| (found.count, found.groups));
        [
            escape_invisible(&tensor.name).into_owned(),
            tensor.dtype.to_string(),
            format::shape(&tensor.shape),
            format::count(groups),
            format::count(broken),
            format::percent(broken, groups),
        ]
    })
}

/// Writes the first groups of the first tensors that break the pattern.
fn write_groups(out: &mut dyn Write, tensors: &[&TensorVerification]) -> io::Result<()> {
    let broken = tensors.iter().filter_map(|tensor| Some((tensor, tensor.result.as_ref().ok()?)));
    let broken: Vec<_> = broken.filter(|(_, found)| !found.is_empty()).collect();
    for (tensor, Violations { count, first, .. }) in broken.iter().take(LISTED) {
        writeln!(out, "{}: groups that begin at", escape_invisible(&tensor.name))?;
        for Violation { at, kept, allowed } in first {
            writeln!(out, "  {} keep {}, not {}", format::shape(at), format::count(*kept), format::count(*allowed))?;
        }
        if *count > first.len() {
            writeln!(out, "  ... and {} more", format::count(count - first.len()))?;
        }
    }
    if broken.is_empty() { Ok(()) } else { writeln!(out) }
}
