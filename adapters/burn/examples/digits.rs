//! Trains a classifier of handwritten digits with burn, and prunes it to 90 % meanwhile.
//!
//! ```text
//! cargo run --example digits
//! ```
//!
//! 1. A 64-64-10 network is trained for 700 steps of Adam. Between the steps 100 and 500, a cubic schedule prunes the lowest
//!    magnitudes of both weights, ranked together, to 90 %.
//! 2. The same network is trained without pruning, to compare.
//! 3. The pruned network is saved, loaded into a new one, and made permanent.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::prelude::*;
use prune::training::Schedule;
use prune::{Amount, L1Unstructured};

const STEPS: u64 = 700;
const BATCH: usize = 64;

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        Self { hidden: LinearConfig::new(64, 64).init(device), output: LinearConfig::new(64, 10).init(device) }
    }

    /// Images of shape `[batch, 64]` to scores of shape `[batch, 10]`. Nothing in it depends on pruning.
    fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        self.output.forward(burn::tensor::activation::relu(self.hidden.forward(images)))
    }

    fn accuracy(&self, data: &Digits) -> f64 {
        let right = self.forward(data.images.clone()).argmax(1).flatten::<1>(0, 1).equal(data.labels.clone());
        right.int().sum().into_scalar::<i64>() as f64 / data.labels.dims()[0] as f64
    }
}

/// Images of 64 pixels from 0 to 1, and the digits that they show.
struct Digits {
    images: Tensor<2>,
    labels: Tensor<1, Int>,
}

impl Digits {
    /// The 1797 digits of UCI and scikit-learn, as data for training and, every fourth, for the test.
    fn split(device: &Device) -> (Self, Self) {
        let raw = smartcore::dataset::digits::load_dataset();
        let part = |is_test: bool| {
            let rows: Vec<usize> = (0..raw.num_samples).filter(|row| (row % 4 == 3) == is_test).collect();
            let pixels = rows.iter().flat_map(|row| &raw.data[row * 64..][..64]).map(|pixel| pixel / 16.0).collect();
            let labels: Vec<i64> = rows.iter().map(|&row| raw.target[row] as i64).collect();
            let images = Tensor::from_data(TensorData::new::<f32, _>(pixels, [rows.len(), 64]), device);
            Self { images, labels: Tensor::from_data(TensorData::new(labels, [rows.len()]), device) }
        };
        (part(false), part(true))
    }

    /// The batch of a step. The images are in no order of their digits.
    fn batch(&self, step: u64) -> Self {
        let batches = self.labels.dims()[0] / BATCH;
        let start = (step as usize % batches) * BATCH;
        Self {
            images: self.images.clone().narrow(0, start, BATCH),
            labels: self.labels.clone().narrow(0, start, BATCH),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::default().autodiff();
    let (training, test) = Digits::split(&device);
    let schedule = Schedule::cubic(0.0, 0.9)?.between(100, 500)?.every(50)?;
    println!("schedule: {schedule}\n");
    println!("{:>5} {:>9} {:>9} {:>9} {:>9} {:>9}", "step", "pruned", "hidden", "output", "loss", "accuracy");
    let net = train(&device, &training, |step, mut net, loss| {
        if step % 50 == 0 {
            print_row(step, &net, loss, &test)?;
        }
        if schedule.is_due(step) {
            let method = L1Unstructured::new(Amount::sparsity(schedule.at(step)))?;
            net = prune_burn::global_unstructured(net, "*.weight", method)?;
        }
        Ok(net)
    })?;
    let dense = train(&device, &training, |_, net, _| Ok(net))?;

    let directory = tempfile::tempdir()?;
    let file = directory.path().join("digits.bpk");
    net.valid().save_file(&file)?;
    let loaded = prune_burn::load_file(Net::new(&device), &file)?;
    println!("\nsaved and loaded:\n{}", prune_burn::sparsity(&loaded)?);
    let accuracy = |net: &Net| format!("{:.1} %", 100.0 * net.accuracy(&test));
    println!("accuracy, pruned: {}", accuracy(&loaded));
    println!("accuracy, pruned, without masks: {}", accuracy(&prune_burn::remove(loaded, "*")?));
    println!("accuracy, never pruned: {}", accuracy(&dense));
    Ok(())
}

/// Trains a network, and calls `after_step` with the number of steps so far, the network and its loss before the step.
fn train(
    device: &Device,
    data: &Digits,
    mut after_step: impl FnMut(u64, Net, f32) -> Result<Net, prune_burn::Error>,
) -> Result<Net, prune_burn::Error> {
    device.seed(42);
    let mut net = Net::new(device);
    let mut optimizer = AdamConfig::new().init();
    let loss = CrossEntropyLossConfig::new().init(device);
    for step in 1..=STEPS {
        let batch = data.batch(step);
        let loss = loss.forward(net.forward(batch.images), batch.labels);
        let gradients = GradientsParams::from_grads(loss.backward(), &net);
        net = optimizer.step(0.003, net, gradients);
        net = after_step(step, net, loss.into_scalar())?;
    }
    Ok(net)
}

/// Prints how much of both weights is pruned, and how well the network does.
fn print_row(step: u64, net: &Net, loss: f32, test: &Digits) -> Result<(), prune_burn::Error> {
    let masks = prune_burn::masks(net)?;
    let percent = |pruned: usize, entries: usize| format!("{:.1} %", 100.0 * pruned as f64 / entries as f64);
    let pruned = |path: &str| masks.get(path).map_or(0, |mask| mask.pruned());
    let (hidden, output) = (pruned("hidden.weight"), pruned("output.weight"));
    let accuracy = format!("{:.1} %", 100.0 * net.accuracy(test));
    let (all, hidden, output) = (percent(hidden + output, 4736), percent(hidden, 4096), percent(output, 640));
    println!("{step:>5} {all:>9} {hidden:>9} {output:>9} {loss:>9.4} {accuracy:>9}");
    Ok(())
}
