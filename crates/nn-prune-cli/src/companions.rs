//! The files beside the weights, as reports list them.

use std::path::PathBuf;

use prune::checkpoint::Companions;
use serde::Serialize;

use crate::text::escape_invisible;

/// The most names that a line lists.
const LISTED: usize = 12;

/// The names of the files that were copied beside the weights, and of those that were not.
#[derive(Debug, Serialize)]
pub struct CompanionNames<'a> {
    copied: &'a [PathBuf],
    left_out: &'a [PathBuf],
}

impl<'a> CompanionNames<'a> {
    pub fn of(companions: &'a Companions) -> Self {
        Self { copied: &companions.copied, left_out: &companions.left_out }
    }

    /// A line for each of the two lists that is not empty.
    pub fn lines(&self) -> Vec<String> {
        let line = |title: &str, names: &[PathBuf]| {
            let listed = names.iter().take(LISTED).map(|name| escape_invisible(&name.to_string_lossy()).into_owned());
            let rest = names.len().saturating_sub(LISTED);
            let rest = (rest > 0).then(|| format!("and {rest} more"));
            (!names.is_empty()).then(|| format!("{title} {}", listed.chain(rest).collect::<Vec<_>>().join(", ")))
        };
        [line("copied:   ", self.copied), line("left out: ", self.left_out)].into_iter().flatten().collect()
    }
}
