//! Tensors to measure on, the same in every run.

use ndarray::Array2;
use prune::Element;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn fill<A: Element>(size: usize, mut next: impl FnMut(usize, &mut StdRng) -> f64) -> Array2<A> {
    let mut rng = StdRng::seed_from_u64(888);
    let values = (0..size * size).map(|i| A::from(next(i, &mut rng)).unwrap_or_else(A::nan));
    // The length is size * size by construction.
    Array2::from_shape_vec((size, size), values.collect()).unwrap_or_default()
}

/// Near enough to a normal distribution: a sum of four uniform ones.
fn bell(rng: &mut StdRng) -> f64 {
    (0..4).map(|_| rng.random::<f64>() - 0.5).sum()
}

/// Numbers distributed like trained weights.
pub fn normal<A: Element>(size: usize) -> Array2<A> {
    fill(size, |_, rng| bell(rng))
}

/// Inputs that are hard for selection algorithms, with their names.
pub fn hard<A: Element>(size: usize) -> Vec<(&'static str, Array2<A>)> {
    let n = (size * size) as f64;
    vec![
        ("constant", fill(size, |_, _| 0.25)),
        ("two values", fill(size, |_, rng| if rng.random() { 0.25 } else { 0.5 })),
        ("sorted", fill(size, |i, _| i as f64 / n)),
        ("reversed", fill(size, |i, _| (n - i as f64) / n)),
        ("all NaN", fill(size, |_, _| f64::NAN)),
        ("99 % zeros", fill(size, |_, rng| if rng.random_bool(0.99) { 0.0 } else { bell(rng) })),
        ("few values", fill(size, |_, rng| f64::from(rng.random_range(-8..8_i32)) / 8.0)),
        ("heavy tails", fill(size, |_, rng| bell(rng).powi(9))),
    ]
}
