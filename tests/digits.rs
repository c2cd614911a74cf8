//! The example `digits` in a shorter setting: what its table shows is asserted here.

#![allow(dead_code, reason = "the example uses what these tests do not")]

#[path = "../examples/digits/data.rs"]
mod data;
#[path = "../examples/digits/experiment.rs"]
mod experiment;
#[path = "../examples/digits/network.rs"]
mod network;
#[path = "../examples/digits/pruning.rs"]
mod pruning;
#[path = "../examples/digits/training.rs"]
mod training;

use data::Digits;
use experiment::{prune_iteratively, prune_once};
use network::Network;
use prune::{Mask, Module, remove_all};
use pruning::{Method, bits, count_weights};
use std::{error::Error, sync::OnceLock};
use training::{Recipe, Sgd, train};

const DENSE: Recipe =
    Recipe { epochs: 12, batch: 32, learning_rate: 0.1, momentum: 0.9, weight_decay: 1e-3, seed: 888 };
const FINE_TUNING: Recipe = Recipe { epochs: 6, ..DENSE };

struct Trained {
    training: Digits,
    test: Digits,
    network: Network,
}

impl Trained {
    fn new() -> Result<Self, Box<dyn Error>> {
        let (training, test) = Digits::split(888)?;
        let mut network = Network::new(64, &[128, 64], 10, 888);
        train(&mut network, &training, &DENSE, |_| ())?;
        Ok(Self { training, test, network })
    }

    fn data(&self) -> (&Digits, &Digits) {
        (&self.training, &self.test)
    }
}

/// The dense network, trained once for all tests.
fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| Trained::new().expect("the dense network trains"))
}

#[test]
fn l1_global_with_fine_tuning_keeps_the_accuracy_and_random_pruning_loses_it() -> Result<(), Box<dyn Error>> {
    let dense = trained();
    let dense_accuracy = dense.network.accuracy(&dense.test);
    assert!(dense_accuracy >= 0.95, "dense: {dense_accuracy}");

    let l1 = prune_once(&dense.network, Method::L1Global, 0.9, dense.data(), &FINE_TUNING)?;
    assert!((l1.sparsity - 0.9).abs() < 1e-3, "sparsity: {}", l1.sparsity);
    assert!(l1.tuned_accuracy >= dense_accuracy - 0.015, "dense: {dense_accuracy}, L1 global: {}", l1.tuned_accuracy);

    let mut random = dense.network.clone();
    Method::Random.prune(&mut random, 0.9)?;
    let random = random.accuracy(&dense.test);
    assert!(random < l1.pruned_accuracy - 0.4, "random: {random}, L1 global: {}", l1.pruned_accuracy);
    Ok(())
}

#[test]
fn each_method_prunes_what_it_says() -> Result<(), Box<dyn Error>> {
    let dense = &trained().network;
    let cases = [
        (Method::Random, 17024 / 2),
        (Method::L1PerLayer, 17024 / 2),
        (Method::L1Global, 17024 / 2),
        // Half of the hidden neurons; the output layer stays.
        (Method::L2Neurons, (64 * 128 + 128 * 64) / 2 + 64 * 10),
    ];
    for (method, left) in cases {
        let mut network = dense.clone();
        method.prune(&mut network, 0.5)?;
        assert_eq!(count_weights(&network), (17024, left), "{}", method.label());
    }
    // A pruned neuron is silent: its bias is pruned with its weights.
    let mut network = dense.clone();
    Method::L2Neurons.prune(&mut network, 0.5)?;
    for layer in &network.hidden {
        let (weight, bias) = (layer.weight.value(), layer.bias.value());
        for (row, bias) in weight.outer_iter().zip(bias) {
            assert_eq!(row.iter().all(|&x| x == 0.0), *bias == 0.0);
        }
    }
    Ok(())
}

#[test]
fn rounds_prune_shares_of_what_is_left() -> Result<(), Box<dyn Error>> {
    let dense = trained();
    let recipe = Recipe { epochs: 1, ..FINE_TUNING };
    let mut calls = 0;
    let rounds = prune_iteratively(&dense.network, Method::L1Global, 0.95, 5, dense.data(), &recipe, || calls += 1)?;
    assert_eq!((rounds.len(), calls), (5, 5));
    for (round, outcome) in rounds.iter().enumerate() {
        let left = 0.05_f64.powf((round + 1) as f64 / 5.0);
        assert!((1.0 - outcome.sparsity - left).abs() < 1e-3, "round {round}: {}", outcome.sparsity);
        assert!(outcome.network.layers().all(|layer| layer.weight.methods().len() == round + 1));
    }
    for pair in rounds.windows(2) {
        for (before, after) in masks(&pair[0].network).iter().zip(masks(&pair[1].network)) {
            assert!(before.iter().zip(after.iter()).all(|(before, after)| before || !after), "an entry came back");
        }
    }
    Ok(())
}

#[test]
fn remove_changes_no_value() -> Result<(), Box<dyn Error>> {
    let dense = trained();
    let recipe = Recipe { epochs: 1, ..FINE_TUNING };
    for method in Method::ALL {
        let mut network = prune_once(&dense.network, method, 0.8, dense.data(), &recipe)?.network;
        let (before, accuracy) = (bits(&network), network.accuracy(&dense.test));
        assert!(prune::is_pruned(&network));
        remove_all(&mut network);
        assert!(!prune::is_pruned(&network));
        assert_eq!(bits(&network), before, "{}", method.label());
        assert_eq!(network.accuracy(&dense.test), accuracy);
    }
    Ok(())
}

/// One optimizer from before the pruning to after it: its momentum still pushes entries that have been pruned meanwhile.
#[test]
fn pruned_values_stay_zero_while_momentum_and_weight_decay_move_their_originals() -> Result<(), Box<dyn Error>> {
    let dense = trained();
    let mut network = dense.network.clone();
    let mut sgd = Sgd::new(&network, &DENSE);
    let batch = dense.training.select(&Vec::from_iter(0..32));
    let step = |network: &mut Network, sgd: &mut Sgd| -> Result<(), Box<dyn Error>> {
        let (_, gradients) = network.loss_and_gradients(&batch);
        Ok(sgd.step(network, gradients)?)
    };
    for _ in 0..5 {
        step(&mut network, &mut sgd)?;
    }
    Method::L1Global.prune(&mut network, 0.9)?;
    let at_pruning = network.clone();
    for _ in 0..20 {
        step(&mut network, &mut sgd)?;
        for (name, parameter) in network.named_parameters() {
            let Some(mask) = parameter.mask().map(Mask::to_array) else { continue };
            let pruned = parameter.value().iter().zip(&mask).filter(|(_, kept)| !**kept);
            assert!(pruned.clone().count() > 0 && pruned.clone().all(|(&value, _)| value == 0.0), "{name}");
            let kept = parameter.value().iter().zip(parameter.orig()).zip(&mask).filter(|(_, kept)| **kept);
            assert!(kept.clone().all(|((value, orig), _)| value.to_bits() == orig.to_bits()), "{name}");
        }
    }
    assert_eq!(masks(&network), masks(&at_pruning));
    for (before, after) in at_pruning.layers().zip(network.layers()) {
        let (before, after) = (&before.weight, &after.weight);
        let mask = after.mask().ok_or("the weight is pruned")?.to_array();
        let moved = |wanted: bool| {
            let entries = before.orig().iter().zip(after.orig()).zip(&mask);
            let entries = entries.filter(move |(_, kept)| **kept == wanted);
            entries.clone().filter(|((before, after), _)| before != after).count() as f64 / entries.count() as f64
        };
        assert!(moved(false) > 0.9, "originals under the mask drift: {}", moved(false));
        assert!(moved(true) > 0.9, "the others train: {}", moved(true));
    }
    Ok(())
}

fn masks(network: &Network) -> Vec<Mask> {
    network.named_parameters().into_iter().filter_map(|(_, parameter)| parameter.mask().cloned()).collect()
}
