//! Prune, measure, fine-tune, measure.

use crate::{
    data::Digits,
    network::Network,
    pruning::{Method, sparsity},
    training::{Recipe, train},
};
use prune::Amount;
use std::error::Error;

/// A pruned copy of the dense network, and its accuracy.
pub struct Outcome {
    pub method: Method,
    /// The fraction of the weights that are zero. Accuracies are fractions of the test images, from 0 to 1.
    pub sparsity: f64,
    pub pruned_accuracy: f64,
    pub tuned_accuracy: f64,
    /// The fine-tuned network, with its masks.
    pub network: Network,
}

/// Prunes a copy of `dense` and fine-tunes it with its masks.
pub fn prune_once(
    dense: &Network,
    method: Method,
    amount: impl Into<Amount>,
    (training, test): (&Digits, &Digits),
    recipe: &Recipe,
) -> Result<Outcome, Box<dyn Error>> {
    let mut network = dense.clone();
    method.prune(&mut network, amount)?;
    let pruned_accuracy = network.accuracy(test);
    train(&mut network, training, recipe, |_| ())?;
    let tuned_accuracy = network.accuracy(test);
    Ok(Outcome { method, sparsity: sparsity(&network), pruned_accuracy, tuned_accuracy, network })
}

/// Prunes a copy of `dense` to the sparsity `target` in `rounds`, with fine-tuning after each. Returns one outcome per round.
///
/// Each round keeps the same fraction `f` of the remaining weights, so `f^i` of all weights are kept after round `i`.
/// [`Amount::sparsity`] names the sparsity that a round ends with, and counts the weights pruned by earlier rounds towards it.
pub fn prune_iteratively(
    dense: &Network,
    method: Method,
    target: f64,
    rounds: usize,
    (training, test): (&Digits, &Digits),
    recipe: &Recipe,
    mut after_round: impl FnMut(),
) -> Result<Vec<Outcome>, Box<dyn Error>> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for round in 1..=rounds {
        let so_far = outcomes.last().map_or(dense, |outcome| &outcome.network);
        let amount = Amount::sparsity(1.0 - (1.0 - target).powf(round as f64 / rounds as f64));
        outcomes.push(prune_once(so_far, method, amount, (training, test), recipe)?);
        after_round();
    }
    Ok(outcomes)
}
