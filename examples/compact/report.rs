//! The table: accuracy, sizes, work and time.

use std::time::{Duration, Instant};

use ndarray::ArrayD;
use prune::{Module, Summary};

/// The passes whose fastest one counts.
const PASSES: usize = 30;

/// The measurements of one network.
pub struct Row {
    name: &'static str,
    accuracy: f64,
    parameters: usize,
    bytes: usize,
    work: usize,
    time: Duration,
    output: ArrayD<f32>,
}

impl Row {
    /// Measures a network. `work` is the number of multiplications and additions for one image, `forward` a pass over all test
    /// images.
    pub fn new<M: Module>(
        name: &'static str,
        network: &M,
        accuracy: f64,
        work: usize,
        forward: impl Fn() -> ArrayD<f32>,
    ) -> Self {
        let summary = Summary::of(network);
        let time = (0..PASSES).map(|_| {
            let start = Instant::now();
            std::hint::black_box(forward());
            start.elapsed()
        });
        let time = time.min().unwrap_or_default();
        Self { name, accuracy, parameters: summary.entries(), bytes: summary.bytes(), work, time, output: forward() }
    }
}

/// Returns the table, and the difference between the masked and the compacted output.
pub fn table([dense, masked, compacted]: [Row; 3]) -> String {
    let mut text = format!(
        "{:10} {:>9} {:>11} {:>9} {:>14} {:>9} {:>9}\n",
        "", "accuracy", "parameters", "bytes", "multiply-adds", "time", "of dense"
    );
    for row in [&dense, &masked, &compacted] {
        text += &format!(
            "{:10} {:>7.1} % {:>11} {:>9} {:>14} {:>6.2} ms {:>9.2}\n",
            row.name,
            100.0 * row.accuracy,
            row.parameters,
            row.bytes,
            row.work,
            1000.0 * row.time.as_secs_f64(),
            row.time.as_secs_f64() / dense.time.as_secs_f64(),
        );
    }
    let largest = |array: ArrayD<f32>| array.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    let difference = largest(&masked.output - &compacted.output);
    text += &format!("masked and compacted outputs differ by at most {difference:.1e}, ");
    text += &format!("dense and compacted ones by {:.1}\n", largest(&dense.output - &compacted.output));
    text
}
