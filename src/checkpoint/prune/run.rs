//! A run, from the options to the report: select, lay out, plan, execute.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::peers::Group;
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
use crate::checkpoint::write::layout::Layout;
use crate::checkpoint::write::layout::file::{FileLayout, OutputSlots};
use crate::checkpoint::write::output::{Format, Output, OutputFiles};
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
    run_among(pruner, checkpoint, output, &Group::alone(), observer)
}

/// Prunes the shards of one of several processes. The report is about all shards.
pub(crate) fn run_among(
    pruner: &Pruner,
    checkpoint: &Checkpoint,
    output: Option<&Output>,
    group: &Group<'_>,
    observer: &dyn Observer,
) -> Result<PruneReport, CheckpointError> {
    let origin = group.agree(MaskOrigin::open(&pruner.by))?;
    let Prepared { layout, mut plans, unit, unmatched } =
        group.agree(Prepared::new(pruner, checkpoint, &origin, group))?;
    let pool = Pool::default();
    let planner = Planner { checkpoint, pool: &pool, observer, group };
    let mut totals = group.agree(planner.plan(&origin, pruner.scope, pruner.allocation, &mut plans))?;

    let mask_file = origin.file();
    let run = PlannedRun { checkpoint, layout: &layout, plans, mask_file, pool: &pool, observer, counts_zeros: true };
    let check = |parameter: usize, plans: &[ParameterPlan<'_>]| match &pruner.cut {
        Some(cut) => cut.check_pruned(checkpoint, parameter, plans),
        None => Ok(()),
    };
    let output = output.map(|output| (output, pruner.identity()));
    let RunResult { mut plans, resumed, companions } = run.execute_among(output, group, &check)?;
    share_counts(checkpoint, group, &mut plans, &mut totals)?;
    let Totals { requested, counts_groups, threshold, of_each: _ } = totals;
    let unit = if counts_groups { Unit::Groups } else { unit };
    let tensors = plans.into_iter().map(|plan| report(checkpoint, plan)).collect();
    Ok(PruneReport { tensors, unit, asked: requested, threshold, resumed, unmatched, companions })
}

/// The part of a run that follows from the options and the headers, and is the same in all processes.
struct Prepared<'c> {
    layout: Layout,
    /// One plan for each parameter, without a mask yet.
    plans: Vec<ParameterPlan<'c>>,
    unit: Unit,
    unmatched: Vec<String>,
}

impl<'c> Prepared<'c> {
    fn new(
        pruner: &Pruner,
        checkpoint: &'c Checkpoint,
        origin: &MaskOrigin<'_>,
        group: &Group<'_>,
    ) -> Result<Self, CheckpointError> {
        check_shared(pruner, group)?;
        let names = match origin {
            MaskOrigin::Methods(_) => None,
            MaskOrigin::File(masks) => Some(check_masks(masks, checkpoint)?),
        };
        let unit = unit(origin)?;
        let purpose = match (&names, unit) {
            (Some(names), _) => Purpose::Masks(names),
            (None, Unit::Channels) => Purpose::Channels,
            (None, Unit::Entries | Unit::Groups) => Purpose::Entries,
        };
        let Selected { mut reasons, unmatched } = match &pruner.cut {
            Some(cut) => cut.selected(checkpoint)?,
            None => pruner.selection.resolve(checkpoint, purpose)?,
        };
        if let MaskOrigin::Methods(methods) = origin {
            skip_without_method(methods, checkpoint, &mut reasons)?;
        }
        calibrated::check(pruner, origin, checkpoint, &reasons)?;
        let selected: Vec<bool> = reasons.iter().map(Option::is_none).collect();
        let layout = Layout::new(checkpoint, &selected, pruner.format)?;

        let plans = checkpoint.parameters.iter().zip(reasons);
        let mut plans: Vec<_> = plans.map(|(parameter, skip)| ParameterPlan::new(parameter, skip)).collect();
        if let MaskOrigin::Methods(methods) = origin {
            axes::set(checkpoint, methods, pruner.output_axis, &mut plans)?;
        }
        plans.iter_mut().for_each(|plan| plan.measure = Measure::of(pruner, &plan.parameter.name));
        Ok(Self { layout, plans, unit, unmatched })
    }
}

/// Refuses what several processes cannot do together.
fn check_shared(pruner: &Pruner, group: &Group<'_>) -> Result<(), CheckpointError> {
    let refused = |what: &str| Err(CheckpointError::NotShared { what: what.to_owned() });
    match (group.is_alone(), pruner.format) {
        (true, _) => Ok(()),
        (false, Format::Masks) => refused("a file of masks"),
        (false, Format::Weights | Format::PyTorch) if pruner.allocation.is_some() => refused("an allocation"),
        (false, Format::Weights | Format::PyTorch) => Ok(()),
    }
}

/// Fills in the counts of the parameters of other processes.
fn share_counts(
    checkpoint: &Checkpoint,
    group: &Group<'_>,
    plans: &mut [ParameterPlan<'_>],
    totals: &mut Totals,
) -> Result<(), CheckpointError> {
    if group.is_alone() {
        return Ok(());
    }
    let counts = |plan: &ParameterPlan<'_>| match group.has(checkpoint.tensors[plan.parameter.weights].shard) {
        // One more than the number, so that 0 says that there is none.
        true => [plan.before, plan.after.unwrap_or(0), plan.requested.map_or(0, |count| count + 1)],
        false => [0; 3],
    };
    let mut numbers: Vec<u64> = plans.iter().flat_map(counts).map(|count| count as u64).collect();
    numbers.push(totals.counts_groups.into());
    group.add_up(&mut numbers)?;
    let (all, last) = numbers.as_chunks::<3>();
    totals.counts_groups = last.iter().any(|&count| count > 0);
    for (plan, &[before, after, requested]) in plans.iter_mut().zip(all) {
        (plan.before, plan.after) = (before as usize, Some(after as usize));
        plan.requested = (requested as usize).checked_sub(1);
    }
    if totals.of_each {
        let selected = plans.iter().filter(|plan| plan.skip.is_none());
        totals.requested = selected.map(|plan| plan.requested).sum();
    }
    Ok(())
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

/// Checks a parameter, given by its number, whose plan was executed, before the file appears that it is written to.
pub(crate) type CheckParameter<'c> = dyn Fn(usize, &[ParameterPlan<'_>]) -> Result<(), CheckpointError> + 'c;

impl<'r> PlannedRun<'r> {
    /// Writes the files of the layout. Without an output, it only counts pruned entries where their number is not known.
    pub fn execute(self, output: Option<(&Output, RunIdentity)>) -> Result<RunResult<'r>, CheckpointError> {
        self.execute_among(output, &Group::alone(), &|_, _| Ok(()))
    }

    /// [`execute`](Self::execute), for the shards of one of several processes. The first one prepares the output and closes it.
    pub fn execute_among(
        mut self,
        output: Option<(&Output, RunIdentity)>,
        group: &Group<'_>,
        check: &CheckParameter<'_>,
    ) -> Result<RunResult<'r>, CheckpointError> {
        let Self { checkpoint, layout, mask_file, .. } = self;
        let mut files = None;
        if let Some((output, identity)) = &output {
            let prepare = || OutputFiles::prepare(checkpoint, layout, output, identity.clone(), mask_file);
            let join = || OutputFiles::join(checkpoint, layout, output, identity.clone(), mask_file);
            let prepared = group.agree(group.is_first().then(prepare).transpose())?;
            files = Some(group.agree(prepared.map_or_else(join, Ok))?);
        }
        let durable = output.as_ref().is_some_and(|(output, _)| output.durable);
        let written = self.write(files.as_mut(), durable, group, check);
        let resumed = group.agree(written)?;
        let companions = files.as_ref().map(|files| files.companions.clone()).unwrap_or_default();
        let close = |(files, (output, _)): (OutputFiles, (&Output, _))| files.close(checkpoint, output, layout);
        let closed = files.zip(output).filter(|_| group.is_first()).map(close);
        group.agree(closed.unwrap_or(Ok(())))?;
        Ok(RunResult { plans: self.plans, resumed, companions })
    }

    /// Writes the files of the shards of this process. Returns the paths of those that an earlier run has finished.
    fn write(
        &mut self,
        mut files: Option<&mut OutputFiles>,
        durable: bool,
        group: &Group<'_>,
        check: &CheckParameter<'_>,
    ) -> Result<Vec<PathBuf>, CheckpointError> {
        let Self { checkpoint, layout, ref mut plans, mask_file, pool, observer, counts_zeros } = *self;
        let counts_all = counts_zeros && files.is_none();
        let own = layout.files.iter().enumerate().filter(|&(number, _)| group.has(number));
        let is_written = |file: &FileLayout| files.as_ref().is_some_and(|files| !files.is_finished(&file.name));
        let own: Vec<_> = own.map(|(number, file)| (number, file, is_written(file))).collect();

        let work = own.iter().map(|&(_, file, is_written)| {
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
            check(slots.parameter, plans)
        };

        // A decision about all shards together is not written if one of them has changed since.
        writer.check_unchanged()?;
        let mut resumed = Vec::new();
        for (number, file, is_written) in own {
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
        if files.is_none_or(|files| files.is_directory()) {
            progress.finish()?;
        }
        Ok(resumed)
    }
}
