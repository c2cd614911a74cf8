//! Formats numbers, and prints text and JSON.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;
use serde_json::Serializer;

use crate::args::ReportOptions;
use crate::error::CliError;
use crate::visible_json::VisibleJson;

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
    print_with(|out| out.write_all(text.as_ref()))
}

/// Prints what `write` writes, as [`print()`] does.
pub fn print_with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), CliError> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_print(error)),
        _ => Ok(()),
    }
}

/// Prints as much of a report as the options say: all of it, its summary, the most important line of that, or nothing.
pub fn print_report(
    options: &ReportOptions,
    line: impl FnOnce() -> String,
    summary: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    all: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), CliError> {
    match (options.quiet, options.summary) {
        (true, true) => print(line() + "\n"),
        (true, false) => Ok(()),
        (false, true) => print_with(summary),
        (false, false) => print_with(all),
    }
}

/// Prints a table and a summary, or as much of them as the options say.
pub fn print_table(
    options: &ReportOptions,
    line: impl FnOnce() -> String,
    table: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    summary: impl Fn() -> String,
) -> Result<(), CliError> {
    print_report(
        options,
        line,
        |out| write!(out, "{}", summary()),
        |out| {
            table(out)?;
            write!(out, "\n{}", summary())
        },
    )
}

/// Prints a value as JSON, without invisible characters.
pub fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    print_with(|out| {
        value.serialize(&mut Serializer::with_formatter(&mut *out, VisibleJson::default()))?;
        writeln!(out)
    })
}

/// Serializes a path as text. JSON has no other bytes, so what is not Unicode is replaced.
pub fn path<S: serde::Serializer>(path: &&Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// Serializes a path as [`path`] does.
pub fn optional_path<S: serde::Serializer>(path: &Option<&Path>, serializer: S) -> Result<S::Ok, S::Error> {
    path.map(Path::to_string_lossy).serialize(serializer)
}

/// Serializes paths as [`path`] does.
pub fn paths<S: serde::Serializer>(paths: &&[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

fn cannot_print(error: io::Error) -> CliError {
    CliError::caused_by("cannot write to standard output", error)
}

#[cfg(test)]
mod tests {
    use super::*;

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
