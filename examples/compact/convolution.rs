//! Two convolutions with BatchNorm and ReLU, pooling, a flatten and a linear layer.

use std::error::Error;

use ndarray::{Array1, Array2, Array4, Axis, Ix1, Ix2, Ix4};
use prune::compact::{Coupling, Use};
use prune::torch::Generator;
use prune::{Parameter, prefixed};

use crate::data::Digits;
use crate::network::{Linear, Network};
use crate::training::{Recipe, train};

/// The height and the width of the images.
const SIZE: usize = 8;
const CHANNELS: [usize; 2] = [16, 16];
const EPS: f32 = 1e-5;

/// A 3 x 3 convolution with a padding of 1 and no bias, and the BatchNorm that follows it.
#[derive(Clone)]
struct ConvBlock {
    weight: Parameter<f32>,
    gamma: Parameter<f32>,
    beta: Parameter<f32>,
    mean: Parameter<f32>,
    variance: Parameter<f32>,
}

impl prune::Module for ConvBlock {
    type Elem = f32;
    prune::named_parameters!(weight, gamma, beta, mean, variance);
}

/// The classifier is a network without hidden layers.
#[derive(Clone)]
pub struct ConvNet {
    first: ConvBlock,
    second: ConvBlock,
    classifier: Network,
}

impl prune::Module for ConvNet {
    type Elem = f32;

    fn named_parameters(&self) -> prune::NamedParameters<'_, f32> {
        let Self { first, second, classifier } = self;
        let blocks = prefixed("first", first.named_parameters()).chain(prefixed("second", second.named_parameters()));
        blocks.chain(classifier.named_parameters()).collect()
    }
    fn named_parameters_mut(&mut self) -> prune::NamedParametersMut<'_, f32> {
        let Self { first, second, classifier } = self;
        let second = prefixed("second", second.named_parameters_mut());
        prefixed("first", first.named_parameters_mut()).chain(second).chain(classifier.named_parameters_mut()).collect()
    }
}

impl ConvNet {
    /// Draws the convolutions with `seed`, and takes the statistics of BatchNorm from the data.
    pub fn new(seed: u64, data: &Digits) -> Self {
        let generator = Generator::manual_seed(seed);
        let images = pixels(&data.images);
        let first = ConvBlock::new(&generator, 1, CHANNELS[0], &images);
        let second = ConvBlock::new(&generator, CHANNELS[0], CHANNELS[1], &first.forward(&images));
        Self { first, second, classifier: Network::new(CHANNELS[1] * 16, &[], 10, seed) }
    }

    /// The channels of both convolutions. A channel of the second one is 4 x 4 columns of the linear layer.
    pub fn coupling() -> Coupling {
        let block = |name: &str| {
            let vector = |part: &str| format!("{name}.{part}");
            [
                Use::out(vector("weight"), 0),
                Use::follow(vector("gamma"), 0),
                Use::follow(vector("beta"), 0),
                Use::buffer(vector("mean"), 0),
                Use::buffer(vector("variance"), 0),
            ]
        };
        Coupling::new()
            .dimension("first", block("first").into_iter().chain([Use::input("second.weight", 1)]))
            .dimension("second", block("second").into_iter().chain([Use::input("output.weight", 1).block(16)]))
            .fixed("output.bias")
    }

    /// Trains the linear layer on what the convolutions make of the images.
    pub fn train_classifier(&mut self, data: &Digits, recipe: &Recipe) -> Result<(), Box<dyn Error>> {
        let features = Digits { images: self.features(&data.images), labels: data.labels.clone() };
        train(&mut self.classifier, &features, recipe, |_| ())
    }

    pub fn scores(&self, images: &Array2<f32>) -> Array2<f32> {
        self.classifier.scores(&self.features(images))
    }

    pub fn accuracy(&self, data: &Digits) -> f64 {
        let features = Digits { images: self.features(&data.images), labels: data.labels.clone() };
        self.classifier.accuracy(&features)
    }

    /// The number of multiplications and additions for one image.
    pub fn work(&self) -> usize {
        let convolutions: usize =
            [&self.first, &self.second].map(|block| block.weight.value().len() * SIZE * SIZE).iter().sum();
        convolutions + self.classifier.layers().map(|Linear { weight, .. }| weight.value().len()).sum::<usize>()
    }

    /// The pooled maps of the second convolution, flattened: channel by channel.
    fn features(&self, images: &Array2<f32>) -> Array2<f32> {
        let maps = self.second.forward(&self.first.forward(&pixels(images)));
        let (images, channels, height, width) = maps.dim();
        let pooled = Array4::from_shape_fn((images, channels, height / 2, width / 2), |(i, c, y, x)| {
            let at = |dy, dx| maps[[i, c, 2 * y + dy, 2 * x + dx]];
            at(0, 0).max(at(0, 1)).max(at(1, 0)).max(at(1, 1))
        });
        let features = pooled.len() / images;
        pooled.into_shape_with_order((images, features)).expect("the features of each image are one row")
    }
}

/// Rows of pixels as images with one channel.
fn pixels(images: &Array2<f32>) -> Array4<f32> {
    let shape = (images.nrows(), 1, SIZE, SIZE);
    images.to_owned().into_shape_with_order(shape).expect("an image has 64 pixels")
}

impl ConvBlock {
    fn new(generator: &Generator, inputs: usize, outputs: usize, images: &Array4<f32>) -> Self {
        let (weight, _) = generator.conv::<f32>(outputs, inputs, &[3, 3]);
        let vector = |value: f32| Parameter::new(Array1::from_elem(outputs, value));
        let (gamma, beta) = (vector(1.0), Parameter::new(generator.uniform::<f32>(outputs, -0.2, 0.2)));
        let mut block = Self { weight: weight.into(), gamma, beta, mean: vector(0.0), variance: vector(1.0) };
        let maps = block.convolve(images);
        let channel = |channel: usize| maps.index_axis(Axis(1), channel);
        block.mean = Array1::from_shape_fn(outputs, |c| channel(c).mean().unwrap_or_default()).into();
        block.variance = Array1::from_shape_fn(outputs, |c| channel(c).var(0.0)).into();
        block
    }

    /// The convolution, BatchNorm with the running statistics, and ReLU.
    fn forward(&self, images: &Array4<f32>) -> Array4<f32> {
        let [gamma, beta, mean, variance] =
            [&self.gamma, &self.beta, &self.mean, &self.variance].map(|parameter| parameter.view::<Ix1>());
        let mut maps = self.convolve(images);
        for (c, mut map) in maps.axis_iter_mut(Axis(1)).enumerate() {
            let scale = gamma[c] / (variance[c] + EPS).sqrt();
            map.mapv_inplace(|x| ((x - mean[c]) * scale + beta[c]).max(0.0));
        }
        maps
    }

    /// Each position is a row of its neighbourhood, so that the convolution is one matrix product.
    fn convolve(&self, images: &Array4<f32>) -> Array4<f32> {
        let (count, channels, height, width) = images.dim();
        let weight = self.weight.view::<Ix4>();
        let outputs = weight.dim().0;
        let filters = weight.to_shape((outputs, channels * 9)).expect("a filter is 3 x 3 for each channel");
        let mut rows = Array2::zeros((count * height * width, channels * 9));
        for ((image, channel, y, x), &pixel) in images.indexed_iter() {
            for (tap, (dy, dx)) in (0..3).flat_map(|dy| (0..3).map(move |dx| (dy, dx))).enumerate() {
                // The neighbour for which this pixel is `dy - 1` below and `dx - 1` to the right.
                let (y, x) = ((y + 1).wrapping_sub(dy), (x + 1).wrapping_sub(dx));
                if y < height && x < width {
                    rows[[(image * height + y) * width + x, channel * 9 + tap]] = pixel;
                }
            }
        }
        let products = rows.dot(&filters.view().into_dimensionality::<Ix2>().expect("filters are rows").t());
        let maps = products.into_shape_with_order((count, height, width, outputs)).expect("one row per position");
        maps.permuted_axes([0, 3, 1, 2]).as_standard_layout().into_owned()
    }
}
