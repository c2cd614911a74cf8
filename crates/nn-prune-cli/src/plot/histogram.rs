//! How the magnitudes of what is not zero are distributed, and what pruning has left.

use std::collections::BTreeMap;

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{BLUE, Canvas, Drawn, GREY, LIGHT, ORANGE, PALE, TITLE, WIDTH, bar, line, write};
use super::{Layer, show};

/// Of the chart, in pixels.
pub const HEIGHT: u32 = 400;

const LEFT: i32 = 80;
const RIGHT: i32 = WIDTH as i32 - 30;
const TOP: i32 = 110;
const BOTTOM: i32 = HEIGHT as i32 - 60;
/// The tails are left out, each up to one entry in so many: they would be all axis and no bars.
const TAIL: u64 = 5000;

pub fn draw(canvas: &Canvas, layers: &[Layer]) -> Drawn {
    write(canvas, "Magnitudes of the weights that are not zero", (LEFT, TITLE), 20, BLACK, HPos::Left)?;
    let bins = Bins::of(layers);
    let Some((low, high)) = bins.range() else {
        return write(canvas, "There are none.", (LEFT, TOP), 14, GREY, HPos::Left);
    };
    let x = |log2: f64| {
        let share = ((log2 - f64::from(low)) / f64::from(high - low)).clamp(0.0, 1.0);
        LEFT + (share * f64::from(RIGHT - LEFT)).round() as i32
    };
    let step = step(bins.highest());
    let top = (bins.highest() as f64 / step).ceil() * step;
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
    for power in -45..=38 {
        let log2 = f64::from(power) * std::f64::consts::LOG2_10;
        if (f64::from(low)..=f64::from(high)).contains(&log2) {
            line(canvas, (x(log2), BOTTOM), (x(log2), BOTTOM + 5), GREY)?;
            let label =
                if (-4..=4).contains(&power) { format!("{}", 10_f64.powi(power)) } else { format!("1e{power}") };
            write(canvas, &label, (x(log2), BOTTOM + 15), 13, GREY, HPos::Center)?;
        }
    }
    let axis = "magnitude, one bar for each power of two; the outermost 0.02 % on either side may be left out";
    write(canvas, axis, ((LEFT + RIGHT) / 2, BOTTOM + 38), 13, GREY, HPos::Center)?;

    // Lines of many layers lie over each other: where they are dense they look so.
    for &mark in &bins.smallest_kept {
        line(canvas, (x(mark.log2()), TOP - 6), (x(mark.log2()), BOTTOM), ORANGE.mix(0.55).stroke_width(1))?;
    }
    legend(canvas, &bins)
}

fn legend(canvas: &Canvas, bins: &Bins) -> Drawn {
    let row = TITLE + 30;
    let mut x = LEFT;
    let kinds = [(bins.sparse, BLUE, "with 1 % of zeros and more"), (bins.dense, PALE, "with fewer zeros")];
    for (layers, colour, kind) in kinds.into_iter().filter(|(layers, ..)| *layers > 0) {
        bar(canvas, [(x, row - 6), (x + 12, row + 6)], colour)?;
        write(canvas, &format!("{} {kind}", show::counted(layers, "layer")), (x + 20, row), 13, GREY, HPos::Left)?;
        x += 300;
    }
    let (smallest, largest) = bins
        .smallest_kept
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(smallest, largest), &mark| (smallest.min(mark), largest.max(mark)));
    let row = row + 22;
    if smallest <= largest {
        line(canvas, (LEFT + 6, row - 6), (LEFT + 6, row + 6), ORANGE.stroke_width(2))?;
        let thresholds = if smallest == largest {
            format!("threshold: the smallest magnitude kept is {smallest:.3e}")
        } else {
            format!(
                "thresholds: the smallest magnitude kept in each pruned layer, from {smallest:.3e} to {largest:.3e}"
            )
        };
        write(canvas, &thresholds, (LEFT + 20, row), 13, GREY, HPos::Left)?;
    }
    if bins.odd > 0 {
        let odd = format!("{} infinite or not a number", short(bins.odd as f64));
        write(canvas, &odd, (RIGHT, row), 13, GREY, HPos::Right)?;
    }
    Ok(())
}

/// All layers together.
#[derive(Default)]
struct Bins {
    /// By exponent of two, in sparse and in other layers.
    counts: BTreeMap<i32, [u64; 2]>,
    sparse: usize,
    dense: usize,
    /// Of every sparse layer.
    smallest_kept: Vec<f64>,
    odd: u64,
}

impl Bins {
    fn of(layers: &[Layer]) -> Self {
        let mut bins = Self::default();
        for layer in layers {
            let magnitudes = layer.magnitudes;
            let kind = usize::from(!layer.is_sparse());
            for &(exponent, count) in &magnitudes.log2 {
                bins.counts.entry(exponent).or_default()[kind] += count;
            }
            bins.odd += magnitudes.infinite + magnitudes.nan;
            if layer.is_sparse() {
                bins.sparse += 1;
                bins.smallest_kept.extend(magnitudes.smallest.filter(|smallest| smallest.is_finite()));
            } else {
                bins.dense += 1;
            }
        }
        bins
    }

    /// From the lowest exponent that is shown to the one after the highest.
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

/// A round distance of lines, of which there are at most five.
fn step(highest: u64) -> f64 {
    let rough = (highest as f64 / 5.0).max(1.0);
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|&step| step >= rough).unwrap_or(rough)
}

/// `1.5M`.
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

    #[test]
    fn steps_are_round() {
        for (highest, expected) in [(1, 1.0), (5, 1.0), (6, 2.0), (11, 5.0), (34, 10.0), (1_234_567, 500_000.0)] {
            assert_eq!(step(highest), expected, "{highest}");
        }
    }
}
