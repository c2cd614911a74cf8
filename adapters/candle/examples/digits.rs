//! Prunes a classifier of handwritten digits to 90 % while it is trained, and stores its masks.
//!
//! ```text
//! cargo run --example digits
//! ```
//!
//! A 64-128-64-10 network is trained with AdamW for 20 epochs. From epoch 4 to epoch 14, a cubic schedule of `nn-prune` prunes the
//! weights of all layers by one ranking. The first weights and the order of the images are the same in every run.

use std::error::Error;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::{AdamW, Module, Optimizer, Sequential, VarBuilder, VarMap, loss};
use prune::training::Schedule;
use prune::{Amount, L1Unstructured, torch};
use prune_candle::PrunedVars;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const LAYERS: [(&str, usize, usize); 3] = [("fc1", 64, 128), ("fc2", 128, 64), ("fc3", 64, 10)];
const EPOCHS: u64 = 20;
/// The number of batches of an epoch: batch `i` has every `BATCHES`th image from the `i`th on.
const BATCHES: u64 = 42;
const LEARNING_RATE: f64 = 0.003;

/// Images as rows of 64 pixels from 0 to 1, and the digit that each one shows.
struct Images {
    pixels: Tensor,
    digits: Tensor,
}

impl Images {
    /// Returns (train, test): every fourth of the 1797 images of UCI and scikit-learn is for the test.
    fn split() -> Result<(Self, Self)> {
        let raw = smartcore::dataset::digits::load_dataset();
        let digits: Vec<u32> = raw.target.iter().map(|&digit| digit as u32).collect();
        let all = Self {
            pixels: (Tensor::from_vec(raw.data, (raw.num_samples, raw.num_features), &Device::Cpu)? / 16.0)?,
            digits: Tensor::from_vec(digits, raw.num_samples, &Device::Cpu)?,
        };
        let (test, train): (Vec<u32>, Vec<u32>) = (0..raw.num_samples as u32).partition(|index| index % 4 == 0);
        Ok((all.select(train)?, all.select(test)?))
    }

    fn select(&self, indices: Vec<u32>) -> Result<Self> {
        let indices = Tensor::new(indices, &Device::Cpu)?;
        Ok(Self { pixels: self.pixels.index_select(&indices, 0)?, digits: self.digits.index_select(&indices, 0)? })
    }

    fn batch(&self, number: u64) -> Result<Self> {
        self.select((number as u32..self.digits.elem_count() as u32).step_by(BATCHES as usize).collect())
    }

    /// Returns the fraction of the images that a network classifies correctly.
    fn accuracy(&self, network: &Sequential) -> Result<f64> {
        let right = network.forward(&self.pixels)?.argmax(D::Minus1)?.eq(&self.digits)?;
        Ok(right.to_dtype(DType::F64)?.mean_all()?.to_scalar()?)
    }
}

/// The network, with weights by PyTorch's initialisation and generator, because candle's cannot be seeded on the CPU.
fn network(vars: &mut VarMap) -> Result<Sequential> {
    let builder = VarBuilder::from_varmap(vars, DType::F32, &Device::Cpu);
    let generator = torch::Generator::manual_seed(888);
    let mut network = candle_nn::seq();
    for (i, (name, inputs, outputs)) in LAYERS.into_iter().enumerate() {
        if i > 0 {
            network = network.add_fn(|x| x.relu());
        }
        network = network.add(candle_nn::linear(inputs, outputs, builder.pp(name))?);
        let (weight, bias) = generator.linear::<f32>(inputs, outputs);
        vars.set_one(format!("{name}.weight"), Tensor::from_iter(weight, &Device::Cpu)?.reshape((outputs, inputs))?)?;
        vars.set_one(format!("{name}.bias"), Tensor::from_iter(bias, &Device::Cpu)?)?;
    }
    Ok(network)
}

fn main() -> Result<()> {
    let (train, test) = Images::split()?;
    let batches = (0..BATCHES).map(|number| train.batch(number)).collect::<Result<Vec<_>>>()?;
    let mut vars = VarMap::new();
    let network = network(&mut vars)?;

    let pruned = PrunedVars::new(&vars);
    let mut optimizer = pruned.optimizer(AdamW::new_lr(vars.all_vars(), LEARNING_RATE)?);
    let schedule = Schedule::cubic(0.0, 0.9)?.between(4 * BATCHES, 14 * BATCHES)?.every(BATCHES)?;
    println!(
        "{} images to train on, {} to test; schedule {schedule}",
        train.digits.elem_count(),
        test.digits.elem_count()
    );
    println!("                  pruned, %");
    println!("epoch    loss    all   fc1   fc2   fc3   accuracy on the test images, %");
    for epoch in 0..EPOCHS {
        let mut sum = 0.0;
        for (number, batch) in (0..).zip(&batches) {
            let loss = loss::cross_entropy(&network.forward(&batch.pixels)?, &batch.digits)?;
            optimizer.backward_step(&loss)?;
            sum += f64::from(loss.to_scalar::<f32>()?);
            let step = epoch * BATCHES + number;
            if schedule.is_due(step) {
                let amount = Amount::sparsity(schedule.at(step));
                pruned.global_unstructured(&["*.weight"], L1Unstructured::new(amount)?)?;
            }
        }
        let accuracy = 100.0 * test.accuracy(&network)?;
        println!("{:>5}  {:>6.4}  {}   {accuracy:.1}", epoch + 1, sum / BATCHES as f64, sparsities(&pruned));
    }

    let masks = std::env::temp_dir().join("digits-masks.safetensors");
    pruned.save_masks(&masks)?;
    println!("masks: {} bytes in {}", std::fs::metadata(&masks)?.len(), masks.display());
    pruned.remove("*.weight")?;
    println!("after `remove`: accuracy {:.1} %, no masks", 100.0 * test.accuracy(&network)?);
    Ok(())
}

/// The fraction of pruned weights, of all layers and of each, in percent.
fn sparsities(pruned: &PrunedVars) -> String {
    let masks = LAYERS.map(|(name, inputs, outputs)| {
        let pruned = pruned.mask(&format!("{name}.weight")).map_or(0, |mask| mask.pruned());
        (pruned, inputs * outputs)
    });
    let total = masks.iter().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
    let cells = [&[total][..], &masks[..]].concat().into_iter();
    cells
        .map(|(pruned, entries)| format!("{:5.1}", 100.0 * pruned as f64 / entries as f64))
        .collect::<Vec<_>>()
        .join(" ")
}
