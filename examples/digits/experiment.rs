//! Prune, measure, fine-tune, measure.

use crate::{
    data::Digits,
    network::Network,
    pruning::{Method, sparsity},
    training::{Recipe, train},
};
use std::error::Error;

/// What became of the dense network.
pub struct Outcome {
    pub method: Method,
    /// The fraction of the weights that are zero. Accuracies are fractions of the test images, 0..=1.
    pub sparsity: f64,
    pub pruned_accuracy: f64,
    pub tuned_accuracy: f64,
    /// The fine-tuned network, its masks still in place.
    pub network: Network,
}

/// Prunes a copy of `dense` and fine-tunes it; the masks hold while it trains.
pub fn prune_once(
    dense: &Network,
    method: Method,
    amount: f64,
    (training, test): (&Digits, &Digits),
    recipe: &Recipe,
) -> Result<Outcome, Box<dyn Error>> {
    let mut network = dense.clone();
    method.prune(&mut network, amount)?;
    let pruned_accuracy = network.accuracy(test)?;
    train(&mut network, training, recipe, |_| ())?;
    let tuned_accuracy = network.accuracy(test)?;
    Ok(Outcome { method, sparsity: sparsity(&network), pruned_accuracy, tuned_accuracy, network })
}

/// Prunes a copy of `dense` to the sparsity `target` in equal `rounds`, fine-tuning after each; one outcome a round.
///
/// The amount of a round is a fraction of the remaining weights, because the container of each parameter gives a method no
/// entries that earlier rounds pruned. Each round therefore keeps the same fraction of the weights, and all rounds together
/// keep that fraction to the power `rounds`.
pub fn prune_iteratively(
    dense: &Network,
    method: Method,
    target: f64,
    rounds: usize,
    (training, test): (&Digits, &Digits),
    recipe: &Recipe,
    mut after_round: impl FnMut(),
) -> Result<Vec<Outcome>, Box<dyn Error>> {
    let amount = 1.0 - (1.0 - target).powf(1.0 / rounds as f64);
    let mut outcomes: Vec<Outcome> = Vec::new();
    for _ in 0..rounds {
        let so_far = outcomes.last().map_or(dense, |outcome| &outcome.network);
        outcomes.push(prune_once(so_far, method, amount, (training, test), recipe)?);
        after_round();
    }
    Ok(outcomes)
}
