//! A product as one would write it at first: if the kernel of the crate lost its vector instructions, it would be slower.

use ndarray::Array2;

/// Compressed rows without panels.
pub struct Plain {
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl Plain {
    pub fn new(weight: &Array2<f32>) -> Self {
        let mut plain = Self { starts: vec![0], columns: Vec::new(), values: Vec::new() };
        for row in weight.rows() {
            for (column, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                plain.columns.push(column as u32);
                plain.values.push(value);
            }
            plain.starts.push(plain.values.len());
        }
        plain
    }

    /// `W X`, with an input in each column of `inputs`.
    pub fn multiply(&self, inputs: &Array2<f32>, out: &mut Array2<f32>) {
        for (row, mut sums) in out.rows_mut().into_iter().enumerate() {
            sums.fill(0.0);
            let range = self.starts[row]..self.starts[row + 1];
            for (&column, &value) in self.columns[range.clone()].iter().zip(&self.values[range]) {
                sums.iter_mut().zip(inputs.row(column as usize)).for_each(|(sum, x)| *sum += value * x);
            }
        }
    }
}
