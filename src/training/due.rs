//! A due step of a session: everything is decided, then everything is committed.

use std::convert::Infallible;

use crate::amount::Amount;
use crate::element::Element;
use crate::error::PruneError;
use crate::functional::check_global;
use crate::method::{PruningMethod, Units};
use crate::parameter::{ImportanceScores, Parameter};
use crate::score::saliency::magnitude;
use crate::select::scores::infallible;
use crate::tensor::flat;
use crate::training::allocation::{Allocation, Limits, check};
use crate::training::merge::merged_counts;
use crate::training::session::Session;

/// A step at which a session prunes.
pub(super) struct DueStep<'s, A: Element> {
    pub(super) session: &'s Session<A>,
    pub(super) step: u64,
    pub(super) level: f64,
}

/// A parameter of the session, and its scores if they are not its value.
pub(super) type Target<'m, A> = (&'m mut Parameter<A>, Option<ImportanceScores<'static, A>>);

impl<A: Element> DueStep<'_, A> {
    /// Prunes all parameters, or none and returns the reason. Returns the units of each afterwards.
    pub(super) fn prune(&self, mut targets: Vec<Target<'_, A>>) -> Result<Vec<Units>, PruneError> {
        let names = self.session.names();
        let probes: Vec<_> = names.iter().map(|name| self.method(name, 0)).collect::<Result<_, _>>()?;
        let mut methods = Vec::new();
        for ((name, level), ((parameter, _), probe)) in
            names.iter().zip(self.levels(&targets, &probes)?).zip(targets.iter().zip(&probes))
        {
            let units = parameter.units(probe)?;
            let count = Amount::Sparsity(level).count_remaining(units.all, units.left)?;
            methods.push(if count == 0 { None } else { Some(self.method(name, count)?) });
        }
        // An error draws nothing from a generator, so everything that can be refused is refused before the first decision.
        for ((parameter, _), method) in targets.iter().zip(&methods) {
            method.as_ref().map_or(Ok(()), |method| parameter.check(method))?;
        }
        let mut decided = Vec::new();
        for ((parameter, scores), method) in targets.iter().zip(methods) {
            let decision = method.as_ref().map(|method| parameter.decide(method, scores.as_ref())).transpose()?;
            decided.push(decision.zip(method));
        }
        for ((parameter, scores), decided) in targets.iter_mut().zip(decided) {
            if let Some((decision, method)) = decided {
                parameter.commit_method(&decision, method, scores.as_ref());
            }
        }
        targets.iter().zip(&probes).map(|((parameter, _), probe)| parameter.units(probe)).collect()
    }

    fn method(&self, name: &str, count: usize) -> Result<Box<dyn PruningMethod<A>>, PruneError> {
        self.session.method(name, self.step, count)
    }

    /// The sparsity of each parameter.
    fn levels(&self, targets: &[Target<'_, A>], probes: &[Box<dyn PruningMethod<A>>]) -> Result<Vec<f64>, PruneError> {
        let (allocation, bounds) = self.session.division();
        let bounds = bounds.validated()?;
        if allocation == Allocation::Uniform && (bounds.min..=bounds.max).contains(&self.level) {
            // Each parameter is rounded by itself, in its own units.
            return Ok(vec![self.level; targets.len()]);
        }
        let shapes: Vec<&[usize]> = targets.iter().map(|(parameter, _)| parameter.value().shape()).collect();
        let pruned: Vec<usize> = targets.iter().map(|(parameter, _)| parameter.pruned()).collect();
        let entries = |shape: &&[usize]| shape.iter().product::<usize>();
        let limits = shapes.iter().zip(&pruned).map(|(shape, &pruned)| Limits::of(entries(shape), pruned, bounds));
        let limits: Vec<Limits> = limits.collect();
        let total = Amount::Sparsity(self.level).count(shapes.iter().map(entries).sum())?;
        let total = total.max(pruned.iter().sum());
        check(&limits, total)?;
        let counts = match allocation.divide(&shapes, &limits, total) {
            Some(counts) => counts,
            None => {
                probes.iter().try_for_each(|probe| check_global(probe, targets.len()))?;
                let sorted: Vec<Vec<f64>> = targets.iter().map(|target| sorted_scores(allocation, target)).collect();
                let scores = |number: usize| Ok::<_, Infallible>(sorted[number].clone());
                infallible(merged_counts(&limits, total, &pruned, scores))
            }
        };
        let share = |(limits, count): (&Limits, usize)| match limits.entries {
            0 => 0.0,
            entries => count as f64 / entries as f64,
        };
        Ok(limits.iter().zip(counts).map(share).collect())
    }
}

/// The scores of the remaining entries by which parameters are compared, in ascending order.
fn sorted_scores<A: Element>(allocation: Allocation, (parameter, scores): &Target<'_, A>) -> Vec<f64> {
    let candidates = parameter.candidates(scores.as_ref());
    let scores = flat(&candidates.scores).iter().map(|&score| magnitude(score));
    allocation.sorted_scores(match parameter.mask() {
        None => scores.collect(),
        Some(mask) => scores.zip(mask.iter()).filter(|(_, kept)| *kept).map(|(score, _)| score).collect(),
    })
}
