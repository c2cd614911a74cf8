//! Pruning with statistics: the checks before a run, the measurements in it, and the memory that it needs.

use std::sync::Arc;

use crate::calibration::{Inputs, Statistics, error_on};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::prune::execute::{Execute, NewMask};
use crate::checkpoint::prune::loaded::{LoadedTensor, view};
use crate::checkpoint::prune::plan::MaskOrigin;
use crate::checkpoint::prune::pruner::{PruneBy, Pruner};
use crate::checkpoint::prune::selection::Purpose;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::Buffer;
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::read::usage::LayerWeight;
use crate::checkpoint::report::{CalibrationReport, SkipReason};
use crate::checkpoint::write::output::Format;
use crate::element::Element;
use crate::error::PruneError;
use crate::method::decide::decide;
use crate::method::decision::ChunkId;
use crate::method::{AnyMethod, Describe, PruningMethod};

/// Rejects selected tensors without statistics, and masks as the output of a method that changes weights.
pub(crate) fn check(
    pruner: &Pruner,
    origin: &MaskOrigin<'_>,
    checkpoint: &Checkpoint,
    reasons: &[Option<SkipReason>],
) -> Result<(), CheckpointError> {
    if let (MaskOrigin::Methods(methods), Format::Masks) = (origin, pruner.format)
        && let Some(method) = methods.all().find(|method| changes_weights(method))
    {
        return Err(CheckpointError::UpdateWithMasks { method: method.name().to_owned() });
    }
    let selected = || checkpoint.parameters.iter().zip(reasons).filter(|(_, reason)| reason.is_none());
    let has_tokens =
        |statistics: &Statistics, name: &str| statistics.without_gram(name).is_some_and(|moments| moments.count() > 0);
    let has_gram = |statistics: &Statistics, name: &str| has_tokens(statistics, name) && statistics.has_gram(name);
    type Has<'h> = &'h dyn Fn(&Statistics, &str) -> bool;
    let all: [(_, Has<'_>); 2] = [(&pruner.statistics, &has_tokens), (&pruner.check, &has_gram)];
    for (statistics, has) in all {
        let Some(statistics) = statistics else { continue };
        for (parameter, _) in selected() {
            let weight = checkpoint.usage(parameter).weight();
            if let Some(LayerWeight { operator, .. }) = weight.filter(|weight| weight.outputs > 0) {
                return Err(CheckpointError::InputsFirst { tensor: parameter.name.clone(), operator });
            }
        }
        check_all(statistics, selected().map(|(parameter, _)| parameter.name.as_str()), has)?;
    }
    Ok(())
}

/// Rejects tensors of which the statistics do not have what is needed.
pub(crate) fn check_all<'n>(
    statistics: &Statistics,
    names: impl Iterator<Item = &'n str>,
    has: impl Fn(&Statistics, &str) -> bool,
) -> Result<(), CheckpointError> {
    let tensors: Vec<String> = names.filter(|name| !has(statistics, name)).map(str::to_owned).collect();
    if tensors.is_empty() {
        return Ok(());
    }
    let known = statistics.weights().filter(|name| has(statistics, name)).map(str::to_owned).collect();
    Err(CheckpointError::MissingStatistics { tensors, known })
}

/// Returns `true` if a method changes weights. The choice of the element type makes no difference.
fn changes_weights(method: &AnyMethod) -> bool {
    PruningMethod::<f32>::reconstructing(method).is_some()
}

/// Returns `true` if a method needs each tensor with its Gram matrix in memory.
fn needs_data(method: &AnyMethod) -> bool {
    PruningMethod::<f32>::built_in(method).is_none() && PruningMethod::<f32>::without_data(method).is_some()
}

/// The tensor that needs the most memory, and how much that is.
pub(crate) fn working_memory(
    pruner: &Pruner,
    checkpoint: &Checkpoint,
) -> Result<Option<(String, u64)>, CheckpointError> {
    let PruneBy::Methods(layers) = &pruner.by else { return Ok(None) };
    let methods = layers.matched()?;
    // To select tensors, some are compared byte by byte; without need, that is left to the run.
    if pruner.check.is_none() && !methods.all().any(needs_data) {
        return Ok(None);
    }
    let reasons = pruner.selection.resolve(checkpoint, Purpose::Entries)?.reasons;
    let selected = checkpoint.parameters.iter().zip(reasons).filter(|(_, reason)| reason.is_none());
    let needs =
        selected.filter(|(parameter, _)| methods.of(&parameter.name).is_some_and(needs_data) || pruner.check.is_some());
    let bytes = needs.map(|(parameter, _)| (parameter.name.clone(), bytes(parameter)));
    Ok(bytes.max_by_key(|(_, bytes)| *bytes))
}

/// The bytes that one tensor takes at most, about: a matrix over its inputs and two packed ones, two matrices over its weights, all in
/// `f64`, and in its own dtype the weights that are read and those that are written, with a mask of each.
fn bytes(parameter: &ParameterEntry) -> u64 {
    let columns: u64 = parameter.shape.iter().skip(1).map(|&size| size as u64).product();
    let matrices = columns.saturating_mul(columns).saturating_mul(16);
    let entry = 2 * (size_of::<f64>() + parameter.dtype.bits() / 8 + size_of::<bool>()) as u64;
    matrices.saturating_add((parameter.entries as u64).saturating_mul(entry))
}

/// The statistics on which the error of a tensor is measured.
#[derive(Debug)]
pub(crate) struct Measure {
    own: Option<Arc<Statistics>>,
    check: Arc<Statistics>,
}

impl Measure {
    /// The measurement of a tensor, if the run measures anything.
    pub fn of(pruner: &Pruner, name: &str) -> Option<Self> {
        let check = Arc::clone(pruner.check.as_ref()?);
        let own = pruner.statistics.as_ref().filter(|statistics| statistics.has_gram(name)).map(Arc::clone);
        Some(Self { own, check })
    }

    /// Fills in what the method has not measured itself.
    pub fn add<A: Element>(
        &self,
        parameter: &ParameterEntry,
        original: &[A],
        pruned: &[A],
        report: &mut CalibrationReport,
    ) -> Result<(), CheckpointError> {
        let ParameterEntry { name, shape, .. } = parameter;
        let error = |statistics: &Arc<Statistics>| {
            let refused = |source: PruneError| CheckpointError::Tensor { tensor: name.clone(), source };
            let inputs = Inputs::from(Arc::clone(statistics));
            let inputs = inputs.for_tensor("check", name, shape, true).map_err(refused)?.unwrap_or(inputs);
            error_on(view(parameter, shape, original)?, view(parameter, shape, pruned)?, &inputs).map_err(refused)
        };
        report.error_check = Some(error(&self.check)?);
        if let Some(own) = &self.own {
            if report.error.is_none() {
                report.error = Some(error(own)?);
            }
            report.dead = report.dead.or_else(|| own.without_gram(name).map(|moments| moments.dead().len()));
        }
        Ok(())
    }
}

impl Execute<'_, '_> {
    /// Runs a custom method, or one with data of its own for each tensor.
    pub(super) fn custom<A: Element>(
        &self,
        method: &AnyMethod,
        loaded: &LoadedTensor<'_, A>,
    ) -> Result<NewMask<'_, A>, CheckpointError> {
        let ParameterEntry { name, shape, .. } = self.plan.parameter;
        let refused =
            |source: PruneError| CheckpointError::Tensor { tensor: name.clone(), source: source.of_tensor(name) };
        let method = method.typed::<A>();
        let bound = method.for_tensor(name, shape).map_err(refused)?;
        let method = bound.as_deref().unwrap_or(method);
        if let Some(method) = method.reconstructing() {
            return Ok(NewMask::Reconstructed(Box::new(loaded.reconstructed(method)?)));
        }
        let decision = loaded.with_candidates(true, |candidates| decide(method, candidates))?;
        Ok(NewMask::Decision { decision, first: ChunkId::FIRST })
    }

    /// The error of the layer's output with the new mask, as far as it is known.
    pub(super) fn calibration<A: Element>(
        &self,
        new_mask: &NewMask<'_, A>,
        loaded: Option<&LoadedTensor<'_, A>>,
    ) -> Result<Option<CalibrationReport>, CheckpointError> {
        let mut report = match new_mask {
            NewMask::Reconstructed(done) => Some(CalibrationReport {
                error: Some(done.error),
                dead: Some(done.dead),
                dampening: Some(done.dampening),
                ..CalibrationReport::default()
            }),
            NewMask::Decision { .. } | NewMask::File(_) | NewMask::Zeros => None,
        };
        let parameter = self.plan.parameter;
        if let (Some(measure), Some(loaded)) = (&self.plan.measure, loaded) {
            let mut kept = loaded.remaining.clone().unwrap_or_else(|| vec![true; parameter.entries]);
            new_mask.clear(parameter, 0..parameter.entries, loaded.weights, &mut kept, &mut Buffer::default())?;
            let weights = new_mask.replaced(&(0..parameter.entries)).unwrap_or(loaded.weights);
            let pruned: Vec<A> = weights.iter().zip(kept).map(|(&x, kept)| if kept { x } else { A::zero() }).collect();
            measure.add(parameter, loaded.weights, &pruned, report.get_or_insert_default())?;
        }
        Ok(report)
    }
}
