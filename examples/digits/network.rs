//! A multilayer perceptron on ndarray, with layers that can be pruned.

use crate::data::Digits;
use ndarray::{Array1, Array2, ArrayD, ArrayView1, Axis, Ix1, Ix2, Zip};
use prune::{Parameter, torch::Generator};

/// `input . weight^T + bias`, with a weight of shape [outputs, inputs] as in PyTorch.
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

    /// Computes with `view()`, the value of the pruned weight. Nothing else in a layer depends on pruning.
    fn forward(&self, input: &Array2<f32>) -> Array2<f32> {
        input.dot(&self.weight.view::<Ix2>().t()) + self.bias.view::<Ix1>()
    }

    /// Computes the gradients of weight, bias and input from the gradient of the output.
    fn backward(&self, input: &Array2<f32>, output: &Array2<f32>) -> LinearGradients {
        LinearGradients {
            weight: output.t().dot(input),
            bias: output.sum_axis(Axis(0)),
            input: output.dot(&self.weight.view::<Ix2>()),
        }
    }
}

struct LinearGradients {
    weight: Array2<f32>,
    bias: Array1<f32>,
    input: Array2<f32>,
}

/// Hidden layers with ReLU, then an output layer with softmax.
#[derive(Clone)]
pub struct Network {
    pub hidden: Vec<Linear>,
    pub output: Linear,
}

/// The parameters are `hidden.0.weight`, `hidden.0.bias`, `hidden.1.weight`, ..., `output.bias`.
impl prune::Module for Network {
    type Elem = f32;
    prune::named_parameters!(hidden, output);
}

impl Network {
    /// Creates a network from `inputs` values through layers of the sizes `hidden` to `classes` scores. The first weights are
    /// drawn with `seed`.
    pub fn new(inputs: usize, hidden: &[usize], classes: usize, seed: u64) -> Self {
        let generator = Generator::manual_seed(seed);
        let mut inputs = inputs;
        let mut layer = |outputs| Linear::new(std::mem::replace(&mut inputs, outputs), outputs, &generator);
        Self { hidden: hidden.iter().map(|&size| layer(size)).collect(), output: layer(classes) }
    }

    /// Returns the layers, first to last.
    pub fn layers(&self) -> impl Iterator<Item = &Linear> {
        self.hidden.iter().chain([&self.output])
    }

    /// Returns the layers mutably, first to last.
    pub fn layers_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.hidden.iter_mut().chain([&mut self.output])
    }

    /// Returns the input of each layer, and the scores of the classes.
    fn forward(&self, images: &Array2<f32>) -> (Vec<Array2<f32>>, Array2<f32>) {
        let mut inputs = Vec::new();
        let mut input = images.clone();
        for layer in &self.hidden {
            let output = layer.forward(&input).mapv_into(|x| x.max(0.0));
            inputs.push(std::mem::replace(&mut input, output));
        }
        let scores = self.output.forward(&input);
        inputs.push(input);
        (inputs, scores)
    }

    /// Returns the scores of the classes, one row per image.
    pub fn scores(&self, images: &Array2<f32>) -> Array2<f32> {
        self.forward(images).1
    }

    /// Returns the fraction of `data` that is classified correctly, from 0 to 1.
    pub fn accuracy(&self, data: &Digits) -> f64 {
        let scores = self.scores(&data.images);
        let right = scores.outer_iter().zip(&data.labels).filter(|(row, label)| argmax(row) == Some(**label));
        right.count() as f64 / data.len() as f64
    }

    /// Returns the mean cross-entropy of `batch` and its gradients, one per parameter, in the order of `named_parameters`.
    ///
    /// These are gradients with respect to the values. The optimizer masks them before it updates the originals.
    pub fn loss_and_gradients(&self, batch: &Digits) -> (f32, Vec<ArrayD<f32>>) {
        let (inputs, scores) = self.forward(&batch.images);
        let (loss, mut upstream) = softmax_cross_entropy(scores, &batch.labels);
        let mut gradients = Vec::new();
        let layers: Vec<_> = self.layers().zip(inputs).collect();
        for (layer, input) in layers.into_iter().rev() {
            let gradient = layer.backward(&input, &upstream);
            gradients.extend([gradient.bias.into_dyn(), gradient.weight.into_dyn()]);
            // The derivative of ReLU. In the first layer it has no effect, because nothing uses the gradient of the images.
            upstream = gradient.input;
            Zip::from(&mut upstream).and(&input).for_each(|gradient, &x| {
                if x <= 0.0 {
                    *gradient = 0.0;
                }
            });
        }
        gradients.reverse();
        (loss, gradients)
    }
}

/// Returns the mean loss and its gradient with respect to `scores`.
fn softmax_cross_entropy(mut scores: Array2<f32>, labels: &[usize]) -> (f32, Array2<f32>) {
    let count = labels.len() as f32;
    let mut loss = 0.0;
    for (mut row, &label) in scores.outer_iter_mut().zip(labels) {
        let highest = row.fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        row.mapv_inplace(|score| (score - highest).exp());
        let total = row.sum();
        loss -= (row[label] / total).ln() / count;
        row.mapv_inplace(|x| x / total / count);
        row[label] -= 1.0 / count;
    }
    (loss, scores)
}

fn argmax(row: &ArrayView1<'_, f32>) -> Option<usize> {
    row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(index, _)| index)
}
