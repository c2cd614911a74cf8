//! The counts of an allocation: the entries to prune from each parameter, out of the amount of all together.

use std::sync::Arc;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::{Phase, ProgressCounter};
use crate::checkpoint::prune::layer_methods::MatchedMethods;
use crate::checkpoint::prune::loaded::LoadedTensor;
use crate::checkpoint::prune::plan::{ParameterPlan, Planner, built_in, request};
use crate::checkpoint::prune::remaining::RemainingEntries;
use crate::checkpoint::read::blocks::Buffer;
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::file::dtype::with_dtype;
use crate::method::Describe;
use crate::score::saliency::magnitude;
use crate::training::allocation::{Allocation, Bounds, Limits, check};
use crate::training::merge::{PASSES, merged_counts};

impl<'c> Planner<'c, '_> {
    /// Divides the amount of the only method among the parameters, and returns how many more entries to prune from each.
    pub fn allocate(
        &self,
        methods: &MatchedMethods<'_>,
        allocation: (Allocation, Bounds),
        plans: &[&mut ParameterPlan<'c>],
        remaining: &[RemainingEntries<'c>],
    ) -> Result<Arc<[usize]>, CheckpointError> {
        let (allocation, bounds) = allocation;
        let Some(method) = methods.only() else { return Err(CheckpointError::LayersWithAllocation) };
        let refused = || CheckpointError::NotAllocated { method: method.name().to_owned(), allocation };
        let failed = |source| CheckpointError::Method { source };
        let names: Vec<&str> = plans.iter().map(|plan| plan.parameter.name.as_str()).collect();
        let request = request(built_in(method).ok_or_else(refused)?, &names, failed)?;
        let amount = request.amount_of_entries().ok_or_else(refused)?;

        let bounds = bounds.validated().map_err(failed)?;
        let pruned: Vec<usize> = remaining.iter().map(RemainingEntries::pruned).collect();
        let limit = |(plan, &pruned): (&&mut ParameterPlan<'c>, _)| Limits::of(plan.parameter.entries, pruned, bounds);
        let limits: Vec<Limits> = plans.iter().zip(&pruned).map(limit).collect();
        let before: usize = pruned.iter().sum();
        let entries: usize = limits.iter().map(|limits| limits.entries).sum();
        let total = before + amount.count_remaining(entries, entries - before).map_err(failed)?;
        check(&limits, total).map_err(failed)?;

        let shapes: Vec<&[usize]> = plans.iter().map(|plan| plan.parameter.shape.as_slice()).collect();
        let counts = match allocation.divide(&shapes, &limits, total) {
            Some(counts) => counts,
            None if !request.ranks_magnitudes() => return Err(refused()),
            None => {
                let parameters: Vec<&ParameterEntry> = plans.iter().map(|plan| plan.parameter).collect();
                self.merge(allocation, &parameters, &limits, total, &pruned)?
            }
        };
        Ok(counts.into_iter().zip(pruned).map(|(count, pruned)| count - pruned).collect())
    }

    /// The counts of one ranking. Each pass loads one parameter after the other.
    fn merge(
        &self,
        allocation: Allocation,
        parameters: &[&ParameterEntry],
        limits: &[Limits],
        total: usize,
        pruned: &[usize],
    ) -> Result<Vec<usize>, CheckpointError> {
        let Self { checkpoint, pool, observer, group: _ } = *self;
        let bytes: u64 = parameters.iter().map(|parameter| checkpoint.tensors[parameter.weights].bytes).sum();
        let progress = ProgressCounter::new(observer, Phase::Ranking, PASSES * bytes);
        let mut buffer = Buffer::default();
        let counts = merged_counts(limits, total, pruned, |number| {
            let parameter = parameters[number];
            let magnitudes: Vec<f64> = with_dtype!(
                parameter.dtype,
                A: Element => {
                    let loaded = LoadedTensor::<A>::load(checkpoint, parameter, pool, &progress, &mut buffer)?;
                    let remains = |entry: usize| loaded.remaining.as_ref().is_none_or(|remaining| remaining[entry]);
                    let entries = loaded.weights.iter().enumerate().filter(|&(entry, _)| remains(entry));
                    entries.map(|(_, &x)| magnitude(x)).collect()
                },
                else => parameter.dtype.cannot_be_pruned(),
            );
            Ok::<_, CheckpointError>(allocation.sorted_scores(magnitudes))
        })?;
        progress.finish()?;
        Ok(counts)
    }
}
