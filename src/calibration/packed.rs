//! Symmetric matrices: the lower triangle, row by row.

use ndarray::{Array2, ArrayView2, Axis};

use crate::calibration::part::part;
use crate::tensor::parallel;

/// The rows of the matrix that are one job, and one matrix product.
const STRIP: usize = 128;

/// A symmetric matrix of which the lower triangle is stored, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packed {
    size: usize,
    lower: Vec<f64>,
}

/// Returns the number of entries of the lower triangle of a matrix with `size` rows.
pub(crate) fn packed_len(size: usize) -> usize {
    size * (size + 1) / 2
}

impl Packed {
    /// A matrix of zeros.
    pub fn zeros(size: usize) -> Self {
        Self { size, lower: vec![0.0; packed_len(size)] }
    }

    /// A matrix of the entries of its lower triangle, of which there are as many as it has.
    #[cfg(feature = "safetensors")]
    pub fn from_lower(size: usize, lower: Vec<f64>) -> Self {
        debug_assert_eq!(lower.len(), packed_len(size));
        Self { size, lower }
    }

    /// The lower triangle, row by row.
    #[cfg(feature = "safetensors")]
    pub fn lower(&self) -> &[f64] {
        &self.lower
    }

    /// Adds the product of each pair of columns. Every strip of rows is one product, so the sums do not depend on threads.
    pub fn add_products(&mut self, rows: ArrayView2<'_, f64>) {
        let size = self.size;
        let mut jobs = Vec::with_capacity(size.div_ceil(STRIP));
        let mut rest = self.lower.as_mut_slice();
        for start in (0..size).step_by(STRIP) {
            let end = (start + STRIP).min(size);
            let (strip, after) = rest.split_at_mut(packed_len(end) - packed_len(start));
            jobs.push((start, end, strip));
            rest = after;
        }
        parallel::for_each(jobs, rows.len() * size, |(start, end, strip)| {
            let products = part(rows, 0..rows.nrows(), start..end).t().dot(&part(rows, 0..rows.nrows(), 0..end));
            let mut at = 0;
            for (row, products) in (start..).zip(products.axis_iter(Axis(0))) {
                strip[at..=at + row].iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
                at += row + 1;
            }
        });
    }

    /// Adds another matrix of the same size.
    pub fn add(&mut self, other: &Self) {
        self.lower.iter_mut().zip(&other.lower).for_each(|(sum, other)| *sum += other);
    }

    /// The whole matrix.
    pub fn unpack(&self) -> Array2<f64> {
        let mut full = Array2::zeros((self.size, self.size));
        for row in 0..self.size {
            let start = packed_len(row);
            for (column, &entry) in self.lower[start..=start + row].iter().enumerate() {
                full[[row, column]] = entry;
                full[[column, row]] = entry;
            }
        }
        full
    }
}
