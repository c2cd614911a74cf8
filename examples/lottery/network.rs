//! A residual network of three layers that can be pruned.

use ndarray::{Array2, ArrayD, ArrayView2, Axis, Ix1, Ix2, Zip};
use prune::{Parameter, torch::Generator};

use crate::data::Signals;

/// `input . weight^T + bias`, with a weight of shape [outputs, inputs].
#[derive(Clone)]
pub struct Linear {
    pub weight: Parameter<f32>,
    pub bias: Parameter<f32>,
}

impl prune::Module for Linear {
    type Elem = f32;
    prune::named_parameters!(weight, bias);
}

impl Linear {
    fn new(inputs: usize, outputs: usize, generator: &Generator) -> Self {
        let (weight, bias) = generator.linear::<f32>(inputs, outputs);
        Self { weight: weight.into(), bias: bias.into() }
    }

    fn forward(&self, input: ArrayView2<'_, f32>) -> Array2<f32> {
        input.dot(&self.weight.view::<Ix2>().t()) + self.bias.view::<Ix1>()
    }
}

/// `h1 = relu(first(x))`, `h2 = h1 + relu(second(h1))`, `output(h2)`.
#[derive(Clone)]
pub struct Network {
    pub first: Linear,
    pub second: Linear,
    pub output: Linear,
}

impl prune::Module for Network {
    type Elem = f32;
    prune::named_parameters!(first, second, output);
}

/// The outputs of the layers on the way to the scores.
struct Pass {
    h1: Array2<f32>,
    /// Before ReLU.
    a2: Array2<f32>,
    h2: Array2<f32>,
    scores: Array2<f32>,
}

impl Network {
    /// The names of the layers.
    pub const LAYERS: [&str; 3] = ["first", "second", "output"];

    /// Creates a network for 40 inputs and 10 classes, with PyTorch's initialisation.
    pub fn new(hidden: usize, seed: u64) -> Self {
        let generator = Generator::manual_seed(seed);
        let linear = |inputs, outputs| Linear::new(inputs, outputs, &generator);
        Self { first: linear(40, hidden), second: linear(hidden, hidden), output: linear(hidden, 10) }
    }

    fn forward(&self, inputs: ArrayView2<'_, f32>) -> Pass {
        let h1 = self.first.forward(inputs).mapv_into(relu);
        let a2 = self.second.forward(h1.view());
        let h2 = &h1 + &a2.mapv(relu);
        let scores = self.output.forward(h2.view());
        Pass { h1, a2, h2, scores }
    }

    /// Returns the share of signals that are classified correctly, in percent.
    pub fn accuracy(&self, data: &Signals) -> f64 {
        let scores = self.forward(data.inputs.view()).scores;
        let right = scores.outer_iter().zip(&data.labels).filter(|(row, label)| {
            let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            best.map(|(class, _)| class) == Some(**label)
        });
        100.0 * right.count() as f64 / data.labels.len() as f64
    }

    /// Returns the gradients of the mean cross-entropy, in the order of `named_parameters`.
    pub fn gradients(&self, inputs: ArrayView2<'_, f32>, labels: &[usize]) -> Vec<ArrayD<f32>> {
        let Pass { h1, a2, h2, mut scores } = self.forward(inputs);
        for (mut row, &label) in scores.outer_iter_mut().zip(labels) {
            let highest = row.fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            row.mapv_inplace(|score| (score - highest).exp());
            let total = row.sum() * labels.len() as f32;
            row /= total;
            row[label] -= 1.0 / labels.len() as f32;
        }
        let upstream = scores.dot(&self.output.weight.view::<Ix2>());
        let second = stopped(upstream.clone(), &a2);
        let first = stopped(upstream + second.dot(&self.second.weight.view::<Ix2>()), &h1);
        let layers = [(first, inputs), (second, h1.view()), (scores, h2.view())];
        let of = |(gradient, input): (Array2<f32>, ArrayView2<'_, f32>)| {
            [gradient.t().dot(&input).into_dyn(), gradient.sum_axis(Axis(0)).into_dyn()]
        };
        layers.into_iter().flat_map(of).collect()
    }
}

fn relu(x: f32) -> f32 {
    x.max(0.0)
}

/// The gradient where ReLU let the signal pass.
fn stopped(mut gradient: Array2<f32>, signal: &Array2<f32>) -> Array2<f32> {
    Zip::from(&mut gradient).and(signal).for_each(|gradient, &x| {
        if x <= 0.0 {
            *gradient = 0.0;
        }
    });
    gradient
}
