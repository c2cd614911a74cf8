//! From the options to a plan for each parameter. Everything that can be refused is refused here, before anything is written.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::{Observer, Phase, ProgressCounter};
use crate::checkpoint::prune::candidates::{FileCandidates, widened};
use crate::checkpoint::prune::pruner::{PruneBy, Scope};
use crate::checkpoint::prune::remaining::{RemainingEntries, remaining_channels};
use crate::checkpoint::read::blocks::{Generic, Pool, dispatch};
use crate::checkpoint::read::mask_file::PackedMasks;
use crate::checkpoint::read::parameter::Parameter;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::checkpoint::report::SkipReason;
use crate::element::Element;
use crate::error::PruneError;
use crate::method::BuiltIn;
use crate::method::candidates::Remaining;
use crate::method::decision::Decision;
use crate::method::request::{Reads, Request};
use crate::pruning_type::PruningType;
use crate::tensor::channels::Channels;
use crate::tensor::chunk::CHUNK;

/// The plan for one parameter: skipped, or pruned with a new mask.
#[derive(Debug)]
pub(crate) struct ParameterPlan<'c> {
    pub parameter: &'c Parameter,
    /// The reason why the parameter is skipped; `None` if it is pruned. The other fields have no meaning if it is skipped.
    pub skip: Option<SkipReason>,
    pub mask: MaskPlan<'c>,
    /// The requested number of units, if that is a number of this parameter alone.
    pub requested: Option<usize>,
    /// The number of entries that are pruned before the run.
    pub before: usize,
    /// The number of entries that are pruned after the run, once it is known.
    pub after: Option<usize>,
}

/// The plan for a new mask, which clears entries of the mask in the input.
#[derive(Debug)]
pub(crate) enum MaskPlan<'c> {
    /// The mask in the input, unchanged.
    Unchanged,
    /// The entries that a method requests of this parameter alone.
    Request { request: Request, remaining: RemainingEntries<'c> },
    /// A decision about all parameters together, ranked as `f64`. This parameter is the segment, and its first chunk has the
    /// number `first_chunk`.
    Global { decision: Arc<Decision<f64>>, segment: usize, first_chunk: usize },
    /// The mask in a mask file.
    File(Arc<PackedMasks>),
    /// The zeros among the weights.
    Zeros,
}

impl<'c> ParameterPlan<'c> {
    /// A plan that skips the parameter for the reason, or that keeps its mask.
    pub fn new(parameter: &'c Parameter, skip: Option<SkipReason>) -> Self {
        Self { parameter, skip, mask: MaskPlan::Unchanged, requested: None, before: 0, after: None }
    }
}

/// The origin of the new masks, opened.
pub(crate) enum MaskOrigin<'p> {
    Method(&'p dyn BuiltIn),
    File(Arc<PackedMasks>),
}

impl<'p> MaskOrigin<'p> {
    pub fn open(by: &'p PruneBy) -> Result<Self, CheckpointError> {
        match by {
            PruneBy::Method(method) => Ok(Self::Method(&**method)),
            PruneBy::MaskFile(path) => Ok(Self::File(Arc::new(PackedMasks::open(path)?))),
        }
    }

    /// The axis of a structured method.
    fn dim(&self) -> Option<isize> {
        match self {
            Self::Method(method) => method.pruning_type().channels(),
            Self::File(_) => None,
        }
    }
}

/// The numbers of a report that concern all parameters.
#[derive(Default)]
pub(crate) struct Totals {
    pub requested: Option<usize>,
    pub threshold: Option<f64>,
}

/// Returns the seed of a tensor in a random pruning with [`Scope::Tensor`](crate::checkpoint::Scope::Tensor).
///
/// With it, [`RandomUnstructured`](crate::RandomUnstructured) and [`RandomStructured`](crate::RandomStructured) give the
/// tensor the same mask in memory. The seed consists of the first eight bytes, in little-endian order, that ChaCha8 generates
/// for `seed` in the stream with the number of the 64-bit FNV-1a hash of the name.
pub fn tensor_seed(seed: u64, tensor: &str) -> u64 {
    let hash = tensor.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
    });
    let mut stream = ChaCha8Rng::seed_from_u64(seed);
    stream.set_stream(hash);
    stream.next_u64()
}

/// Plans the pruning of the selected parameters.
pub(crate) struct Planner<'c, 'o> {
    pub checkpoint: &'c Checkpoint,
    pub pool: &'c Pool,
    pub observer: &'o dyn Observer,
}

impl<'c> Planner<'c, '_> {
    /// Fills in the plans of the parameters that are not skipped.
    pub fn plan(
        &self,
        origin: &MaskOrigin<'_>,
        scope: Scope,
        plans: &mut [ParameterPlan<'c>],
    ) -> Result<Totals, CheckpointError> {
        let mut plans: Vec<_> = plans.iter_mut().filter(|plan| plan.skip.is_none()).collect();
        plans.iter().try_for_each(|plan| check_shape(plan.parameter))?;
        let progress = self.counting(origin, &plans);
        let count =
            |plan: &&mut ParameterPlan<'c>| RemainingEntries::of(self.checkpoint, plan.parameter, self.pool, &progress);
        let remaining = plans.iter().map(count).collect::<Result<Vec<_>, _>>()?;
        for (plan, remaining) in plans.iter_mut().zip(&remaining) {
            plan.before = remaining.pruned();
        }
        match (origin, scope) {
            (MaskOrigin::File(masks), _) => {
                progress.finish()?;
                plans.iter_mut().for_each(|plan| plan.mask = MaskPlan::File(Arc::clone(masks)));
                Ok(Totals::default())
            }
            (MaskOrigin::Method(method), Scope::Tensor) => {
                for (plan, remaining) in plans.iter_mut().zip(remaining) {
                    self.plan_tensor(*method, plan, remaining, &progress)?;
                }
                progress.finish()?;
                Ok(Totals { requested: plans.iter().map(|plan| plan.requested).sum(), threshold: None })
            }
            (MaskOrigin::Method(method), Scope::Global) => {
                if method.pruning_type() != PruningType::Unstructured {
                    return Err(CheckpointError::NotUnstructured { method: method.name().to_owned() });
                }
                progress.finish()?;
                self.plan_global(*method, &mut plans, &remaining)
            }
        }
    }

    /// The progress of reading masks: once to count entries and, for a structured method, once more to find channels.
    fn counting(&self, origin: &MaskOrigin<'_>, plans: &[&mut ParameterPlan<'c>]) -> ProgressCounter<'_> {
        let masks = plans.iter().filter_map(|plan| plan.parameter.mask);
        let bytes: u64 = masks.map(|mask| self.checkpoint.tensors[mask].bytes).sum();
        let passes = if origin.dim().is_some() { 2 } else { 1 };
        ProgressCounter::new(self.observer, Phase::Counting, passes * bytes)
    }

    /// Plans the pruning of one parameter alone.
    fn plan_tensor(
        &self,
        method: &dyn BuiltIn,
        plan: &mut ParameterPlan<'c>,
        remaining: RemainingEntries<'c>,
        progress: &ProgressCounter<'_>,
    ) -> Result<(), CheckpointError> {
        let parameter = plan.parameter;
        let channels = method.pruning_type().channels();
        let channels = channels.map(|dim| self.channels(parameter, dim, progress)).transpose()?;
        let candidates = Remaining {
            name: Some(&parameter.name),
            shape: &parameter.shape,
            dtype: dispatch(parameter.dtype, NameAndSize),
            entries: remaining.count,
            channels,
        };
        let request = request(method, candidates, |source| refused(parameter, source))?;
        let request = request.reseeded(|seed| tensor_seed(seed, &parameter.name));
        plan.requested = request.count();
        plan.after = request.pruned(parameter.entries, plan.before);
        plan.mask = MaskPlan::Request { request, remaining };
        Ok(())
    }

    /// The channels of a parameter along an axis, and those with a remaining entry.
    fn channels(
        &self,
        parameter: &Parameter,
        dim: isize,
        progress: &ProgressCounter<'_>,
    ) -> Result<(Channels, Vec<usize>), CheckpointError> {
        let channels = Channels::of(&parameter.shape, dim).map_err(|source| refused(parameter, source))?;
        let remaining = remaining_channels(self.checkpoint, parameter, &channels, self.pool, progress)?;
        Ok((channels, remaining))
    }

    /// Plans the pruning of all parameters with one ranking, or one draw.
    fn plan_global(
        &self,
        method: &dyn BuiltIn,
        plans: &mut [&mut ParameterPlan<'c>],
        remaining: &[RemainingEntries<'c>],
    ) -> Result<Totals, CheckpointError> {
        let dtype = common_dtype(plans.iter().map(|plan| plan.parameter.dtype));
        let entries = remaining.iter().map(|remaining| remaining.count).sum();
        let (shape, dtype_info) = (&[entries], dispatch(dtype, NameAndSize));
        let candidates = Remaining { name: None, shape, dtype: dtype_info, entries, channels: None };
        let request = request(method, candidates, |source| CheckpointError::Method { source })?;

        let total = match request.reads() {
            Reads::Nothing => 0,
            Reads::Pieces | Reads::Rows | Reads::Whole => {
                plans.iter().map(|plan| self.checkpoint.tensors[plan.parameter.weights].bytes).sum()
            }
        };
        let progress = ProgressCounter::new(self.observer, Phase::Ranking, total);
        let decision = dispatch(dtype, Decide { planner: self, remaining, request: &request, progress: &progress })?;
        progress.finish()?;

        let threshold = match &decision {
            Decision::Lowest(threshold) => Some(f64::from_bits(threshold.key)),
            Decision::Keep
            | Decision::Random(_)
            | Decision::Candidates(_)
            | Decision::Channels(..)
            | Decision::Mask(_)
            | Decision::Groups(..) => None,
        };
        let decision = Arc::new(decision);
        let mut first_chunk = 0;
        for (segment, plan) in plans.iter_mut().enumerate() {
            plan.mask = MaskPlan::Global { decision: Arc::clone(&decision), segment, first_chunk };
            plan.after = (request.count() == Some(0)).then_some(plan.before);
            first_chunk += plan.parameter.entries.div_ceil(CHUNK);
        }
        Ok(Totals { requested: request.count(), threshold })
    }
}

/// The request of a method, if it can be carried out on files.
fn request(
    method: &dyn BuiltIn,
    candidates: Remaining<'_>,
    refused: impl FnOnce(PruneError) -> CheckpointError,
) -> Result<Request, CheckpointError> {
    let request = method.request(candidates).map_err(refused)?;
    match request.only_in_memory() {
        None => Ok(request),
        Some(what) => Err(CheckpointError::OnlyInMemory { method: method.name().to_owned(), what }),
    }
}

fn refused(parameter: &Parameter, source: PruneError) -> CheckpointError {
    CheckpointError::Tensor { tensor: parameter.name.clone(), source }
}

/// Returns `Ok` if the product of the nonzero sizes of a parameter does not overflow. The length of the file does not limit
/// the sizes of a tensor without entries, and no method should have to check for that.
fn check_shape(parameter: &Parameter) -> Result<(), CheckpointError> {
    let mut sizes = parameter.shape.iter().copied().filter(|&size| size > 0);
    match sizes.try_fold(1, usize::checked_mul) {
        Some(_) => Ok(()),
        None => {
            let found = parameter.shape.clone();
            Err(CheckpointError::ImpossibleShape { tensor: parameter.name.clone(), found })
        }
    }
}

/// The dtype that holds the values of all these dtypes: their own if they are equal.
fn common_dtype(mut dtypes: impl Iterator<Item = Dtype> + Clone) -> Dtype {
    use ::safetensors::Dtype::{F32, F64};
    let has_f64 = dtypes.clone().any(|dtype| dtype.0 == F64);
    match dtypes.next() {
        Some(first) if dtypes.all(|dtype| dtype == first) => first,
        Some(_) | None if has_f64 => Dtype(F64),
        Some(_) | None => Dtype(F32),
    }
}

/// Decides about all parameters, ranked in one type.
struct Decide<'s, 'c, 'o> {
    planner: &'s Planner<'c, 'o>,
    remaining: &'s [RemainingEntries<'c>],
    request: &'s Request,
    progress: &'s ProgressCounter<'o>,
}

impl Generic for Decide<'_, '_, '_> {
    type Output = Result<Decision<f64>, CheckpointError>;

    fn run<W: Element>(self) -> Self::Output {
        let Self { planner: Planner { checkpoint, pool, .. }, remaining, request, progress } = self;
        Ok(widened(request.decide(&FileCandidates::<W>::new(checkpoint, remaining, pool, progress))?))
    }
}

/// The name of a dtype and the size of an element in bytes.
struct NameAndSize;

impl Generic for NameAndSize {
    type Output = (&'static str, usize);

    fn run<A: Element>(self) -> Self::Output {
        (A::DTYPE, size_of::<A>())
    }
}

#[cfg(test)]
mod tests {
    use ::safetensors::Dtype::{self as D, BF16, F16, F32, F64};

    use super::*;

    /// The type is exact, and no wider than that: 64-bit keys take more time, and twice the memory.
    #[test]
    fn tensors_are_ranked_in_the_narrowest_type_for_all() {
        let ranked_in = |dtypes: &[D]| common_dtype(dtypes.iter().map(|&dtype| Dtype(dtype))).0;
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
