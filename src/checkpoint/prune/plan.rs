//! From the options to a plan for each parameter. Everything that can be refused is refused here, before anything is written.

use std::sync::Arc;

use crate::amount::Amount;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::peers::Group;
use crate::checkpoint::progress::{Observer, Phase, ProgressCounter};
use crate::checkpoint::prune::calibrated::Measure;
use crate::checkpoint::prune::layer_methods::MatchedMethods;
use crate::checkpoint::prune::pruner::{PruneBy, Scope};
use crate::checkpoint::prune::remaining::{RemainingEntries, open_groups, remaining_channels};
use crate::checkpoint::read::blocks::Pool;
use crate::checkpoint::read::mask_file::MaskFile;
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::read::{Checkpoint, Dtype, Shard};
use crate::checkpoint::report::{CalibrationReport, ChannelAxis, SkipReason};
use crate::element::Element;
use crate::error::PruneError;
use crate::file::dtype::with_dtype;
use crate::method::built_in::BuiltIn;
use crate::method::decision::{ChunkId, Decision};
use crate::method::request::{Remaining, Request};
use crate::method::resolved::ResolvedRequest;
use crate::method::{AnyMethod, Describe, PruningMethod, tensor_seed};
use crate::pruning_type::PruningType;
use crate::training::{Allocation, Bounds};

/// The plan for one parameter: skipped, or pruned with a new mask.
#[derive(Debug)]
pub(crate) struct ParameterPlan<'c> {
    pub parameter: &'c ParameterEntry,
    /// The reason why the parameter is skipped; `None` if it is pruned. The other fields have no meaning if it is skipped.
    pub skip: Option<SkipReason>,
    pub mask: MaskPlan<'c>,
    /// The axis of the channels, if channels are pruned.
    pub axis: Option<ChannelAxis>,
    /// The requested number of units, if that is a number of this parameter alone.
    pub requested: Option<usize>,
    /// `true` if these units are groups.
    pub counts_groups: bool,
    /// The number of entries that are pruned before the run, by a mask. Once the plan is executed, those that were zero.
    pub before: usize,
    /// The number of entries that are pruned after the run, once it is known.
    pub after: Option<usize>,
    /// The measurement to make when the plan is executed.
    pub measure: Option<Measure>,
    /// The report of a method with data, once the plan is executed.
    pub calibration: Option<CalibrationReport>,
}

/// The plan for a new mask, which clears entries of the mask in the input.
#[derive(Debug)]
pub(crate) enum MaskPlan<'c> {
    /// The mask in the input, unchanged.
    Unchanged,
    /// The entries that a built-in method requests of this parameter alone.
    Request { request: ResolvedRequest, remaining: RemainingEntries<'c> },
    /// The entries that a custom method prunes of this parameter alone.
    Custom(AnyMethod),
    /// A decision about all parameters together, ranked as `f64`, and the place of this one's first chunk.
    Global { decision: Arc<Decision<f64>>, first: ChunkId },
    /// The mask in a mask file.
    File(Arc<MaskFile>),
    /// The zeros among the weights.
    Zeros,
}

impl<'c> ParameterPlan<'c> {
    /// A plan that skips the parameter for the reason, or that keeps its mask.
    pub fn new(parameter: &'c ParameterEntry, skip: Option<SkipReason>) -> Self {
        Self {
            parameter,
            skip,
            mask: MaskPlan::Unchanged,
            axis: None,
            requested: None,
            counts_groups: false,
            before: 0,
            after: None,
            measure: None,
            calibration: None,
        }
    }
}

/// The origin of the new masks, opened.
pub(crate) enum MaskOrigin<'p> {
    Methods(MatchedMethods<'p>),
    File(Arc<MaskFile>),
}

impl<'p> MaskOrigin<'p> {
    /// The mask file, which is an input.
    pub fn file(&self) -> Option<&Shard> {
        match self {
            Self::Methods(_) => None,
            Self::File(masks) => Some(&masks.file),
        }
    }

    pub fn open(by: &'p PruneBy) -> Result<Self, CheckpointError> {
        match by {
            PruneBy::Methods(methods) => Ok(Self::Methods(methods.matched()?)),
            PruneBy::MaskFile(path) => Ok(Self::File(Arc::new(MaskFile::open(path)?))),
        }
    }

    /// The number of times that masks are read to count: a second time for channels or groups. A custom
    /// method sees masks as a whole.
    fn passes(&self) -> u64 {
        match self {
            Self::Methods(methods) if methods.all().any(|method| prunes_channels(method) || prunes_groups(method)) => 2,
            Self::Methods(_) => 1,
            Self::File(_) => 1,
        }
    }
}

/// Returns `true` for a built-in method that prunes channels.
fn prunes_channels(method: &AnyMethod) -> bool {
    match (built_in(method), method.pruning_type()) {
        (Some(_), PruningType::Structured { .. }) => true,
        (Some(_), PruningType::Unstructured | PruningType::Groups | PruningType::Global) | (None, _) => false,
    }
}

/// Returns `true` for a built-in method that counts groups.
fn prunes_groups(method: &AnyMethod) -> bool {
    // A method that needs names does not count groups.
    built_in(method).is_some_and(|method| method.request(&[]).is_ok_and(|request| request.counts_groups()))
}

/// The method as a built-in one. The choice of the element type makes no difference.
pub(crate) fn built_in(method: &AnyMethod) -> Option<&dyn BuiltIn> {
    PruningMethod::<f32>::built_in(method)
}

/// The numbers of a report that concern all parameters.
#[derive(Default)]
pub(crate) struct Totals {
    pub requested: Option<usize>,
    /// `true` if the requested units are groups.
    pub counts_groups: bool,
    pub threshold: Option<f64>,
    /// `true` if the requested units are the sum of those of each parameter.
    pub of_each: bool,
}

/// Plans the pruning of the selected parameters.
pub(crate) struct Planner<'c, 'o> {
    pub checkpoint: &'c Checkpoint,
    pub pool: &'c Pool,
    pub observer: &'o dyn Observer,
    /// The processes of the run. Plans are filled in for the parameters of this one.
    pub group: &'o Group<'o>,
}

impl<'c> Planner<'c, '_> {
    /// Fills in the plans of the parameters that are not skipped.
    pub fn plan(
        &self,
        origin: &MaskOrigin<'_>,
        scope: Scope,
        allocation: Option<(Allocation, Bounds)>,
        plans: &mut [ParameterPlan<'c>],
    ) -> Result<Totals, CheckpointError> {
        let is_own = |parameter: &ParameterEntry| self.group.has(self.checkpoint.tensors[parameter.weights].shard);
        let own = plans.iter_mut().filter(|plan| plan.skip.is_none() && is_own(plan.parameter));
        let mut plans: Vec<_> = own.collect();
        let progress = self.counting(origin, &plans);
        let count =
            |plan: &&mut ParameterPlan<'c>| RemainingEntries::of(self.checkpoint, plan.parameter, self.pool, &progress);
        let shapes = plans.iter().try_for_each(|plan| check_shape(plan.parameter));
        let remaining = shapes.and_then(|()| plans.iter().map(count).collect::<Result<Vec<_>, _>>());
        let remaining = self.group.agree(remaining)?;
        for (plan, remaining) in plans.iter_mut().zip(&remaining) {
            plan.before = remaining.pruned();
        }
        match (origin, scope) {
            (MaskOrigin::File(masks), _) => {
                progress.finish()?;
                plans.iter_mut().for_each(|plan| plan.mask = MaskPlan::File(Arc::clone(masks)));
                Ok(Totals::default())
            }
            (MaskOrigin::Methods(_), Scope::Global) if allocation.is_some() => {
                Err(CheckpointError::AllocationWithGlobalScope)
            }
            (MaskOrigin::Methods(methods), Scope::Tensor) => {
                let counts = match allocation {
                    Some(allocation) => Some(self.allocate(methods, allocation, &plans, &remaining)?),
                    None => None,
                };
                for (number, (plan, remaining)) in plans.iter_mut().zip(remaining).enumerate() {
                    // Tensors without a method were skipped.
                    let Some(method) = methods.of(&plan.parameter.name) else { continue };
                    let count = counts.as_ref().map(|counts| counts[number]);
                    self.plan_tensor(method, count, plan, remaining, &progress)?;
                }
                progress.finish()?;
                let counted = || plans.iter().filter(|plan| plan.requested.is_some());
                let counts_groups = counted().any(|plan| plan.counts_groups);
                if counted().any(|plan| plan.counts_groups != counts_groups) {
                    return Err(CheckpointError::MixedUnits);
                }
                let requested = plans.iter().map(|plan| plan.requested).sum();
                Ok(Totals { requested, counts_groups, threshold: None, of_each: true })
            }
            (MaskOrigin::Methods(methods), Scope::Global) => {
                let Some(method) = methods.only() else { return Err(CheckpointError::LayersWithGlobalScope) };
                if method.pruning_type() != PruningType::Unstructured {
                    return Err(CheckpointError::NotUnstructured { method: method.name().to_owned() });
                }
                // The processes agree about more from here on, so none may go ahead without the others.
                self.group.agree(progress.finish())?;
                self.plan_global(method, &mut plans, &remaining)
            }
        }
    }

    /// The progress of reading masks: once to count entries and, for a structured method, once more to find channels.
    fn counting(&self, origin: &MaskOrigin<'_>, plans: &[&mut ParameterPlan<'c>]) -> ProgressCounter<'_> {
        let masks = plans.iter().filter_map(|plan| plan.parameter.mask);
        let bytes: u64 = masks.map(|mask| self.checkpoint.tensors[mask].bytes).sum();
        ProgressCounter::new(self.observer, Phase::Counting, origin.passes() * bytes)
    }

    /// Plans the pruning of one parameter alone. `count` is the number of entries to prune, if it is known already.
    fn plan_tensor(
        &self,
        method: &AnyMethod,
        count: Option<usize>,
        plan: &mut ParameterPlan<'c>,
        remaining: RemainingEntries<'c>,
        progress: &ProgressCounter<'_>,
    ) -> Result<(), CheckpointError> {
        let parameter = plan.parameter;
        let refused = |source| CheckpointError::Tensor { tensor: parameter.name.clone(), source };
        let Some(built_in) = built_in(method) else {
            // The data of the tensor is taken where the plan is executed, but missing now if it is.
            method
                .for_tensor(&parameter.name, &parameter.shape)
                .map(drop::<Option<Box<dyn PruningMethod<f32>>>>)
                .map_err(refused)?;
            plan.mask = MaskPlan::Custom(method.clone());
            return Ok(());
        };
        let request = request(built_in, &[&parameter.name], refused)?;
        let request = match count {
            Some(count) => request.with_amount(Amount::Count(count)),
            None => request,
        };
        plan.counts_groups = request.counts_groups();
        let request = match plan.axis {
            Some(ChannelAxis { axis, .. }) => request.along(axis),
            None => request,
        };
        let request = request.reseeded(|seed| tensor_seed(seed, &parameter.name)).resolve(
            Remaining {
                shapes: &[&parameter.shape],
                dtype: name_and_size(parameter.dtype),
                entries: parameter.entries,
                remaining: remaining.count,
            },
            |channels| remaining_channels(self.checkpoint, parameter, channels, self.pool, progress),
            |groups, keep| open_groups(self.checkpoint, parameter, groups, keep, self.pool, progress),
            refused,
        )?;
        plan.requested = request.count();
        plan.after = request.pruned(plan.before);
        plan.mask = MaskPlan::Request { request, remaining };
        Ok(())
    }
}

/// The request of a method, if it can be carried out on files.
pub(crate) fn request(
    method: &dyn BuiltIn,
    names: &[&str],
    refused: impl FnOnce(PruneError) -> CheckpointError,
) -> Result<Request, CheckpointError> {
    let request = method.request(names).map_err(refused)?;
    match request.only_in_memory() {
        None => Ok(request),
        Some(what) => Err(CheckpointError::OnlyInMemory { method: method.name().to_owned(), what }),
    }
}

/// The name of a dtype that can be pruned, and the size of an element in bytes.
pub(super) fn name_and_size(dtype: Dtype) -> (&'static str, usize) {
    fn of<A: Element>() -> (&'static str, usize) {
        (A::DTYPE, size_of::<A>())
    }
    with_dtype!(dtype, A: Element => of::<A>(), else => dtype.cannot_be_pruned())
}

/// Returns `Ok` if the product of the nonzero sizes of a parameter does not overflow. The length of the file does not limit
/// the sizes of a tensor without entries, and no method should have to check for that.
pub(crate) fn check_shape(parameter: &ParameterEntry) -> Result<(), CheckpointError> {
    let mut sizes = parameter.shape.iter().copied().filter(|&size| size > 0);
    match sizes.try_fold(1, usize::checked_mul) {
        Some(_) => Ok(()),
        None => {
            let found = parameter.shape.clone();
            Err(CheckpointError::ImpossibleShape { tensor: parameter.name.clone(), found })
        }
    }
}
