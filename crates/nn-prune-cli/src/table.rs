//! Tables that fit the terminal.
//!
//! If a table is too wide, its names are shortened in the middle and its least important columns are dropped. Numbers are
//! always whole.

use std::collections::HashSet;
use std::env;
use std::io::{self, Write};
use std::ops::RangeInclusive;

use terminal_size::{Width, terminal_size_of};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The spaces between columns.
const GAP: usize = 2;
/// No cell is longer: each row is padded to the widest cell, so that one long name among many would make a table larger than
/// the file.
const MAX_CELL: usize = 200;
/// The widths to which names are shortened before a column is dropped: the least one that keeps them distinct.
const READABLE: RangeInclusive<usize> = 24..=48;
/// The most rows whose names are kept distinct.
const MAX_DISTINCT: usize = 1000;
/// The width to which names are shortened when no column is left to drop.
const SHORTEST: usize = 8;

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    is_number: bool,
    fit: Fit,
}

/// The treatment of a column if its table is too wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Keep,
    /// The middles of its cells are cut out.
    Shorten,
    /// It is dropped, those with the lowest number first.
    Drop(u8),
}

impl Column {
    /// A column of names or sentences, which may be shortened.
    pub const fn name(title: &'static str) -> Self {
        Self { title, is_number: false, fit: Fit::Shorten }
    }

    /// A column of texts that are never shortened.
    pub const fn text(title: &'static str) -> Self {
        Self { title, is_number: false, fit: Fit::Keep }
    }

    /// A column of numbers, which are aligned to the right.
    pub const fn number(title: &'static str) -> Self {
        Self { title, is_number: true, fit: Fit::Keep }
    }

    /// Lets the column be dropped, after all those with a lower `rank`.
    pub const fn dropped(self, rank: u8) -> Self {
        Self { fit: Fit::Drop(rank), ..self }
    }
}

/// Returns the width for tables: `COLUMNS` if it is set, otherwise that of the terminal. Output to a file or a pipe has no
/// limit.
pub fn width() -> usize {
    let columns =
        env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok()).filter(|&columns| columns > 0);
    columns.or_else(|| terminal_size_of(io::stdout()).map(|(Width(width), _)| width.into())).unwrap_or(usize::MAX)
}

/// Writes a table that is at most `width` wide, if its numbers are not wider. Columns without any text are omitted.
///
/// `row` is called twice for each item: the widths are known before the first row is written, and no row is kept.
pub fn write<T, const N: usize>(
    out: &mut dyn Write,
    width: usize,
    columns: &[Column; N],
    items: &[T],
    row: impl Fn(&T) -> [String; N],
) -> io::Result<()> {
    let mut natural = [0; N];
    for item in items {
        for (widest, cell) in natural.iter_mut().zip(row(item)) {
            *widest = (*widest).max(cell.width().min(MAX_CELL));
        }
    }
    for (widest, column) in natural.iter_mut().zip(columns) {
        *widest = if *widest == 0 { 0 } else { (*widest).max(column.title.width()) };
    }
    let readable = if total(&natural) <= width { 0 } else { readable(items.iter().map(|item| row(item)[0].clone())) };
    let widths = fit(columns, natural, width, readable);
    let total = total(&widths);
    write_row(out, columns, &widths, columns.map(|column| column.title.to_owned()))?;
    writeln!(out, "{}", "-".repeat(total))?;
    items.iter().try_for_each(|item| write_row(out, columns, &widths, row(item)))
}

/// Returns the least width of names at which those that differ look different.
fn readable(names: impl ExactSizeIterator<Item = String>) -> usize {
    let least = *READABLE.start();
    if names.len() > MAX_DISTINCT {
        return least;
    }
    let names: HashSet<String> = names.collect();
    let distinct = |width: &usize| names.iter().map(|name| shorten(name, *width)).collect::<HashSet<_>>().len();
    READABLE.into_iter().find(|width| distinct(width) == names.len()).unwrap_or(least)
}

/// Returns the width of each column, 0 for those that are not shown.
fn fit<const N: usize>(columns: &[Column; N], natural: [usize; N], width: usize, readable: usize) -> [usize; N] {
    let mut widths = natural;
    loop {
        let shortened = shorten_columns(columns, widths, width, readable);
        if total(&shortened) <= width {
            return shortened;
        }
        let droppable = (0..N).filter(|&i| widths[i] > 0).filter_map(|i| match columns[i].fit {
            Fit::Drop(rank) => Some((rank, i)),
            Fit::Keep | Fit::Shorten => None,
        });
        match droppable.min() {
            Some((_, i)) => widths[i] = 0,
            None => return shorten_columns(columns, widths, width, SHORTEST),
        }
    }
}

/// Takes from the widest column of names until the table fits, or until no such column is wider than `least`.
fn shorten_columns<const N: usize>(
    columns: &[Column; N],
    mut widths: [usize; N],
    width: usize,
    least: usize,
) -> [usize; N] {
    while total(&widths) > width {
        let names = (0..N).filter(|&i| columns[i].fit == Fit::Shorten && widths[i] > least);
        let Some(widest) = names.max_by_key(|&i| widths[i]) else { break };
        widths[widest] -= 1;
    }
    widths
}

/// The width of a row.
fn total(widths: &[usize]) -> usize {
    let shown = widths.iter().filter(|&&width| width > 0);
    shown.map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
}

fn write_row<const N: usize>(
    out: &mut dyn Write,
    columns: &[Column; N],
    widths: &[usize; N],
    cells: [String; N],
) -> io::Result<()> {
    let mut line = String::new();
    for ((column, &width), cell) in columns.iter().zip(widths).zip(&cells).filter(|((_, width), _)| **width > 0) {
        let cell = shorten(cell, width);
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        let [before, after] = if column.is_number { [&*padding, ""] } else { ["", &padding] };
        line.extend([before, &cell, after, &" ".repeat(GAP)]);
    }
    writeln!(out, "{}", line.trim_end())
}

/// Replaces the middle of a text that is wider than `width` by an ellipsis.
pub fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let fitting = |chars: &mut dyn Iterator<Item = char>, room: usize| -> String {
        let mut used = 0;
        chars
            .take_while(|c| {
                used += c.width().unwrap_or(0);
                used <= room
            })
            .collect()
    };
    let start = fitting(&mut text.chars(), room / 2);
    let end = fitting(&mut text.chars().rev(), room - room / 2);
    format!("{start}…{}", end.chars().rev().collect::<String>())
}

/// Breaks a text into lines of at most `width`.
pub fn wrap(text: &str, width: usize) -> String {
    let mut wrapped = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let separator = match used {
            0 => "",
            _ if used + 1 + word.width() > width => "\n",
            _ => " ",
        };
        used = if separator == " " { used + 1 } else { 0 } + word.width();
        wrapped.extend([separator, word]);
    }
    wrapped + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::name("name"),
        Column::text("kind").dropped(1),
        Column::number("most").dropped(2),
        Column::number("count"),
    ];

    fn lines(width: usize, rows: &[[&str; 4]]) -> Vec<String> {
        let mut out = Vec::new();
        write(&mut out, width, &COLUMNS, rows, |row| row.map(str::to_owned)).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "x", "9", "1"], ["long", "yy", "", "1,000"], ["重み", "", "1", "2"]];
        assert_eq!(
            lines(usize::MAX, &rows),
            [
                "name  kind  most  count",
                "-----------------------",
                "a     x        9      1",
                "long  yy          1,000",
                "重み           1      2",
            ]
        );
        // A column without any text is not shown.
        assert_eq!(lines(80, &[["a", "x", "", "1"]]), ["name  kind  count", "-----------------", "a     x         1"]);
    }

    /// Names are shortened, then columns are dropped, then names are shortened further. Numbers stay.
    #[test]
    fn a_table_fits() {
        let name = "model.layers.10.self_attention.query_projection.weight";
        let rows = [[name, "F32", "16,777,216", "123,456,789"]];
        let row = |width: usize| lines(width, &rows).pop().unwrap();
        assert_eq!(row(85), format!("{name}  F32   16,777,216  123,456,789"));
        assert_eq!(row(84), format!("{}  F32   16,777,216  123,456,789", shorten(name, 53)));
        assert_eq!(row(55), format!("{}  F32   16,777,216  123,456,789", shorten(name, 24)));
        assert_eq!(row(54), format!("{}  16,777,216  123,456,789", shorten(name, 29)));
        assert_eq!(row(48), format!("{}  123,456,789", shorten(name, 35)));
        assert_eq!(row(30), "model.la…n.weight  123,456,789");
        assert_eq!(row(1), "mod…ight  123,456,789");
        for width in 21..120 {
            assert!(lines(width, &rows).iter().all(|line| line.width() <= width), "{width}");
        }
    }

    /// Columns are dropped before names look the same.
    #[test]
    fn names_stay_distinct() {
        let names = ["key", "val"].map(|kind| format!("encoder.layers.10.x_{kind}_projection_of_layer.weight"));
        let rows = [0, 1].map(|i| [&*names[i], "F32", "16,777,216", "123,456,789"]);
        let shown = |width: usize| lines(width, &rows)[2..].to_vec();
        assert_eq!(shorten(&names[0], 40), shorten(&names[1], 40));
        let distinct = readable(names.iter().cloned());
        assert!((41..=48).contains(&distinct), "{distinct}");
        assert!(shown(distinct + 31)[0].ends_with("F32   16,777,216  123,456,789"));
        assert!(shown(distinct + 30)[0].ends_with("t  16,777,216  123,456,789"));
        for width in distinct + 13..120 {
            let shown = shown(width);
            assert!(shown[0] != shown[1] && shown.iter().all(|line| line.width() <= width), "{shown:?}");
        }
    }

    #[test]
    fn the_middle_is_cut_out() {
        for (text, width, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "ab…ef"),
            ("abcdef", 4, "a…ef"),
            ("abcdef", 1, "…"),
            ("重重重重", 8, "重重重重"),
            ("重重重重", 7, "重…重"),
            ("ééééé", 4, "é…éé"),
        ] {
            assert_eq!(shorten(text, width), expected, "{text} {width}");
        }
        let long = format!("{}{}", "a".repeat(5000), "é".repeat(5000));
        let row = lines(usize::MAX, &[[&long, "x", "1", "1"]]).pop().unwrap();
        assert_eq!(row, format!("{}…{}  x        1      1", "a".repeat(99), "é".repeat(100)));
    }

    #[test]
    fn sentences_are_wrapped() {
        assert_eq!(wrap("one two  three", 7), "one two\nthree\n");
        assert_eq!(wrap("one two three", 6), "one\ntwo\nthree\n");
        assert_eq!(wrap("one", 1), "one\n");
    }
}
