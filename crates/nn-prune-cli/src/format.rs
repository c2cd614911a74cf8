//! Formats and prints tables, numbers and JSON.

use std::io::{self, Write};

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use crate::error::CliError;
use crate::text::escape_invisible_json;

const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-'));

/// Returns a table. The character of a column aligns it: `<` to the left, `>` to the right.
pub fn table<const N: usize>(columns: [(&str, char); N], rows: impl IntoIterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    let rows = rows.into_iter().map(|row| row.map(shorten_cell));
    table.load_style(STYLE).set_header(columns.map(|(title, _)| title)).add_rows(rows);
    for (column, (_, alignment)) in table.column_iter_mut().zip(columns) {
        column.set_cell_alignment(if alignment == '>' { CellAlignment::Right } else { CellAlignment::Left });
    }
    table
}

/// Replaces the middle of a cell of more than 200 characters by an ellipsis.
///
/// A table pads each row to its widest cell. One long name among many tensors would make the table larger than the file.
fn shorten_cell(mut cell: String) -> String {
    const END: usize = 100;
    let index = |(index, _): (usize, char)| index;
    if let (Some(start), Some(end)) =
        (cell.char_indices().nth(END).map(index), cell.char_indices().nth_back(END - 1).map(index))
        && start < end
    {
        cell.replace_range(start..end, "…");
    }
    cell
}

/// Formats a shape, `[384, 1536]`.
pub fn shape(shape: &[usize]) -> String {
    format!("{shape:?}")
}

/// Formats a count, `1,536`.
pub fn count(count: usize) -> String {
    HumanCount(count as u64).to_string()
}

/// Formats a size, `86.66 MiB`.
pub fn bytes(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// Formats a count with its unit, `3 tensors`.
pub fn counted(number: usize, unit: &str) -> String {
    format!("{} {unit}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Formats a fraction as a percentage. Only 0 is shown as 0 %, and only the whole as 100 %.
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

/// Prints to standard output. A reader that has closed it, such as `head`, is not an error.
pub fn print(text: impl AsRef<[u8]>) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_print(error)),
        _ => Ok(()),
    }
}

/// Prints a value as JSON, without invisible characters.
pub fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| cannot_print(error.into()))?;
    print(escape_invisible_json(&text) + "\n")
}

fn cannot_print(error: io::Error) -> CliError {
    CliError::caused_by("cannot write to standard output", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_cells_are_shortened() {
        for length in [0, 1, 199, 200] {
            assert_eq!(shorten_cell("重".repeat(length)), "重".repeat(length), "{length}");
        }
        assert_eq!(
            shorten_cell(format!("{}{}", "a".repeat(5000), "é".repeat(5000))),
            format!("{}…{}", "a".repeat(100), "é".repeat(100))
        );
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "1"], ["long", "1,000"]].map(|row| row.map(str::to_owned));
        let table = table([("name", '<'), ("count", '>')], rows);
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(lines, [" name   count", "--------------", " a          1", " long   1,000"]);
    }

    #[test]
    fn only_exact_percentages_are_0_and_100() {
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
