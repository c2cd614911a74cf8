//! The last lines of a summary: the output, and the files beside the weights.

use std::path::PathBuf;

use prune::checkpoint::Companions;
use serde::Serialize;

use crate::format;
use crate::text::visible_path;

/// The most names that a line lists.
const LISTED: usize = 12;

/// The names of the files that were copied beside the weights, and of those that were not.
#[derive(Debug, Serialize)]
pub struct CompanionNames<'a> {
    #[serde(serialize_with = "format::paths")]
    copied: &'a [PathBuf],
    #[serde(serialize_with = "format::paths")]
    left_out: &'a [PathBuf],
}

impl<'a> CompanionNames<'a> {
    pub fn of(companions: &'a Companions) -> Self {
        Self { copied: &companions.copied, left_out: &companions.left_out }
    }

    /// A line for each of the two lists that is not empty.
    pub fn lines(&self) -> Vec<String> {
        let line = |title: &str, names: &[PathBuf]| {
            let listed = names.iter().take(LISTED).map(|name| visible_path(name));
            let rest = names.len().saturating_sub(LISTED);
            let rest = (rest > 0).then(|| format!("and {rest} more"));
            (!names.is_empty()).then(|| format!("{title} {}", listed.chain(rest).collect::<Vec<_>>().join(", ")))
        };
        [line("copied:   ", self.copied), line("left out: ", self.left_out)].into_iter().flatten().collect()
    }
}

/// The last lines of a summary: the shards that were finished earlier, and the output with the files beside it. Titles are as
/// wide as `width`; `written` is the path, and what is said about it.
pub fn output_lines(width: usize, resumed: &[PathBuf], written: Option<&str>, companions: &Companions) -> Vec<String> {
    let line = |title: &str, text: &str| format!("{title:width$}{text}");
    let mut lines = Vec::new();
    if !resumed.is_empty() {
        lines.push(line("resumed:", &format!("{} finished earlier", format::counted(resumed.len(), "shard"))));
    }
    match written {
        None => lines.push(line("written:", "nothing (dry run)")),
        Some(written) => {
            lines.push(line("written:", written));
            lines.extend(CompanionNames::of(companions).lines());
        }
    }
    lines
}
