//! The outcomes of the steps of a recording.

use std::collections::BTreeMap;
use std::fmt;

/// Every step in exactly one of these.
#[derive(Debug, Default)]
pub struct Tally {
    /// Exactly as PyTorch.
    pub identical: usize,
    /// Exactly as the row of the table in README.md promises, by row.
    pub rows: BTreeMap<String, usize>,
    /// A tie, compared by count (row r); the case ends there.
    pub ties: usize,
    /// Steps of cases that ended in a tie.
    pub after_ties: usize,
    /// Steps of cases that need the feature `nuclear`, in a build without it.
    pub left_out: usize,
    failures: Vec<String>,
}

impl Tally {
    pub fn row(&mut self, row: &str) {
        *self.rows.entry(row.to_owned()).or_default() += 1;
    }

    pub fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    pub fn total(&self) -> usize {
        self.identical + self.rows.values().sum::<usize>() + self.ties + self.after_ties + self.left_out
    }

    /// Panics with what went wrong, if anything did.
    pub fn assert_clean(&self) {
        let first = self.failures.iter().take(40).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(self.failures.is_empty(), "{} cases are not as recorded:\n{first}", self.failures.len());
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} steps, {} identical, by row:", self.total(), self.identical)?;
        for (row, count) in &self.rows {
            write!(f, " {row} {count},")?;
        }
        write!(f, " r {}, after a tie {}", self.ties, self.after_ties)?;
        if self.left_out > 0 {
            write!(f, ", left out {}", self.left_out)?;
        }
        Ok(())
    }
}
