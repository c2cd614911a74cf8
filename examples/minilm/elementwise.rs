//! The functions between the products of a forward pass, in loops that become vector instructions.

use ndarray::{Array1, Array2, ArrayViewMut1};

const EPSILON: f32 = 1e-12;

/// A layer norm.
pub struct Norm {
    pub scale: Array1<f32>,
    pub shift: Array1<f32>,
}

impl Norm {
    /// Every row with mean 0 and variance 1, times `scale` plus `shift`.
    pub fn apply(&self, mut x: Array2<f32>) -> Array2<f32> {
        for mut row in x.rows_mut() {
            let mean = row.mean().unwrap_or_default();
            row -= mean;
            let deviation = (row.dot(&row) / row.len() as f32 + EPSILON).sqrt();
            row /= deviation;
            row *= &self.scale;
            row += &self.shift;
        }
        x
    }
}

/// Shares of a sum of 1.
pub fn softmax(mut row: ArrayViewMut1<'_, f32>) {
    let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.mapv_inplace(|x| (x - highest).exp());
    let sum = row.sum();
    row /= sum;
}

/// `x Φ(x)`, with the error function to 3e-7: Abramowitz and Stegun, *Handbook of Mathematical Functions* (1964), 7.1.28.
pub fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let polynomial = [0.000_276_567_2, 0.000_152_014_3, 0.009_270_527, 0.042_282_01, 0.070_523_08, 1.0];
    let inner = polynomial.into_iter().fold(0.000_043_063_8, |sum, factor| sum * z + factor);
    // Of both sides of the bell curve, the part beyond |x|.
    let tail = 0.5 / inner.powi(16);
    x.max(0.0) - x.abs() * tail
}
