//! The tables of `nn-prune diff`: the tensors that differ, and those that only one checkpoint has.

use std::io::{self, Write};

use prune::checkpoint::{Difference, Dtype, EntryDifference, TensorDifference};

use super::{containment, sum};
use crate::format;
use crate::names::{self, Group, MAX_ROWS, group, natural_order};
use crate::table::{self, Column};
use crate::text::escape_invisible;

/// Writes the tensors that differ, with `full` also those that are equal, and then those that only one checkpoint has.
/// Without `full`, many equal layers are one row.
pub fn write(out: &mut dyn Write, width: usize, difference: &Difference, full: bool) -> io::Result<()> {
    let mut tensors: Vec<&TensorDifference> =
        difference.common.iter().filter(|tensor| full || !tensor.is_equal()).collect();
    tensors.sort_by(|a, b| natural_order(&a.name, &b.name));
    if !tensors.is_empty() {
        if full || tensors.len() <= MAX_ROWS {
            write_tensors(out, width, &tensors)?;
        } else {
            write_groups(out, width, &tensors)?;
        }
        writeln!(out)?;
    }
    for (side, names) in [("A", &difference.only_a), ("B", &difference.only_b)] {
        names::lines(names, full).iter().try_for_each(|name| writeln!(out, "only in {side}: {name}"))?;
    }
    Ok(())
}

/// Formats dtypes and shapes as the cells A and B. If they are equal in all tensors, they fill only the first.
fn kinds(tensors: &[&TensorDifference]) -> ([&'static str; 2], impl Fn(&TensorDifference) -> [String; 2]) {
    let kind = |(dtype, shape): &(Dtype, Vec<usize>)| format!("{dtype} {}", format::shape(shape));
    let equal = tensors.iter().all(|tensor| tensor.a == tensor.b);
    let cells = move |tensor: &TensorDifference| [kind(&tensor.a), if equal { String::new() } else { kind(&tensor.b) }];
    (if equal { ["A and B", ""] } else { ["A", "B"] }, cells)
}

fn write_tensors(out: &mut dyn Write, width: usize, tensors: &[&TensorDifference]) -> io::Result<()> {
    let ([a, b], kinds) = kinds(tensors);
    let columns = [
        Column::name("tensor"),
        Column::text(a).dropped(2),
        Column::text(b).dropped(2),
        Column::number("differing"),
        Column::number("became zero"),
        Column::number("became nonzero").dropped(1),
        Column::text("zeros").dropped(0),
    ];
    table::write(out, width, &columns, tensors, |tensor| {
        let [a, b] = kinds(tensor);
        let [differing, became_zero, became_nonzero, zeros] = counts(tensor.entries);
        [escape_invisible(&tensor.name).into_owned(), a, b, differing, became_zero, became_nonzero, zeros]
    })
}

/// Writes one row for equal layers, with sums and the range of the fraction of entries that differ.
fn write_groups(out: &mut dyn Write, width: usize, tensors: &[&TensorDifference]) -> io::Result<()> {
    let ([a, b], kinds) = kinds(tensors);
    let columns = [
        Column::name("tensors"),
        Column::number("count"),
        Column::text(a).dropped(2),
        Column::text(b).dropped(2),
        Column::number("differing"),
        Column::number("min"),
        Column::number("mean"),
        Column::number("max"),
        Column::number("became zero").dropped(3),
        Column::number("became nonzero").dropped(1),
        Column::text("zeros").dropped(0),
    ];
    let groups = group(tensors, |tensor| &tensor.name, &kinds);
    table::write(out, width, &columns, &groups, |Group { name, members }| {
        let [a, b] = kinds(members[0]); // no group is empty
        let entries: Option<Vec<EntryDifference>> = members.iter().map(|tensor| tensor.entries).collect();
        let total = entries.as_ref().map(|entries| sum(entries.iter().copied()));
        let percent = |part: Option<EntryDifference>| {
            part.map_or("?".into(), |part| format::percent(part.differing, part.entries))
        };
        let differing = |entries: &&EntryDifference| entries.differing;
        let [least, most] = entries.as_ref().map_or([None; 2], |entries| {
            [entries.iter().min_by_key(differing).copied(), entries.iter().max_by_key(differing).copied()]
        });
        let [sum, became_zero, became_nonzero, zeros] = counts(total);
        [
            escape_invisible(name).into_owned(),
            format::count(members.len()),
            a,
            b,
            sum,
            percent(least),
            percent(total),
            percent(most),
            became_zero,
            became_nonzero,
            zeros,
        ]
    })
}

/// Formats the entries that differ, that became zero, that became nonzero, and how the zeros relate.
fn counts(entries: Option<EntryDifference>) -> [String; 4] {
    entries.map_or([(); 4].map(|()| "?".into()), |entries| {
        [
            format::count(entries.differing),
            format::count(entries.became_zero),
            format::count(entries.became_nonzero),
            containment(entries.containment()).into(),
        ]
    })
}
