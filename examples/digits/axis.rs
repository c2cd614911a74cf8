//! The axis of the plots.

use plotters::{
    coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter},
    prelude::*,
};
use std::ops::Range;

/// An axis of sparsities. Equal steps to the right divide the number of remaining weights by equal factors.
pub struct SparsityAxis;

impl SparsityAxis {
    pub const FIRST: f64 = 0.35;
    pub const LAST: f64 = 0.984;

    fn position(sparsity: f64) -> f64 {
        -(1.0 - sparsity).ln()
    }
}

impl Ranged for SparsityAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, sparsity: &f64, (left, right): (i32, i32)) -> i32 {
        let [first, last, here] = [Self::FIRST, Self::LAST, *sparsity].map(Self::position);
        left + (f64::from(right - left) * (here - first) / (last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        vec![0.5, 0.8, 0.9, 0.95, 0.98]
    }

    fn range(&self) -> Range<f64> {
        Self::FIRST..Self::LAST
    }
}

impl ValueFormatter<f64> for SparsityAxis {
    fn format(sparsity: &f64) -> String {
        format!("{:.0}", 100.0 * sparsity)
    }
}
