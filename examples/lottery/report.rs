//! The results as text.

use crate::{experiment::Run, figures::figure_of};

/// Returns a table with one line per run.
pub fn table(runs: &[Run]) -> String {
    let mut text = format!(
        "{:<12}{:>9}{:>9}{:>16}{:>9}{:>20}{:>12}\n",
        "", "sparsity", "kept", "mean of last 5", "highest", "highest, published", "range"
    );
    text += &format!("{}\n", "-".repeat(87));
    for run in runs {
        let figure = figure_of(run);
        let published = figure.and_then(|figure| figure.published).map(|[a, b]| format!("{a:.1}, {b:.1}"));
        let range = figure.and_then(|figure| figure.range).map(|(low, high)| format!("{low:.0} - {high:.0}"));
        text += &format!(
            "{:<12}{:>9}{:>9}{:>16.1}{:>9.1}{:>20}{:>12}\n",
            run.arm.label(),
            run.sparsity,
            run.kept,
            run.mean(),
            run.max(),
            published.unwrap_or_default(),
            range.unwrap_or_default(),
        );
    }
    text
}
