//! Networks that only answer, and what their answers cost.

use std::time::{Duration, Instant};

use ndarray::{Array2, Axis, Ix1};
use prune::sparse::{Packed, PackedLinear};

use crate::data::Digits;
use crate::network::Network;

/// The passes whose fastest one counts.
const PASSES: usize = 20;

/// A network that classifies images.
pub trait Classifier {
    /// Returns the scores of the classes, one row per image.
    fn scores(&self, images: &Array2<f32>) -> Array2<f32>;
    /// Returns the bytes of weights and biases.
    fn bytes(&self) -> usize;
}

/// A network with products of all weights.
pub struct Dense(pub Network);

impl Classifier for Dense {
    fn scores(&self, images: &Array2<f32>) -> Array2<f32> {
        self.0.scores(images)
    }

    fn bytes(&self) -> usize {
        4 * self.0.layers().map(|layer| layer.weight.value().len() + layer.bias.value().len()).sum::<usize>()
    }
}

/// A network with packed weights.
pub struct Sparse(Vec<PackedLinear<f32>>);

impl Sparse {
    /// Packs the weights of a network, for this number of images at once.
    pub fn new(network: &Network, batch: usize) -> Self {
        let layer = |layer: &crate::network::Linear| {
            let weight = Packed::new(&layer.weight).prepare(batch);
            PackedLinear::new(weight, Some(layer.bias.view::<Ix1>().to_owned())).expect("a bias for each row")
        };
        Self(network.layers().map(layer).collect())
    }
}

impl Classifier for Sparse {
    fn scores(&self, images: &Array2<f32>) -> Array2<f32> {
        let (output, hidden) = self.0.split_last().expect("a network has an output layer");
        let mut values = images.clone();
        for layer in hidden {
            values = layer.forward(values.view()).expect("layers fit each other").mapv_into(|x| x.max(0.0));
        }
        output.forward(values.view()).expect("layers fit each other")
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(PackedLinear::bytes).sum()
    }
}

/// The answers of a network, and their cost.
pub struct Answers {
    name: &'static str,
    bytes: usize,
    /// The time for an image, one by one and all at once.
    times: [Duration; 2],
    scores: Array2<f32>,
    accuracy: f64,
}

impl Answers {
    /// Lets networks answer, which are made for a number of images at once.
    pub fn of<C: Classifier>(name: &'static str, test: &Digits, network: impl Fn(usize) -> C) -> Self {
        let (single, many) = (network(1), network(test.len()));
        let images: Vec<Array2<f32>> =
            test.images.outer_iter().map(|image| image.insert_axis(Axis(0)).to_owned()).collect();
        let one_by_one = || images.iter().for_each(|image| drop(std::hint::black_box(single.scores(image))));
        let at_once = || drop(std::hint::black_box(many.scores(&test.images)));
        let times = [fastest(one_by_one), fastest(at_once)].map(|time| time / test.len() as u32);
        let scores = many.scores(&test.images);
        let right = scores.outer_iter().zip(&test.labels).filter(|(row, label)| best(row.iter()) == **label).count();
        Self { name, bytes: many.bytes(), times, scores, accuracy: right as f64 / test.len() as f64 }
    }
}

fn fastest(pass: impl Fn()) -> Duration {
    let time = |_| {
        let start = Instant::now();
        pass();
        start.elapsed()
    };
    (0..PASSES).map(time).min().unwrap_or_default()
}

fn best<'s>(scores: impl Iterator<Item = &'s f32>) -> usize {
    scores.enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(class, _)| class)
}

/// Returns the table. Answers are compared with those of the first network.
pub fn table(rows: &[Answers]) -> String {
    let mut text = format!(
        "{:18} {:>9} {:>12} {:>17} {:>9} {:>11} {:>12}\n",
        "", "bytes", "one by one", "449 at once", "accuracy", "same class", "difference"
    );
    for row in rows {
        let classes = row.scores.outer_iter().zip(rows[0].scores.outer_iter());
        let same = classes.filter(|(a, b)| best(a.iter()) == best(b.iter())).count();
        let difference = (&row.scores - &rows[0].scores).iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        let [single, many] = row.times.map(|time| 1e6 * time.as_secs_f64());
        text += &format!(
            "{:18} {:>9} {single:>9.1} µs {many:>8.2} µs/image {:>7.1} % {:>4} of {} {difference:>12.1e}\n",
            row.name,
            row.bytes,
            100.0 * row.accuracy,
            same,
            row.scores.nrows(),
        );
    }
    text
}
