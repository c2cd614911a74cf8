//! The tensors that nothing happened to, in one row per reason.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::io::{self, Write};

use prune::checkpoint::SkipReason;
use serde::Serialize;

use crate::format;
use crate::names::{Group, group};
use crate::table::{self, Column};
use crate::text::escape_invisible;

/// A tensor that was skipped.
pub struct Skipped<'a, R> {
    pub name: &'a str,
    pub entries: usize,
    pub reason: &'a R,
}

/// The reason why a tensor was skipped, in the output of `--json`.
#[derive(Serialize)]
pub struct JsonReason<'a> {
    code: &'static str,
    /// The name, word or pattern that belongs to the reason.
    detail: Option<&'a str>,
}

impl<'a> JsonReason<'a> {
    pub fn of(reason: &'a SkipReason) -> Self {
        Self { code: reason.code(), detail: reason.detail() }
    }
}

/// Writes a table with a row for each reason, the most frequent first. Reasons that differ only in the number of a layer are
/// one.
pub fn write<R: Display + Eq + Hash>(
    out: &mut dyn Write,
    width: usize,
    title: &'static str,
    skipped: &[Skipped<R>],
) -> io::Result<()> {
    let columns =
        [Column::name(title), Column::number("tensors"), Column::number("entries"), Column::name("such as").dropped(1)];
    // Many tensors have the same reason, which takes memory once.
    let mut texts = HashMap::new();
    for Skipped { reason, .. } in skipped {
        texts.entry(*reason).or_insert_with(|| reason.to_string());
    }
    let skipped: Vec<&Skipped<R>> = skipped.iter().collect();
    let mut groups = group(&skipped, |tensor| &texts[tensor.reason], |_| ());
    groups.sort_by_key(|group| Reverse(group.members.len()));
    table::write(out, width, &columns, &groups, |Group { name, members }| {
        [
            escape_invisible(name).into_owned(),
            format::count(members.len()),
            format::count(members.iter().map(|tensor| tensor.entries).sum()),
            members.first().map(|tensor| escape_invisible(tensor.name).into_owned()).unwrap_or_default(),
        ]
    })
}
