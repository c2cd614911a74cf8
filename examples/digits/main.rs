//! Prunes a classifier of handwritten digits in four ways, and measures the accuracy that each one costs.
//!
//! ```text
//! cargo run --example digits
//! ```
//!
//! A 64-128-64-10 network is trained on real data. Copies of it are pruned to several sparsities: at random, by magnitude in
//! each layer, by magnitude over the whole network, and by neuron. They are then fine-tuned with their masks. One more copy
//! is pruned in rounds. The files, in reading order:
//!
//! - `data.rs`: the images
//! - `network.rs`: layers that implement [`prune::Module`]
//! - `training.rs`: an optimizer that keeps pruned weights pruned
//! - `pruning.rs`: the four ways to prune
//! - `experiment.rs`: prune, measure, fine-tune, measure
//! - `report.rs`, `plot.rs`, `axis.rs`: the table and the picture

mod axis;
mod data;
mod experiment;
mod network;
mod plot;
mod pruning;
mod report;
mod training;

use data::Digits;
use experiment::{Outcome, prune_iteratively, prune_once};
use indicatif::{ProgressBar, ProgressStyle};
use network::Network;
use prune::remove_all;
use pruning::{Method, bits};
use std::{error::Error, fs, path::Path};
use training::{Recipe, train};

/// The seed of the split, of the first weights and of the order of the images.
const SEED: u64 = 888;
/// The fractions that are pruned.
const AMOUNTS: [f64; 5] = [0.5, 0.8, 0.9, 0.95, 0.98];
/// The number of rounds of the run that prunes in rounds.
const ROUNDS: usize = 5;
const DENSE: Recipe =
    Recipe { epochs: 40, batch: 32, learning_rate: 0.1, momentum: 0.9, weight_decay: 1e-3, seed: SEED };
const FINE_TUNING: Recipe = Recipe { epochs: 15, learning_rate: 0.05, ..DENSE };

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let (training, test) = Digits::split(SEED)?;
    let data = (&training, &test);
    println!("{} images to train on, {} to test", training.len(), test.len());
    let dense = train_dense(&training)?;
    let dense_accuracy = dense.accuracy(&test);
    println!("the dense network classifies {:.1} % of the test images correctly\n", 100.0 * dense_accuracy);

    let mut outcomes = compare(&dense, data)?;
    println!("test accuracy in %, after pruning -> after {} epochs of fine-tuning", FINE_TUNING.epochs);
    println!("{}", report::table(&outcomes, &AMOUNTS));

    let mut rounds = in_rounds(&dense, data)?;
    println!("L1 global to 95 % in {ROUNDS} rounds, {} epochs of fine-tuning in each", FINE_TUNING.epochs);
    println!("{}", report::rounds(&rounds));

    let picture = Path::new("out/digits.svg");
    fs::create_dir_all("out")?;
    plot::draw(picture, &outcomes, &rounds, dense_accuracy)?;
    println!("plot of accuracy against sparsity: {}\n", picture.display());

    if let Some(sparsest) = rounds.last() {
        println!("{}", report::memory(&dense, &sparsest.network));
    }
    // Making the pruning permanent changes no value.
    for outcome in outcomes.iter_mut().chain(&mut rounds) {
        let pruned = outcome.network.clone();
        remove_all(&mut outcome.network);
        if prune::is_pruned(&outcome.network) || bits(&outcome.network) != bits(&pruned) {
            return Err(format!("remove changed {}", outcome.method.label()).into());
        }
    }
    println!("remove: all values of all {} networks are bitwise unchanged", outcomes.len() + rounds.len());
    Ok(())
}

fn train_dense(training: &Digits) -> Result<Network> {
    let mut network = Network::new(64, &[128, 64], 10, SEED);
    let bar = progress("training", DENSE.epochs)?;
    train(&mut network, training, &DENSE, |loss| {
        bar.set_message(format!("loss {loss:.4}"));
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    Ok(network)
}

/// Prunes the same dense network by every method and amount.
fn compare(dense: &Network, data: (&Digits, &Digits)) -> Result<Vec<Outcome>> {
    let bar = progress("pruning and fine-tuning", Method::ALL.len() * AMOUNTS.len())?;
    let mut outcomes = Vec::new();
    for method in Method::ALL {
        bar.set_message(method.label());
        for amount in AMOUNTS {
            outcomes.push(prune_once(dense, method, amount, data, &FINE_TUNING)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(outcomes)
}

fn in_rounds(dense: &Network, data: (&Digits, &Digits)) -> Result<Vec<Outcome>> {
    let bar = progress("pruning in rounds", ROUNDS)?;
    let outcomes = prune_iteratively(dense, Method::L1Global, 0.95, ROUNDS, data, &FINE_TUNING, || bar.inc(1))?;
    bar.finish_and_clear();
    Ok(outcomes)
}

/// Returns a progress bar on standard error, which is hidden if that is not a terminal.
fn progress(task: &'static str, steps: usize) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{prefix} {bar:40} {pos}/{len}  {msg}")?;
    Ok(ProgressBar::new(steps as u64).with_style(style).with_prefix(task))
}
