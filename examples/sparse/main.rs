//! A classifier of handwritten digits without 90 % of its weights, which answers as before, from fewer bytes and in less time.
//!
//! ```text
//! cargo run --release --example sparse
//! ```
//!
//! A 64-512-512-10 network is trained, loses 90 % of its weights, and is trained further with the masks. The test images are then
//! classified four times: with dense products; with packed weights; after compaction, which removes the neurons that the masks
//! have made useless; and with both. The data, the network and the training are those of the example `digits`.

#![allow(dead_code, reason = "the example digits uses what this one does not")]

#[path = "../digits/data.rs"]
mod data;
#[path = "../digits/network.rs"]
mod network;
#[path = "../digits/training.rs"]
mod training;

mod inference;

use std::error::Error;

use data::Digits;
use inference::{Answers, Dense, Sparse};
use network::Network;
use prune::compact::{Coupling, Use};
use prune::{L1Unstructured, Target};
use training::{Recipe, train};

const SEED: u64 = 888;
const DENSE: Recipe =
    Recipe { epochs: 12, batch: 32, learning_rate: 0.1, momentum: 0.9, weight_decay: 1e-3, seed: SEED };
const FINE_TUNING: Recipe = Recipe { epochs: 8, learning_rate: 0.05, ..DENSE };
const SPARSITY: f64 = 0.9;

fn main() -> Result<(), Box<dyn Error>> {
    let (training, test) = Digits::split(SEED)?;
    let mut network = Network::new(64, &[512, 512], 10, SEED);
    train(&mut network, &training, &DENSE, |_| ())?;
    let before = network.accuracy(&test);

    let weights = network.layers_mut().map(|layer| Target::from(&mut layer.weight));
    prune::global_unstructured(weights.collect::<Vec<_>>(), L1Unstructured::new(SPARSITY)?)?;
    train(&mut network, &training, &FINE_TUNING, |_| ())?; // the pruned weights stay zero

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
    let mut compacted = network.clone();
    prune::remove_all(&mut compacted);
    let dead = coupling.dead(&compacted)?;
    dead.plan.compact(&mut compacted)?;

    println!(
        "Accuracy: {:.1} % dense, {:.1} % with {:.0} % of the weights pruned",
        100.0 * before,
        100.0 * network.accuracy(&test),
        100.0 * SPARSITY
    );
    let kept: Vec<String> =
        dead.plan.sizes().iter().map(|(name, kept)| format!("{name} keeps {kept} of 512")).collect();
    println!("Compaction without any loss: {}\n", kept.join(", "));

    let rows = [
        Answers::of("dense", &test, |_| Dense(network.clone())),
        Answers::of("packed", &test, |batch| Sparse::new(&network, batch)),
        Answers::of("compacted", &test, |_| Dense(compacted.clone())),
        Answers::of("compacted, packed", &test, |batch| Sparse::new(&compacted, batch)),
    ];
    print!("{}", inference::table(&rows));
    Ok(())
}
