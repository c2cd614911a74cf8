//! [`Packer`]: packs the tensors of a checkpoint.

use std::collections::HashSet;

use serde_json::json;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::pack::report::{DenseReason, PackReport, PackedTensorReport};
use crate::checkpoint::progress::{Observer, Phase, ProgressCounter};
use crate::checkpoint::prune::plan::ParameterPlan;
use crate::checkpoint::prune::run::{PlannedRun, RunResult};
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::Pool;
use crate::checkpoint::read::packed::all_parts;
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::report::{Companions, SkipReason};
use crate::checkpoint::write::layout::Layout;
use crate::checkpoint::write::output::Output;
use crate::checkpoint::write::pack::PackPlan;
use crate::file::packed_file::{PARTS, packed_bytes, stem};
use crate::mask::fraction;

/// Packs a checkpoint: writes tensors without the entries that are zero, in the `sparse-bitmask` layout of compressed-tensors 0.14.
///
/// Tensors stored as `w_orig` and `w_mask` are packed by their masks. All others are packed by their zeros. A tensor that would
/// not become smaller stays dense; if it has a mask, that is made permanent, as [`remove`](crate::checkpoint::remove) does.
///
/// [`unpack`](crate::checkpoint::unpack) gives the same numbers again. With [`signs`](Self::signs), it gives the same bits.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let [pruned, packed, unpacked] = ["pruned", "packed", "unpacked"].map(|name| directory.path().join(name));
/// # let layer = prune::ParameterStore::from_iter([("fc.weight", ndarray::Array2::<f32>::eye(100))]);
/// # prune::safetensors::save_file(&layer, &pruned)?;
/// use prune::checkpoint::{Checkpoint, Output, Packer, unpack};
///
/// let report = Packer::new().run(&Checkpoint::open([&pruned])?, &Output::new(&packed), &())?;
/// assert_eq!((report.bytes_before(), report.bytes_after()), (40_000, 400 + 1300 + 800 + 16));
/// unpack(&Checkpoint::open([&packed])?, &Output::new(&unpacked), &())?;
/// assert_eq!(std::fs::read(&unpacked)?, std::fs::read(&pruned)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Packer {
    signs: bool,
    min_sparsity: f64,
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

impl Packer {
    /// Returns a packer of all tensors that become smaller, without the signs of zeros.
    pub fn new() -> Self {
        Self { signs: false, min_sparsity: 0.0 }
    }

    /// Sets whether the signs of zeros are stored, one more bit per entry.
    ///
    /// Pruning leaves -0.0 for negative numbers. Without this option they become 0.0, which equals them. With it, unpacking gives
    /// every bit of the input; of tensors with masks, every bit of what [`remove`](crate::checkpoint::remove) writes, NaN for
    /// pruned infinities included.
    pub fn signs(self, signs: bool) -> Self {
        Self { signs, ..self }
    }

    /// Sets the sparsity from which on a tensor is packed, from 0.0 to 1.0. Tensors below it stay dense, even if they would be
    /// smaller.
    pub fn min_sparsity(self, min_sparsity: f64) -> Self {
        Self { min_sparsity, ..self }
    }

    /// Packs a checkpoint into an output.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::NothingToPack`] if no tensor would become smaller, and the errors of
    /// [`Pruner::run`](crate::checkpoint::Pruner::run) that concern the output and the data.
    pub fn run(
        &self,
        checkpoint: &Checkpoint,
        output: &Output,
        observer: &dyn Observer,
    ) -> Result<PackReport, CheckpointError> {
        self.execute(checkpoint, Some(output), observer)
    }

    /// Returns the report of [`run`](Self::run) without writing anything.
    ///
    /// # Errors
    ///
    /// The errors of `run` that do not concern the output.
    pub fn dry_run(&self, checkpoint: &Checkpoint, observer: &dyn Observer) -> Result<PackReport, CheckpointError> {
        self.execute(checkpoint, None, observer)
    }

    fn execute(
        &self,
        checkpoint: &Checkpoint,
        output: Option<&Output>,
        observer: &dyn Observer,
    ) -> Result<PackReport, CheckpointError> {
        let pool = Pool::default();
        let Planned { tensors, plans } = self.plan(checkpoint, &pool, observer)?;
        if plans.is_empty() {
            return Err(CheckpointError::NothingToPack);
        }
        let (mut resumed, mut companions) = (Vec::new(), Companions::default());
        if let Some(output) = output {
            let packed: HashSet<usize> = plans.iter().map(|plan| plan.parameter).collect();
            // A mask of a tensor that stays dense is made permanent.
            let is_copied = |number, parameter: &ParameterEntry| parameter.mask.is_none() || packed.contains(&number);
            let masked = checkpoint.parameters.iter().enumerate().map(|(number, parameter)| {
                ParameterPlan::new(parameter, is_copied(number, parameter).then_some(SkipReason::NoMask))
            });
            let masked = masked.collect();
            let layout = Layout::packed(checkpoint, plans)?;
            let run = PlannedRun {
                checkpoint,
                layout: &layout,
                plans: masked,
                mask_file: None,
                pool: &pool,
                observer,
                counts_zeros: false,
            };
            let identity =
                vec![("method", "pack".into()), ("signs", self.signs.into()), ("sparsity", json!(self.min_sparsity))];
            let RunResult { resumed: finished, companions: copied, .. } = run.execute(Some((output, identity)))?;
            (resumed, companions) = (finished, copied);
        }
        Ok(PackReport { tensors, resumed, companions })
    }

    /// Counts what every parameter keeps, and decides which ones are packed.
    fn plan(&self, checkpoint: &Checkpoint, pool: &Pool, observer: &dyn Observer) -> Result<Planned, CheckpointError> {
        checkpoint.check_rewritable("pack")?;
        let names: HashSet<&str> = checkpoint.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let packed = all_parts(&checkpoint.packed()?);
        let mut stems = HashSet::new();
        let mut reasons = Vec::with_capacity(checkpoint.parameters.len());
        for parameter in &checkpoint.parameters {
            let stem = stem(&parameter.name);
            let is_taken = PARTS.iter().any(|part| names.contains(format!("{stem}{part}").as_str()));
            reasons.push(if packed.contains(&parameter.weights) {
                Some(DenseReason::Packed)
            } else if !parameter.dtype.can_be_pruned() {
                Some(DenseReason::Dtype)
            } else if packed_bytes(&parameter.shape, 0, parameter.dtype.bits() / 8, self.signs).is_none() {
                Some(DenseReason::NotSmaller)
            } else if is_taken || !stems.insert(stem) {
                // Two parameters, `a` and `a.weight`, would have parts of the same names: the first one has them.
                Some(DenseReason::NameClash)
            } else {
                None
            });
        }
        let counted = checkpoint.parameters.iter().zip(&reasons).filter(|(_, reason)| reason.is_none());
        let work = counted.map(|(parameter, _)| checkpoint.tensors[parameter.weights].bytes).sum();
        let progress = ProgressCounter::new(observer, Phase::Counting, work);
        let mut planned = Planned { tensors: Vec::new(), plans: Vec::new() };
        for (number, (parameter, reason)) in checkpoint.parameters.iter().zip(reasons).enumerate() {
            let plan = match reason {
                Some(reason) => Err((reason, None)),
                None => self.decide(parameter, PackPlan::count(checkpoint, number, self.signs, pool, &progress)?),
            };
            planned.tensors.push(report(checkpoint, parameter, &plan));
            planned.plans.extend(plan.ok());
        }
        progress.finish()?;
        Ok(planned)
    }

    /// Returns the plan, or the reason why the parameter stays dense with the number of entries that it keeps.
    fn decide(&self, parameter: &ParameterEntry, plan: PackPlan) -> Decided {
        let kept = plan.kept();
        let sparsity = fraction(parameter.entries - kept, parameter.entries);
        if packed_bytes(&parameter.shape, kept, parameter.dtype.bits() / 8, self.signs).is_none() {
            Err((DenseReason::NotSmaller, Some(kept)))
        } else if sparsity < self.min_sparsity {
            Err((DenseReason::BelowSparsity, Some(kept)))
        } else {
            Ok(plan)
        }
    }
}

/// A plan, or the reason why a tensor stays dense, with the number of kept entries if it is known.
type Decided = Result<PackPlan, (DenseReason, Option<usize>)>;

struct Planned {
    tensors: Vec<PackedTensorReport>,
    plans: Vec<PackPlan>,
}

fn report(checkpoint: &Checkpoint, parameter: &ParameterEntry, plan: &Decided) -> PackedTensorReport {
    let size = parameter.dtype.bits() / 8;
    let bytes_dense = checkpoint.tensors[parameter.weights].bytes;
    let (kept, dense, bytes_after) = match plan {
        Ok(plan) => {
            let bytes = packed_bytes(&parameter.shape, plan.kept(), size, plan.signs);
            (Some(plan.kept()), None, bytes.unwrap_or(bytes_dense))
        }
        Err((reason, kept)) => (*kept, Some(*reason), bytes_dense),
    };
    PackedTensorReport {
        name: parameter.name.clone(),
        dtype: parameter.dtype,
        shape: parameter.shape.clone(),
        entries: parameter.entries,
        kept,
        bytes_dense,
        bytes_before: bytes_dense + parameter.mask.map_or(0, |mask| checkpoint.tensors[mask].bytes),
        bytes_after,
        dense,
    }
}
