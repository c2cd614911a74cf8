//! The plan for global scope: one ranking, or one random subset, of all parameters.

use std::sync::Arc;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::{Phase, ProgressCounter};
use crate::checkpoint::prune::candidates::{FileCandidates, FileScores, widened};
use crate::checkpoint::prune::plan::{MaskPlan, ParameterPlan, Planner, Totals, built_in, name_and_size, request};
use crate::checkpoint::prune::remaining::RemainingEntries;
use crate::checkpoint::read::blocks::Pool;
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::file::dtype::with_dtype;
use crate::key::Ranked;
use crate::method::decision::{ChunkId, Decision};
use crate::method::request::{Remaining, Request, Score};
use crate::method::resolved::{Reads, ResolvedRequest};
use crate::method::{AnyMethod, Describe, RandomSource};
use crate::select::random::{Parts, RandomSubset};
use crate::select::{Bracket, Histogram, TieBreak};
use crate::tensor::channels::Channels;
use crate::tensor::numbered::NumberedGroups;

impl<'c> Planner<'c, '_> {
    /// Plans the pruning of all parameters together.
    pub(super) fn plan_global(
        &self,
        method: &AnyMethod,
        plans: &mut [&mut ParameterPlan<'c>],
        remaining: &[RemainingEntries<'c>],
    ) -> Result<Totals, CheckpointError> {
        let request = self.request_global(method, plans, remaining)?;
        let requested = request.count();
        let (decision, threshold) = match self.group.is_alone() {
            true => self.decide(&request, remaining)?,
            false => self.decide_together(method, &request, remaining)?,
        };
        let decision = Arc::new(decision);
        let entries: Vec<usize> = plans.iter().map(|plan| plan.parameter.entries).collect();
        for (plan, first) in plans.iter_mut().zip(ChunkId::of_tensors(entries.into_iter())) {
            plan.mask = MaskPlan::Global { decision: Arc::clone(&decision), first };
            plan.after = (requested == Some(0)).then_some(plan.before);
        }
        Ok(Totals { requested, counts_groups: false, threshold, of_each: false })
    }

    /// The request of the method for the parameters of all processes.
    fn request_global(
        &self,
        method: &AnyMethod,
        plans: &[&mut ParameterPlan<'c>],
        remaining: &[RemainingEntries<'c>],
    ) -> Result<ResolvedRequest, CheckpointError> {
        let name = || method.name().to_owned();
        let Some(built_in) = built_in(method) else {
            return Err(CheckpointError::OnlyInMemory { method: name(), what: "global scope of a custom method" });
        };
        let names: Vec<&str> = plans.iter().map(|plan| plan.parameter.name.as_str()).collect();
        let shapes: Vec<&[usize]> = plans.iter().map(|plan| plan.parameter.shape.as_slice()).collect();
        let refused = |source| CheckpointError::Method { source };
        let request = self.group.agree(request(built_in, &names, refused))?;
        if matches!(request, Request::Lowest { tie_break: TieBreak::PyTorch, .. }) {
            return Err(CheckpointError::OnlyInMemory { method: name(), what: "global scope of TieBreak::PyTorch" });
        }
        let no_channels = |_: &Channels| Err(CheckpointError::NotUnstructured { method: name() });
        let no_groups = |_: &NumberedGroups, _| Err(CheckpointError::NotUnstructured { method: name() });
        let entries = plans.iter().map(|plan| plan.parameter.entries).sum();
        let left = remaining.iter().map(|remaining| remaining.count).sum();
        let [entries, left] = self.group.sum([entries, left])?;
        let dtype = name_and_size(common_dtype(remaining));
        let tensors = Remaining { shapes: &shapes, dtype, entries, remaining: left };
        request.resolve(tensors, no_channels, no_groups, refused)
    }

    /// The decision about the parameters of this process alone, and its threshold, if it has one.
    fn decide(
        &self,
        request: &ResolvedRequest,
        remaining: &[RemainingEntries<'c>],
    ) -> Result<(Decision<f64>, Option<f64>), CheckpointError> {
        let total = match request.reads() {
            Reads::Nothing => 0,
            Reads::Pieces | Reads::Rows | Reads::Whole => self.bytes(remaining),
        };
        let progress = ProgressCounter::new(self.observer, Phase::Ranking, total);
        let dtype = common_dtype(remaining);
        let decision = with_dtype!(
            dtype,
            W: Element => {
                let candidates = FileCandidates::<W>::new(self.checkpoint, remaining, self.pool, &progress);
                widened(request.decide(&candidates)?)
            },
            else => dtype.cannot_be_pruned(),
        );
        progress.finish()?;
        let threshold = match (request, &decision) {
            (ResolvedRequest::UpTo { key: 0, ties: 0 }, _) => None, // nothing is pruned
            // The types of these parameters may not hold it.
            (&ResolvedRequest::UpTo { key, .. }, _) => Some(f64::from_bits(key)),
            (_, Decision::Lowest(threshold)) => Some(f64::from_bits(threshold.key)),
            (
                _,
                Decision::Keep
                | Decision::LowestInRanges(_)
                | Decision::LowestScaled(..)
                | Decision::InGroups(_)
                | Decision::Groups(_)
                | Decision::Random(_)
                | Decision::Candidates(_)
                | Decision::Channels(..)
                | Decision::Mask(_),
            ) => None,
        };
        Ok((decision, threshold))
    }

    /// The decision about the parameters of all processes, for those of this one, and its threshold.
    fn decide_together(
        &self,
        method: &AnyMethod,
        request: &ResolvedRequest,
        remaining: &[RemainingEntries<'c>],
    ) -> Result<(Decision<f64>, Option<f64>), CheckpointError> {
        match request {
            request if request.count() == Some(0) => Ok((Decision::Keep, None)),
            &ResolvedRequest::Lowest { count, score: Score::Magnitude, tie_break: TieBreak::LowestIndex } => {
                let (up_to, threshold) = self.lowest_together(count, remaining)?;
                // A process that has no entry to prune at it reports it too.
                let (decision, _) = self.decide(&up_to, remaining)?;
                Ok((decision, Some(threshold)))
            }
            ResolvedRequest::Random { count, source: RandomSource::Seed(seed), .. } => {
                let chunks: Vec<usize> = remaining.iter().flat_map(RemainingEntries::in_chunks).collect();
                let entries = remaining.iter().map(|remaining| remaining.parameter.entries).sum();
                let subset = RandomSubset::of_part(*seed, &chunks, entries, *count, self.group)?;
                Ok((Decision::Random(Arc::new(subset)), None))
            }
            ResolvedRequest::Nothing
            | ResolvedRequest::Lowest { .. }
            | ResolvedRequest::UpTo { .. }
            | ResolvedRequest::Random { .. }
            | ResolvedRequest::Channels { .. }
            | ResolvedRequest::InGroups(_)
            | ResolvedRequest::Groups(_)
            | ResolvedRequest::Mask(_) => {
                Err(CheckpointError::NotShared { what: format!("global scope of {}", method.name()) })
            }
        }
    }

    /// Finds the magnitude of rank `count` among the entries of all processes, and the ties of this one that are pruned.
    fn lowest_together(
        &self,
        count: usize,
        remaining: &[RemainingEntries<'c>],
    ) -> Result<(ResolvedRequest, f64), CheckpointError> {
        let parameters: Vec<_> = remaining.iter().map(|remaining| remaining.parameter).collect();
        let mut bracket = Bracket::all();
        loop {
            let progress = ProgressCounter::new(self.observer, Phase::Ranking, self.bytes(remaining));
            let mut own = Histogram::within(&bracket);
            let counted = count_magnitudes(self.checkpoint, &parameters, &mut own, self.pool, &progress);
            self.group.agree(counted.and_then(|()| progress.finish()))?;
            let mut all = own.clone();
            self.group.add_up(all.counts_mut())?;
            // The k-th entry is within the bracket, unless entries have changed.
            bracket = all.bracket(count as u64).ok_or(CheckpointError::CountsChanged)?;
            if let Some(threshold) = bracket.threshold() {
                let ties = own.rank(threshold).1 as usize;
                let pruned = (count - bracket.below() as usize).saturating_sub(self.group.before(ties)?);
                let ties = if pruned >= ties { usize::MAX } else { pruned };
                return Ok((ResolvedRequest::UpTo { key: threshold.key(), ties }, threshold));
            }
        }
    }

    /// The bytes of the weights of these parameters.
    fn bytes(&self, remaining: &[RemainingEntries<'c>]) -> u64 {
        remaining.iter().map(|remaining| self.checkpoint.tensors[remaining.parameter.weights].bytes).sum()
    }
}

/// Counts the magnitudes of the remaining entries of parameters, each in its own dtype.
pub(crate) fn count_magnitudes(
    checkpoint: &Checkpoint,
    parameters: &[&ParameterEntry],
    histogram: &mut Histogram,
    pool: &Pool,
    progress: &ProgressCounter<'_>,
) -> Result<(), CheckpointError> {
    use ::safetensors::Dtype::{BF16, F16, F32, F64};
    for dtype in [F16, BF16, F32, F64].map(Dtype) {
        let parameters = parameters.iter().copied().filter(|parameter| parameter.dtype == dtype);
        with_dtype!(
            dtype,
            A: Element => histogram.count(&FileScores::<A>::new(checkpoint, parameters, pool, progress))?,
            else => dtype.cannot_be_pruned(),
        );
    }
    Ok(())
}

/// The dtype in which parameters are ranked together.
fn common_dtype(remaining: &[RemainingEntries<'_>]) -> Dtype {
    widest(remaining.iter().map(|remaining| remaining.parameter.dtype))
}

/// The dtype that holds the values of all these dtypes: their own if they are equal.
fn widest(mut dtypes: impl Iterator<Item = Dtype> + Clone) -> Dtype {
    use ::safetensors::Dtype::{F32, F64};
    let has_f64 = dtypes.clone().any(|dtype| dtype.0 == F64);
    match dtypes.next() {
        Some(first) if dtypes.all(|dtype| dtype == first) => first,
        Some(_) | None if has_f64 => Dtype(F64),
        Some(_) | None => Dtype(F32),
    }
}

#[cfg(test)]
mod tests {
    use ::safetensors::Dtype::{self as D, BF16, F16, F32, F64};

    use super::*;

    /// The type is exact, and no wider than that: 64-bit keys take more time, and twice the memory.
    #[test]
    fn tensors_are_ranked_in_the_narrowest_type_for_all() {
        let ranked_in = |dtypes: &[D]| widest(dtypes.iter().map(|&dtype| Dtype(dtype))).0;
        for dtype in [F16, BF16, F32, F64] {
            assert_eq!(ranked_in(&[dtype]), dtype);
            assert_eq!(ranked_in(&[dtype; 3]), dtype);
        }
        for mixed in [&[F16, BF16][..], &[F16, F16, F32], &[F32, BF16], &[BF16, F16, F16]] {
            assert_eq!(ranked_in(mixed), F32, "{mixed:?}");
        }
        for mixed in [&[F64, F16][..], &[BF16, F64], &[F32, F32, F64], &[F16, BF16, F64, F32]] {
            assert_eq!(ranked_in(mixed), F64, "{mixed:?}");
        }
    }
}
