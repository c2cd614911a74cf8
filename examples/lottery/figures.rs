//! The published accuracies, and the ranges in which ours are.

use crate::experiment::{Arm, Run};

/// The published and measured accuracies of one mask.
pub struct Figure {
    pub arm: Arm,
    pub sparsity: f64,
    /// The highest accuracies of the two published trials.
    pub published: Option<[f64; 2]>,
    /// The range of the mean of the last five evaluations: three seeds in PyTorch and one here, with room.
    pub range: Option<(f64, f64)>,
}

const fn figure(arm: Arm, sparsity: f64, published: Option<[f64; 2]>, range: Option<(f64, f64)>) -> Figure {
    Figure { arm, sparsity, published, range }
}

/// The table of <https://github.com/greydanus/mnist1d>, which was pruned in steps of 1 %, and ranked by the weights of step 1000.
pub const FIGURES: [Figure; 13] = [
    figure(Arm::Dense, 0.0, Some([66.4, 65.4]), Some((60.0, 67.0))),
    figure(Arm::Ticket, 0.3, None, None),
    figure(Arm::Ticket, 0.5, None, None),
    figure(Arm::Ticket, 0.7, Some([70.7, 71.9]), None),
    figure(Arm::Ticket, 0.8, Some([72.9, 72.1]), Some((66.0, 74.0))),
    figure(Arm::Ticket, 0.91, Some([75.0, 72.9]), Some((67.0, 75.0))),
    figure(Arm::Ticket, 0.95, Some([71.8, 70.8]), Some((64.0, 74.0))),
    // 55 and not 58: with four prunings instead of eight, less of the last ticket is left.
    figure(Arm::Ticket, 0.97, Some([69.0, 68.3]), Some((55.0, 70.0))),
    figure(Arm::Ticket, 0.98, Some([63.9, 65.0]), Some((55.0, 66.0))),
    figure(Arm::Random, 0.91, Some([62.3, 62.1]), Some((57.0, 66.0))),
    figure(Arm::Random, 0.95, Some([58.0, 56.1]), Some((49.0, 59.0))),
    figure(Arm::Random, 0.97, Some([41.2, 43.9]), Some((36.0, 49.0))),
    figure(Arm::Random, 0.98, Some([35.0, 27.4]), Some((22.0, 37.0))),
];

/// Returns what is known about a run.
pub fn figure_of(run: &Run) -> Option<&'static Figure> {
    FIGURES.iter().find(|figure| figure.arm == run.arm && figure.sparsity == run.sparsity)
}

/// The origin of a mask, and its sparsity.
type Network = (Arm, f64);

/// Differences that every complete run had, with room: of the first mask and the second, at least so much.
const ORDER: [(Network, Network, f64); 7] = [
    ((Arm::Ticket, 0.8), (Arm::Dense, 0.0), 3.0),
    ((Arm::Ticket, 0.91), (Arm::Dense, 0.0), 3.0),
    ((Arm::Dense, 0.0), (Arm::Ticket, 0.98), 0.0),
    ((Arm::Ticket, 0.91), (Arm::Random, 0.91), 5.0),
    ((Arm::Ticket, 0.95), (Arm::Random, 0.95), 9.0),
    ((Arm::Ticket, 0.97), (Arm::Random, 0.97), 13.0),
    ((Arm::Ticket, 0.98), (Arm::Random, 0.98), 22.0),
];

/// Returns the accuracy of the mask, if it was trained.
pub fn mean_of(runs: &[Run], (arm, sparsity): Network) -> Option<f64> {
    runs.iter().find(|run| run.arm == arm && run.sparsity == sparsity).map(Run::mean)
}

/// Returns the first range or order that does not hold. Masks that were not trained are left out.
pub fn check(runs: &[Run]) -> Result<(), String> {
    for run in runs {
        let (label, mean) = (run.arm.label(), run.mean());
        if let Some((low, high)) =
            figure_of(run).and_then(|figure| figure.range).filter(|r| !(r.0..=r.1).contains(&mean))
        {
            return Err(format!("{label} {}: {mean:.1} %, expected {low} to {high} %", run.sparsity));
        }
    }
    for (better, worse, least) in ORDER {
        if let Some((a, b)) = mean_of(runs, better).zip(mean_of(runs, worse)).filter(|(a, b)| a - b < least) {
            let [better, worse] = [better, worse].map(|(arm, sparsity)| format!("{} {sparsity}", arm.label()));
            return Err(format!("{better} has {a:.1} % and {worse} {b:.1} %, expected {least} more"));
        }
    }
    Ok(())
}
