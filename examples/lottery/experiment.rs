//! Dense, tickets, random masks.

use prune::training::{Allocation, Schedule, Session, Snapshot};
use prune::{Amount, L1Unstructured, Module, PruneError, RandomUnstructured, global_unstructured, parameters_mut};

use crate::{data::Mnist1d, network::Network, training::train};

/// The origin of a network's mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    /// Nothing.
    Dense,
    /// The lowest magnitudes after training are pruned, and the rest goes back to its start.
    Ticket,
    /// The same numbers of entries, at random.
    Random,
}

impl Arm {
    pub fn label(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Ticket => "ticket",
            Self::Random => "random",
        }
    }
}

/// The training of one network.
pub struct Run {
    pub arm: Arm,
    pub sparsity: f64,
    /// The number of weights and biases that are not pruned.
    pub kept: usize,
    /// The accuracies at the evaluations, in percent.
    pub accuracies: Vec<f64>,
}

impl Run {
    /// Returns the mean of the last five evaluations, which varies least from seed to seed.
    pub fn mean(&self) -> f64 {
        let last = &self.accuracies[self.accuracies.len().saturating_sub(5)..];
        last.iter().sum::<f64>() / last.len() as f64
    }

    /// Returns the highest accuracy, as published.
    pub fn max(&self) -> f64 {
        self.accuracies.iter().copied().fold(0.0, f64::max)
    }
}

/// The settings.
pub struct Experiment {
    /// The neurons of each hidden layer.
    pub hidden: usize,
    pub steps: usize,
    /// The sparsities of the tickets, rising.
    pub tickets: &'static [f64],
    /// The sparsities of the random masks.
    pub randoms: &'static [f64],
    pub seed: u64,
}

impl Experiment {
    /// Returns the number of trainings.
    pub fn runs(&self) -> usize {
        1 + self.tickets.len() + self.randoms.len()
    }

    /// Trains everything, and calls `after_step` with a label after every step.
    pub fn run(&self, data: &Mnist1d, mut after_step: impl FnMut(&str)) -> Result<Vec<Run>, PruneError> {
        let mut runs = Vec::new();
        let mut train_run = |network: &mut Network, arm: Arm, sparsity: f64| -> Result<(), PruneError> {
            let label = format!("{} {sparsity}", arm.label());
            let accuracies = train(network, data, self.steps, || after_step(&label))?;
            let kept = network.named_parameters().iter().map(|(_, p)| p.value().len() - p.pruned()).sum();
            runs.push(Run { arm, sparsity, kept, accuracies });
            Ok(())
        };

        let mut network = Network::new(self.hidden, self.seed);
        let start = Snapshot::of(&network);
        let mut sessions = self.sessions()?;
        // Step 0 is dense; each of the others prunes what the training before it has left lowest.
        for sparsity in [0.0].iter().chain(self.tickets) {
            for session in &mut sessions {
                session.step(&mut network)?;
            }
            start.rewind(&mut network)?;
            train_run(&mut network, if *sparsity == 0.0 { Arm::Dense } else { Arm::Ticket }, *sparsity)?;
        }
        for (number, &sparsity) in self.randoms.iter().enumerate() {
            start.restore(&mut network)?;
            for (layer, name) in Network::LAYERS.iter().enumerate() {
                let seed = self.seed + 1000 * (number + 1) as u64 + layer as u64;
                let method = RandomUnstructured::new(Amount::sparsity(sparsity), seed)?;
                global_unstructured(parameters_mut(&mut network, &weight_and_bias(name))?, method)?;
            }
            train_run(&mut network, Arm::Random, sparsity)?;
        }
        Ok(runs)
    }

    /// Returns a session for each layer: every layer has the same sparsity, its weight and its bias in one ranking.
    fn sessions(&self) -> Result<Vec<Session<f32>>, PruneError> {
        let steps: Vec<(u64, f64)> = (1..).zip(self.tickets.iter().copied()).collect();
        let schedule = Schedule::list(&steps)?;
        let session = |layer: &&str| -> Session<f32> {
            let method = |due: prune::training::Due<'_>| L1Unstructured::new(due.amount);
            Session::new(&weight_and_bias(layer), schedule.clone(), method).allocation(Allocation::Global)
        };
        Ok(Network::LAYERS.iter().map(session).collect())
    }
}

fn weight_and_bias(layer: &str) -> [String; 2] {
    [format!("{layer}.weight"), format!("{layer}.bias")]
}
