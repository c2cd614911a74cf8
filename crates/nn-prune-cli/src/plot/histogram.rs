//! The histogram of the magnitudes of nonzero entries, with the thresholds of pruning by magnitude.

use std::collections::BTreeMap;

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{self, BLUE, Canvas, DrawResult, GREY, LIGHT, ORANGE, PALE, TITLE, WIDTH, bar, line, write};
use super::threshold::threshold;
use super::{PlottedTensor, format};

/// The height of the chart, in pixels.
pub const HEIGHT: u32 = 400;

const LEFT: i32 = 80;
const RIGHT: i32 = WIDTH as i32 - 30;
const TOP: i32 = 110;
const BOTTOM: i32 = HEIGHT as i32 - 60;
/// Each tail of up to one in 5000 entries is not shown: it would need a long axis for bars of no visible height.
const TAIL: u64 = 5000;

pub fn draw(canvas: &Canvas, tensors: &[PlottedTensor]) -> DrawResult {
    write(canvas, "Magnitudes of nonzero entries", (canvas::LEFT, TITLE), 20, BLACK, HPos::Left)?;
    let bins = Bins::of(tensors);
    let Some((low, high)) = bins.range() else {
        return write(canvas, "No nonzero entries.", (LEFT, TOP), 14, GREY, HPos::Left);
    };
    let x = |log2: f64| {
        let fraction = ((log2 - f64::from(low)) / f64::from(high - low)).clamp(0.0, 1.0);
        LEFT + (fraction * f64::from(RIGHT - LEFT)).round() as i32
    };
    draw_bars(canvas, &bins, (low, high), x)?;
    draw_axis(canvas, (low, high), x)?;

    // The lines are translucent, so that many lines close together look denser.
    let mut lines: BTreeMap<i32, i32> = BTreeMap::new();
    for threshold in &bins.thresholds {
        *lines.entry(x(threshold.log2())).or_default() += 1;
    }
    for (x, count) in lines {
        let opacity = 1.0 - 0.45_f64.powi(count);
        line(canvas, (x, TOP - 6), (x, BOTTOM), ORANGE.mix(opacity).stroke_width(1))?;
    }
    draw_legend(canvas, &bins)
}

/// Draws the bars, one for each exponent, and behind them the lines of round counts.
fn draw_bars(canvas: &Canvas, bins: &Bins, (low, high): (i32, i32), x: impl Fn(f64) -> i32) -> DrawResult {
    let step = step(bins.highest());
    let top = (bins.highest() as f64 / step).ceil().max(2.0) * step;
    let y = |count: f64| BOTTOM - (count / top * f64::from(BOTTOM - TOP)).round() as i32;
    let mut tick = 0.0;
    while tick <= top {
        line(canvas, (LEFT, y(tick)), (RIGHT, y(tick)), LIGHT)?;
        write(canvas, &short(tick), (LEFT - 8, y(tick)), 13, GREY, HPos::Right)?;
        tick += step;
    }
    for (&exponent, &[sparse, dense]) in bins.counts.range(low..high) {
        let (left, right) = (x(exponent.into()) + 1, x(f64::from(exponent) + 1.0) - 1);
        let (middle, end) = (y(sparse as f64), y((sparse + dense) as f64));
        bar(canvas, [(left, middle), (right, BOTTOM)], BLUE)?;
        bar(canvas, [(left, end), (right, middle)], PALE)?;
    }
    Ok(())
}

/// Draws the axis of magnitudes.
fn draw_axis(canvas: &Canvas, (low, high): (i32, i32), x: impl Fn(f64) -> i32) -> DrawResult {
    for tick in ticks(low, high) {
        let x = x(tick.log2());
        line(canvas, (x, BOTTOM), (x, BOTTOM + 5), GREY)?;
        let label = if (1e-4..1e5).contains(&tick) { format!("{tick}") } else { format!("{tick:e}") };
        write(canvas, &label, (x, BOTTOM + 15), 13, GREY, HPos::Center)?;
    }
    let axis = "magnitude, one bar per power of two; up to 0.02 % of the entries on either side are not shown";
    write(canvas, axis, ((LEFT + RIGHT) / 2, BOTTOM + 38), 13, GREY, HPos::Center)
}

/// Returns at least three round numbers from 2^low to 2^high, at most about one for each 50 pixels.
fn ticks(low: i32, high: i32) -> Vec<f64> {
    const DIGITS: [&[&str]; 3] =
        [&["1"], &["1", "2", "5"], &["1", "1.2", "1.4", "1.6", "1.8", "2", "2.5", "3", "4", "5", "6", "7", "8"]];
    let power = |log2: i32| (f64::from(log2) * std::f64::consts::LOG10_2).floor() as i32;
    let powers = power(low)..=power(high);
    let shown = |power: i32, digits: &str| {
        // Parsed, because a product would not be the nearest number.
        let tick: f64 = format!("{digits}e{power}").parse().ok()?;
        (f64::from(low)..=f64::from(high)).contains(&tick.log2()).then_some(tick)
    };
    let with_digits = |digits: &&[&str]| -> Vec<f64> {
        powers.clone().flat_map(|power| digits.iter().filter_map(move |digits| shown(power, digits))).collect()
    };
    let ticks = DIGITS.iter().map(with_digits).find(|ticks| ticks.len() >= 3).unwrap_or_default();
    let apart = ticks.len().div_ceil((RIGHT - LEFT) as usize / 50);
    ticks.into_iter().step_by(apart.max(1)).collect()
}

fn draw_legend(canvas: &Canvas, bins: &Bins) -> DrawResult {
    let row = TITLE + 30;
    let mut x = LEFT;
    let stacked = if bins.sparse > 0 { ", stacked on top" } else { "" };
    let kinds = [
        (bins.sparse, BLUE, "with at least 1 % zeros".to_owned()),
        (bins.dense, PALE, format!("with less than 1 % zeros{stacked}")),
    ];
    for (tensors, colour, kind) in kinds.into_iter().filter(|(tensors, ..)| *tensors > 0) {
        bar(canvas, [(x, row - 6), (x + 12, row + 6)], colour)?;
        write(canvas, &format!("{} {kind}", format::counted(tensors, "tensor")), (x + 20, row), 13, GREY, HPos::Left)?;
        x += 330;
    }
    let row = row + 22;
    let thresholds = &bins.thresholds;
    if let (Some(smallest), Some(largest)) =
        (thresholds.iter().copied().reduce(f64::min), thresholds.iter().copied().reduce(f64::max))
    {
        line(canvas, (LEFT + 6, row - 6), (LEFT + 6, row + 6), ORANGE.stroke_width(2))?;
        let thresholds = match thresholds.len() {
            1 => format!("threshold: the smallest magnitude that 1 tensor keeps is {smallest:.3e}"),
            many => format!(
                "thresholds: the smallest magnitudes that {} tensors keep, from {smallest:.3e} to {largest:.3e}",
                format::count(many)
            ),
        };
        write(canvas, &thresholds, (LEFT + 20, row), 13, GREY, HPos::Left)?;
    }
    if bins.nonfinite > 0 {
        let nonfinite = format!("{} infinite or NaN", short(bins.nonfinite as f64));
        write(canvas, &nonfinite, (RIGHT, row), 13, GREY, HPos::Right)?;
    }
    Ok(())
}

/// The counts of all plotted tensors together.
#[derive(Default)]
struct Bins {
    /// The entries of sparse and of other tensors, by the exponent of the power of two below their magnitude.
    counts: BTreeMap<i32, [u64; 2]>,
    sparse: usize,
    dense: usize,
    /// The thresholds of the tensors that have one.
    thresholds: Vec<f64>,
    nonfinite: u64,
}

impl Bins {
    fn of(tensors: &[PlottedTensor]) -> Self {
        let mut bins = Self::default();
        for tensor in tensors {
            let magnitudes = tensor.magnitudes;
            let kind = usize::from(!tensor.is_sparse());
            for &(exponent, count) in &magnitudes.log2 {
                bins.counts.entry(exponent).or_default()[kind] += count;
            }
            bins.nonfinite += magnitudes.infinite + magnitudes.nan;
            bins.thresholds.extend(threshold(tensor));
            if tensor.is_sparse() {
                bins.sparse += 1;
            } else {
                bins.dense += 1;
            }
        }
        bins
    }

    /// Returns the lowest exponent that is shown and the one after the highest.
    fn range(&self) -> Option<(i32, i32)> {
        let total: u64 = self.counts.values().flatten().sum();
        let is_shown = |tail: &mut u64, (&exponent, count): (&i32, &[u64; 2])| {
            *tail += count.iter().sum::<u64>();
            Some((*tail > total / TAIL).then_some(exponent))
        };
        let low = self.counts.iter().scan(0, is_shown).flatten().next()?;
        let high = self.counts.iter().rev().scan(0, is_shown).flatten().next()?;
        Some((low, high + 1))
    }

    fn highest(&self) -> u64 {
        self.counts.values().map(|count| count.iter().sum()).max().unwrap_or(1)
    }
}

/// Returns a round step that divides the axis of counts into at most five.
fn step(highest: u64) -> f64 {
    let rough = (highest as f64 / 5.0).max(1.0);
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|&step| step >= rough).unwrap_or(rough)
}

/// Formats a count, `1.5M`.
fn short(count: f64) -> String {
    match count {
        1e9.. => format!("{}G", count / 1e9),
        1e6.. => format!("{}M", count / 1e6),
        1e3.. => format!("{}k", count / 1e3),
        _ => format!("{count}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short() {
        for (count, expected) in [
            (0.0, "0"),
            (999.0, "999"),
            (1e3, "1k"),
            (1_500.0, "1.5k"),
            (999_999.0, "999.999k"),
            (1e6, "1M"),
            (2.5e6, "2.5M"),
            (1e9, "1G"),
            (4e10, "40G"),
        ] {
            assert_eq!(short(count), expected);
        }
    }

    #[test]
    fn tails_of_one_in_5000_are_not_shown() {
        for (tail, shown) in [(1, (0, 1)), (2, (0, 1)), (3, (-9, 8))] {
            let counts = BTreeMap::from([(-9, [tail, 0]), (0, [6_000, 4_000]), (7, [0, tail])]);
            assert_eq!(Bins { counts, ..Bins::default() }.range(), Some(shown), "{tail}");
        }
        assert_eq!(Bins::default().range(), None);
    }

    /// From one power of two to the whole range of a `f64`.
    #[test]
    fn at_least_three_ticks() {
        for (low, high) in (-1022..1024).flat_map(|low| [1, 2, 3, 5, 10, 40, 2098].map(|wide| (low, low + wide))) {
            let ticks = ticks(low, high.min(1024));
            assert!((3..=24).contains(&ticks.len()), "{low} {high} {ticks:?}");
            assert!(ticks.is_sorted_by(|a, b| a < b));
        }
        assert_eq!(ticks(0, 1), [1.0, 1.2, 1.4, 1.6, 1.8, 2.0]);
        assert_eq!(ticks(-3, 3), [0.2, 0.5, 1.0, 2.0, 5.0]);
        assert_eq!(ticks(-8, 4), [0.01, 0.1, 1.0, 10.0]);
    }

    #[test]
    fn steps_are_round() {
        for (highest, expected) in [(1, 1.0), (5, 1.0), (6, 2.0), (11, 5.0), (34, 10.0), (1_234_567, 500_000.0)] {
            assert_eq!(step(highest), expected, "{highest}");
        }
    }
}
