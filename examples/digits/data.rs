//! The 1797 handwritten digits of UCI and scikit-learn: 8x8 pixels, ten classes.

use ndarray::{Array2, Axis, ShapeError};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// Images as rows of 64 pixels from 0 to 1, and the digit that each one shows.
pub struct Digits {
    pub images: Array2<f32>,
    pub labels: Vec<usize>,
}

impl Digits {
    /// Returns all images, in the order of the data set.
    fn all() -> Result<Self, ShapeError> {
        let raw = smartcore::dataset::digits::load_dataset();
        let pixels = Array2::from_shape_vec((raw.num_samples, raw.num_features), raw.data)?;
        let labels = raw.target.iter().map(|&digit| digit as usize).collect();
        Ok(Self { images: pixels / 16.0, labels })
    }

    /// Returns (train, test): a quarter of the images, drawn with `seed`, are for the test.
    pub fn split(seed: u64) -> Result<(Self, Self), ShapeError> {
        let all = Self::all()?;
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let (test, train) = order.split_at(all.len() / 4);
        Ok((all.select(train), all.select(test)))
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Returns the images with these indices, in this order.
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            images: self.images.select(Axis(0), indices),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
        }
    }
}
