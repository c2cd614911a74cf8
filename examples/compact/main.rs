//! Makes two classifiers of handwritten digits really smaller, and shows that they compute what the masked ones do.
//!
//! ```text
//! cargo run --example compact
//! ```
//!
//! 1. A 64-128-64-10 network is trained. Half of its neurons are masked, chosen by the norms of the weights that make and read
//!    them; it is trained further with the masks, and then compacted.
//! 2. A network of two convolutions with BatchNorm, pooling, a flatten and a linear layer loses half of its channels. Its
//!    convolutions are random, only the linear layer is trained: enough to show that masked and compacted outputs are equal.
//!
//! The files:
//!
//! - `convolution.rs`: the convolutional network and its coupling
//! - `report.rs`: accuracy, sizes, work and time, measured in this run
//! - the data, the network and the training are those of the example `digits`

#![allow(dead_code, reason = "the example digits uses what this one does not")]

#[path = "../digits/data.rs"]
mod data;
#[path = "../digits/network.rs"]
mod network;
#[path = "../digits/training.rs"]
mod training;

mod convolution;
mod report;

use std::error::Error;

use convolution::ConvNet;
use data::Digits;
use network::Network;
use prune::compact::{Choice, Coupling, Plan, Use};
use report::{Row, table};
use training::{Recipe, train};

const SEED: u64 = 888;
const DENSE: Recipe =
    Recipe { epochs: 40, batch: 32, learning_rate: 0.1, momentum: 0.9, weight_decay: 1e-3, seed: SEED };
const FINE_TUNING: Recipe = Recipe { epochs: 15, learning_rate: 0.05, ..DENSE };

fn main() -> Result<(), Box<dyn Error>> {
    let (training, test) = Digits::split(SEED)?;
    perceptron(&training, &test)?;
    convolutional(&training, &test)
}

/// Trains, masks, trains further, compacts.
fn perceptron(training: &Digits, test: &Digits) -> Result<(), Box<dyn Error>> {
    let mut dense = Network::new(64, &[128, 64], 10, SEED);
    train(&mut dense, training, &DENSE, |_| ())?;

    let hidden = |layer: &str, next: &str| {
        [
            Use::out(format!("{layer}.weight"), 0),
            Use::follow(format!("{layer}.bias"), 0),
            Use::input(format!("{next}.weight"), 1),
        ]
    };
    let coupling = Coupling::new()
        .dimension("first", hidden("hidden.0", "hidden.1"))
        .dimension("second", hidden("hidden.1", "output"))
        .fixed("output.bias");
    let plan = coupling.choose(&dense, &Choice { multiple: 8, ..Choice::new(0.5) })?;

    let mut masked = dense.clone();
    plan.mask(&mut masked)?;
    let before = masked.accuracy(test);
    train(&mut masked, training, &FINE_TUNING, |_| ())?; // the pruned neurons stay zero
    prune::remove_all(&mut masked);
    let mut compacted = masked.clone();
    plan.compact(&mut compacted)?;

    let work = |network: &Network| network.layers().map(|layer| layer.weight.value().len()).sum();
    let row = |name, network: &Network| {
        Row::new(name, network, network.accuracy(test), work(network), || network.scores(&test.images).into_dyn())
    };
    println!("A perceptron without half of its neurons; {}", units(&plan));
    println!("{:.1} % of the test images right after masking, before training further\n", 100.0 * before);
    println!("{}", table([row("dense", &dense), row("masked", &masked), row("compacted", &compacted)]));
    Ok(())
}

/// Loses channels behind BatchNorm, and the blocks of a flatten.
fn convolutional(training: &Digits, test: &Digits) -> Result<(), Box<dyn Error>> {
    let mut dense = ConvNet::new(SEED, training);
    dense.train_classifier(training, &DENSE)?;

    let plan = ConvNet::coupling().choose(&dense, &Choice { multiple: 4, ..Choice::new(0.5) })?;
    let mut masked = dense.clone();
    plan.mask(&mut masked)?;
    let before = masked.accuracy(test);
    masked.train_classifier(training, &FINE_TUNING)?;
    prune::remove_all(&mut masked);
    let mut compacted = masked.clone();
    plan.compact(&mut compacted)?;

    let row = |name, network: &ConvNet| {
        Row::new(name, network, network.accuracy(test), network.work(), || network.scores(&test.images).into_dyn())
    };
    println!("A convolutional network without half of its channels; {}", units(&plan));
    println!("{:.1} % of the test images right after masking, before training further\n", 100.0 * before);
    println!("{}", table([row("dense", &dense), row("masked", &masked), row("compacted", &compacted)]));
    Ok(())
}

/// The kept units of each dimension.
fn units(plan: &Plan) -> String {
    let units = plan.sizes().iter().map(|(name, kept)| format!("{name} keeps {kept}")).collect::<Vec<_>>();
    units.join(", ")
}
