//! A run, from the options to the report: select, lay out, plan, execute.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::{Observer, Phase, ProgressCounter};
use crate::checkpoint::prune::axes;
use crate::checkpoint::prune::calibrated::{self, Measure};
use crate::checkpoint::prune::execute::{Execute, Pruned};
use crate::checkpoint::prune::layer_methods::MatchedMethods;
use crate::checkpoint::prune::nearest::nearest;
use crate::checkpoint::prune::plan::{MaskOrigin, ParameterPlan, Planner, Totals};
use crate::checkpoint::prune::pruner::Pruner;
use crate::checkpoint::prune::selection::{Purpose, Selected};
use crate::checkpoint::read::blocks::Pool;
use crate::checkpoint::read::mask_file::MaskFile;
use crate::checkpoint::read::{Checkpoint, Shard};
use crate::checkpoint::report::{Companions, Outcome, PruneReport, SkipReason, TensorReport, Unit};
use crate::checkpoint::write::layout::{Layout, OutputSlots};
use crate::checkpoint::write::output::{Output, OutputFiles};
use crate::checkpoint::write::resume::RunIdentity;
use crate::checkpoint::write::writer::{Sink, Writer};
use crate::method::{AnyMethod, Describe};
use crate::pruning_type::PruningType;

/// Prunes a checkpoint. Without an output, it only returns the report.
pub(crate) fn run(
    pruner: &Pruner,
    checkpoint: &Checkpoint,
    output: Option<&Output>,
    observer: &dyn Observer,
) -> Result<PruneReport, CheckpointError> {
    let origin = MaskOrigin::open(&pruner.by)?;
    let (mask_file, names) = match &origin {
        MaskOrigin::Methods(_) => (None, None),
        MaskOrigin::File(masks) => (Some(&masks.file), Some(check_masks(masks, checkpoint)?)),
    };
    let unit = unit(&origin)?;
    let purpose = match (&names, unit) {
        (Some(names), _) => Purpose::Masks(names),
        (None, Unit::Channels) => Purpose::Channels,
        (None, Unit::Entries | Unit::Groups) => Purpose::Entries,
    };
    let Selected { mut reasons, unmatched } = pruner.selection.resolve(checkpoint, purpose)?;
    if let MaskOrigin::Methods(methods) = &origin {
        skip_without_method(methods, checkpoint, &mut reasons)?;
    }
    calibrated::check(pruner, &origin, checkpoint, &reasons)?;
    let selected: Vec<bool> = reasons.iter().map(Option::is_none).collect();
    let layout = Layout::new(checkpoint, &selected, pruner.format)?;

    let plans = checkpoint.parameters.iter().zip(reasons);
    let mut plans: Vec<_> = plans.map(|(parameter, skip)| ParameterPlan::new(parameter, skip)).collect();
    if let MaskOrigin::Methods(methods) = &origin {
        axes::set(checkpoint, methods, pruner.output_axis, &mut plans)?;
    }
    plans.iter_mut().for_each(|plan| plan.measure = Measure::of(pruner, &plan.parameter.name));
    let pool = Pool::default();
    let planner = Planner { checkpoint, pool: &pool, observer };
    let Totals { requested, counts_groups, threshold } =
        planner.plan(&origin, pruner.scope, pruner.allocation, &mut plans)?;
    let unit = if counts_groups { Unit::Groups } else { unit };

    let run = PlannedRun { checkpoint, layout: &layout, plans, mask_file, pool: &pool, observer, counts_zeros: true };
    let RunResult { plans, resumed, companions } = run.execute(output.map(|output| (output, pruner.identity())))?;
    let tensors = plans.into_iter().map(|plan| report(checkpoint, plan)).collect();
    Ok(PruneReport { tensors, unit, asked: requested, threshold, resumed, unmatched, companions })
}

fn report(checkpoint: &Checkpoint, plan: ParameterPlan<'_>) -> TensorReport {
    let ParameterPlan {
        parameter,
        skip,
        axis,
        requested,
        counts_groups: _,
        before,
        after,
        calibration,
        mask: _,
        measure: _,
    } = plan;
    TensorReport {
        name: parameter.name.clone(),
        dtype: parameter.dtype,
        shape: parameter.shape.clone(),
        shard: checkpoint.tensors[parameter.weights].shard,
        entries: parameter.entries,
        axis,
        calibration: calibration.filter(|_| skip.is_none()),
        outcome: match skip {
            Some(reason) => Outcome::Skipped(reason),
            // Every plan that is not skipped was executed, or its number was known.
            None => Outcome::Pruned { asked: requested, before, after: after.unwrap_or_default() },
        },
    }
}

/// The unit of the amounts, which is one for all methods.
fn unit(origin: &MaskOrigin<'_>) -> Result<Unit, CheckpointError> {
    let MaskOrigin::Methods(methods) = origin else { return Ok(Unit::Entries) };
    let unit = |method: &AnyMethod| match method.pruning_type() {
        PruningType::Structured { .. } => Unit::Channels,
        PruningType::Unstructured | PruningType::Groups | PruningType::Global => Unit::Entries,
    };
    let mut units = methods.all().map(unit);
    let first = units.next().unwrap_or(Unit::Entries);
    if units.all(|unit| unit == first) { Ok(first) } else { Err(CheckpointError::MixedUnits) }
}

/// Skips the tensors that no method is for. Each pattern must match a selected tensor.
fn skip_without_method(
    methods: &MatchedMethods<'_>,
    checkpoint: &Checkpoint,
    reasons: &mut [Option<SkipReason>],
) -> Result<(), CheckpointError> {
    let mut selected: Vec<&str> = Vec::new();
    for (parameter, reason) in checkpoint.parameters.iter().zip(reasons).filter(|(_, reason)| reason.is_none()) {
        selected.push(&parameter.name);
        if methods.of(&parameter.name).is_none() {
            *reason = Some(SkipReason::NoAmount);
        }
    }
    match methods.unmatched(&selected) {
        Some(pattern) => {
            let nearest = nearest(pattern, selected.into_iter());
            Err(CheckpointError::UnmatchedPattern { pattern: pattern.to_owned(), nearest })
        }
        None => Ok(()),
    }
}

/// Returns the names of the masks, each of which must fit a tensor.
fn check_masks<'m>(masks: &'m MaskFile, checkpoint: &Checkpoint) -> Result<HashSet<&'m str>, CheckpointError> {
    let names: HashSet<&str> = masks.masks.keys().map(String::as_str).collect();
    let mut unmatched = names.clone();
    for parameter in checkpoint.parameters.iter().filter(|parameter| parameter.dtype.can_be_pruned()) {
        let Some(mask) = masks.masks.get(&parameter.name) else { continue };
        if mask.shape != parameter.shape {
            let (expected, found) = (parameter.shape.clone(), mask.shape.clone());
            return Err(CheckpointError::ShapeMismatch { tensor: parameter.name.clone(), expected, found });
        }
        unmatched.remove(parameter.name.as_str());
    }
    match unmatched.into_iter().min() {
        Some(tensor) => {
            let floats = checkpoint.parameters.iter().filter(|parameter| parameter.dtype.can_be_pruned());
            let nearest = nearest(tensor, floats.map(|parameter| parameter.name.as_str()));
            Err(CheckpointError::MaskWithoutTensor { tensor: tensor.to_owned(), nearest })
        }
        None => Ok(names),
    }
}

/// A run with a plan for each parameter.
pub(crate) struct PlannedRun<'r> {
    pub checkpoint: &'r Checkpoint,
    pub layout: &'r Layout,
    /// One plan for each parameter of the checkpoint, in the same order.
    pub plans: Vec<ParameterPlan<'r>>,
    pub mask_file: Option<&'r Shard>,
    pub pool: &'r Pool,
    pub observer: &'r dyn Observer,
    /// The report says how many pruned entries were zero before, so a run without an output reads weights too.
    pub counts_zeros: bool,
}

/// The result of a run.
pub(crate) struct RunResult<'r> {
    /// The plans, with the number of pruned entries filled in for each that is not skipped.
    pub plans: Vec<ParameterPlan<'r>>,
    /// The shards that an earlier run finished.
    pub resumed: Vec<PathBuf>,
    /// The files beside the weights.
    pub companions: Companions,
}

impl<'r> PlannedRun<'r> {
    /// Writes the files of the layout. Without an output, it only counts pruned entries where their number is not known.
    pub fn execute(self, output: Option<(&Output, RunIdentity)>) -> Result<RunResult<'r>, CheckpointError> {
        let Self { checkpoint, layout, mut plans, mask_file, pool, observer, counts_zeros } = self;
        let counts_all = counts_zeros && output.is_none();
        let durable = output.as_ref().is_some_and(|(output, _)| output.durable);
        let prepare =
            |(output, identity)| Ok((output, OutputFiles::prepare(checkpoint, layout, output, identity, mask_file)?));
        let (output, mut files) = output.map(prepare).transpose()?.unzip();
        let is_written =
            layout.files.iter().map(|file| files.as_ref().is_some_and(|files| !files.is_finished(&file.name)));
        let is_written: Vec<bool> = is_written.collect();

        let work = layout.files.iter().zip(&is_written).map(|(file, &is_written)| {
            file.work(checkpoint, is_written, |slots| plans[slots.parameter].work(checkpoint, is_written || counts_all))
        });
        let progress = ProgressCounter::new(observer, Phase::Processing, work.sum());
        let writer = Writer { checkpoint, mask_file, pool, progress: &progress, durable };
        let mut make = |slots: &OutputSlots, sink: Option<Sink<'_>>| {
            let plan = &mut plans[slots.parameter];
            if sink.is_some() || plan.after.is_none() || counts_all {
                let execute =
                    Execute { checkpoint, pool, progress: &progress, plan: &*plan, slots, sink, counts_zeros };
                let Pruned { after, before, calibration } = execute.run()?;
                (plan.after, plan.before, plan.calibration) = (Some(after), before, calibration);
            }
            Ok(())
        };

        // What was decided about all shards together is not written if one of them has changed since.
        writer.check_unchanged()?;
        let mut resumed = Vec::new();
        for (number, (file, is_written)) in layout.files.iter().zip(is_written).enumerate() {
            match &mut files {
                Some(files) if is_written => {
                    writer.write(file, &files.paths[number], !files.is_directory(), &mut make)?;
                    files.finish(&file.name)?;
                }
                Some(files) => {
                    writer.count(file, &mut make)?;
                    resumed.push(files.paths[number].clone());
                }
                None => writer.count(file, &mut make)?,
            }
        }
        writer.check_unchanged()?;
        // If the output is a single file, the observer was told of the end before the file appeared.
        if files.as_ref().is_none_or(OutputFiles::is_directory) {
            progress.finish()?;
        }
        let close = |(files, output): (OutputFiles, _)| files.close(checkpoint, output, layout);
        let companions = files.zip(output).map(close).transpose()?.unwrap_or_default();
        Ok(RunResult { plans, resumed, companions })
    }
}
