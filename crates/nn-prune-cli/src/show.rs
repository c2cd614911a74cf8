//! Text for people and for programs.

use std::borrow::Cow;
use std::io::{self, Write};

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use crate::failure::Failure;

const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-'));

/// A name or message without the control characters and other invisible ones that a stranger's file may have put into
/// it: they could change what the terminal shows.
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_visible) {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_visible(c) { plain.push(c) } else { plain.extend(c.escape_debug()) }
    }
    plain.into()
}

fn is_visible(c: char) -> bool {
    matches!(c, '\'' | '"' | '\\') || c.escape_debug().len() == 1
}

/// A cell of a table without the middle of what nobody would read: every row is as wide as the widest, so that one long
/// name among many tensors would take far more memory than the file that it is from.
fn shortened(mut cell: String) -> String {
    const END: usize = 100;
    let place = |(place, _): (usize, char)| place;
    if let (Some(start), Some(end)) =
        (cell.char_indices().nth(END).map(place), cell.char_indices().nth_back(END - 1).map(place))
        && start < end
    {
        cell.replace_range(start..end, "…");
    }
    cell
}

/// A table whose columns are aligned as given, `<` to the left and `>` to the right.
pub fn table<const N: usize>(columns: [(&str, char); N], rows: impl IntoIterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    let rows = rows.into_iter().map(|row| row.map(shortened));
    table.load_style(STYLE).set_header(columns.map(|(title, _)| title)).add_rows(rows);
    for (column, (_, alignment)) in table.column_iter_mut().zip(columns) {
        column.set_cell_alignment(if alignment == '>' { CellAlignment::Right } else { CellAlignment::Left });
    }
    table
}

/// `[384, 1536]`.
pub fn shape(shape: &[usize]) -> String {
    format!("{shape:?}")
}

/// `1,536`.
pub fn count(count: usize) -> String {
    HumanCount(count as u64).to_string()
}

/// `86.66 MiB`.
pub fn bytes(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// `3 tensors`.
pub fn counted(number: usize, unit: &str) -> String {
    format!("{} {unit}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A share in per cent. What is not all, or not nothing, is not rounded to it.
pub fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "-".into();
    }
    let text = format!("{:.2} %", 100.0 * part as f64 / whole as f64);
    match text.as_str() {
        "0.00 %" if part > 0 => "<0.01 %".into(),
        "100.00 %" if part < whole => ">99.99 %".into(),
        _ => text,
    }
}

/// Prints to standard output. That nobody reads it any more, as with `| head`, is no error.
pub fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new("output: cannot print", error)),
        _ => Ok(()),
    }
}

pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new("output: cannot print", error))?;
    print(plain_json(&text) + "\n")
}

/// The same JSON without invisible characters: JSON itself asks to escape only some of those that a terminal obeys.
fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || is_visible(c) {
            plain.push(c);
        } else {
            // What is not visible is in a string: the line feeds between values are all that there is outside.
            plain.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_talk_to_the_terminal() {
        assert_eq!(plain("a.\"b\"\\'é 重み"), "a.\"b\"\\'é 重み");
        assert_eq!(plain("\u{1b}[2Ja\nb\u{202e}"), r"\u{1b}[2Ja\nb\u{202e}");
    }

    #[test]
    fn json_is_the_same_without_what_is_invisible() {
        let name = "a\u{1b}\u{7f}\u{9b}2J\u{202e}\u{e0001}\n\"\\é 重";
        let json = serde_json::to_string_pretty(&[name]).unwrap();
        let plain = plain_json(&json);
        assert!(plain.chars().all(|c| c == '\n' || is_visible(c)), "{plain}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&plain).unwrap(), [name]);
    }

    #[test]
    fn only_long_cells_are_shortened() {
        for length in [0, 1, 199, 200] {
            assert_eq!(shortened("重".repeat(length)), "重".repeat(length), "{length}");
        }
        assert_eq!(
            shortened(format!("{}{}", "a".repeat(5000), "é".repeat(5000))),
            format!("{}…{}", "a".repeat(100), "é".repeat(100))
        );
    }

    #[test]
    fn names_are_to_the_left_and_numbers_to_the_right() {
        let rows = [["a", "1"], ["long", "1,000"]].map(|row| row.map(str::to_owned));
        let table = table([("name", '<'), ("count", '>')], rows);
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(lines, [" name   count", "--------------", " a          1", " long   1,000"]);
    }

    #[test]
    fn shares_are_not_rounded_to_all_or_nothing() {
        for (part, whole, expected) in [
            (0, 0, "-"),
            (0, 9, "0.00 %"),
            (1, 3, "33.33 %"),
            (9, 9, "100.00 %"),
            (1, 1_000_000, "<0.01 %"),
            (999_999, 1_000_000, ">99.99 %"),
        ] {
            assert_eq!(percent(part, whole), expected);
        }
    }
}
