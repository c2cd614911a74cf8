//! The results of a reference in numpy with the same methods, in `f64`: the bars for this crate.

use crate::measure::Quality;
use crate::pruning::PATTERNS;

/// Cosine and Spearman correlation, for the patterns in order; `None` where the reference has none.
type Bars = [Option<(f64, f64)>; 4];

/// The quality that the reference found for a method, with 8,649 tokens of statistics.
pub fn bar(method: &str, pattern: &str) -> Option<Quality> {
    let bars: Bars = match method {
        "magnitude-layer" => all([(0.723, 0.726), (0.563, 0.611), (0.399, 0.497), (0.618, 0.641)]),
        "magnitude-global" => [Some((0.732, 0.744)), Some((0.573, 0.608)), Some((0.409, 0.506)), None],
        "wanda" => all([(0.869, 0.853), (0.768, 0.747), (0.630, 0.646), (0.752, 0.742)]),
        "ria" => [None, Some((0.761, 0.745)), None, None],
        "sparsegpt" => all([(0.923, 0.911), (0.854, 0.835), (0.747, 0.731), (0.862, 0.840)]),
        "wanda-swaps" => all([(0.927, 0.910), (0.868, 0.837), (0.780, 0.754), (0.776, 0.759)]),
        "wanda+ls" => [None, Some((0.881, 0.858)), None, None],
        "sparsegpt+ls" => all([(0.940, 0.930), (0.885, 0.869), (0.794, 0.774), (0.895, 0.874)]),
        "admm" => all([(0.947, 0.938), (0.899, 0.880), (0.823, 0.799), (0.899, 0.878)]),
        "wanda-swaps+ls" => [Some((0.947, 0.938)), Some((0.901, 0.880)), Some((0.831, 0.811)), None],
        _ => return None,
    };
    let number = PATTERNS.iter().position(|name| *name == pattern)?;
    bars[number].map(|(cosine, spearman)| Quality { cosine, spearman })
}

fn all(bars: [(f64, f64); 4]) -> Bars {
    bars.map(Some)
}

/// Returns whether a quality reaches the bar: another draw of sentences moves it by up to 0.005 and 0.01.
pub fn is_reached(found: &Quality, bar: &Quality) -> bool {
    found.cosine >= bar.cosine - 0.005 && found.spearman >= bar.spearman - 0.01
}
