//! The similarity of a pruned model's embeddings to those of the dense one.

use std::fmt;

use ndarray::{Array2, Axis};

/// The quality of embeddings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// The mean cosine between the two embeddings of a sentence.
    pub cosine: f64,
    /// The rank correlation of the similarities of all pairs of sentences.
    pub spearman: f64,
}

impl Quality {
    pub fn of(found: &Array2<f32>, expected: &Array2<f32>) -> Self {
        let cosines = found.axis_iter(Axis(0)).zip(expected.axis_iter(Axis(0))).map(|(a, b)| f64::from(a.dot(&b)));
        let cosine = cosines.sum::<f64>() / found.nrows() as f64;
        Self { cosine, spearman: correlation(&ranks(&pairs(found)), &ranks(&pairs(expected))) }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} / {:.3}", self.cosine, self.spearman)
    }
}

/// The similarities of all pairs of sentences.
fn pairs(embeddings: &Array2<f32>) -> Vec<f32> {
    let all = embeddings.dot(&embeddings.t());
    (0..all.nrows()).flat_map(|i| (i + 1..all.ncols()).map(move |j| (i, j))).map(|at| all[at]).collect()
}

fn ranks(numbers: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    let mut ranks = vec![0.0; numbers.len()];
    order.into_iter().enumerate().for_each(|(rank, at)| ranks[at] = rank as f64);
    ranks
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len() as f64;
    let (of_a, of_b) = (mean(a), mean(b));
    let products = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(a - of_a, b - of_b)).sum::<f64>();
    products(&|a, b| a * b) / (products(&|a, _| a * a) * products(&|_, b| b * b)).sqrt()
}
