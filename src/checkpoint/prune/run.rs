//! From a job to its output: choose, make rules, plan, write.

use std::collections::HashSet;
use std::sync::Arc;

use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::prune::Prune;
use crate::checkpoint::prune::plan::{Reading, Rules, Task};
use crate::checkpoint::prune::pruner::By;
use crate::checkpoint::prune::selection::choose;
use crate::checkpoint::read::blocks::Pool;
use crate::checkpoint::read::mask_file::MaskFile;
use crate::checkpoint::read::parameter::ParameterEntry as Parameter;
use crate::checkpoint::read::{Checkpoint, Shard};
use crate::checkpoint::write::Output;
use crate::checkpoint::write::layout::Plan;
use crate::checkpoint::write::output::Destination;
use crate::checkpoint::write::writer::Making;
use crate::checkpoint::{CheckpointError, Observer, Outcome, Phase, PruneReport, TensorReport, Unit};

/// Prunes a checkpoint; without an output, only tells what would come of it.
pub(crate) fn run(
    prune: &Prune,
    checkpoint: &Checkpoint,
    output: Option<&Output>,
    observer: &dyn Observer,
) -> Result<PruneReport, CheckpointError> {
    let masks = match &prune.by {
        By::Masks(path) => Some(Arc::new(MaskFile::open(path)?)),
        By::Method(_) => None,
    };
    let names = masks.as_ref().map(|masks| check_masks(masks, checkpoint)).transpose()?;
    let reasons = choose(&prune.selection, names.as_ref(), &checkpoint.parameters)?;
    let chosen = || checkpoint.parameters.iter().zip(&reasons).filter(|(_, reason)| reason.is_none());
    let parameters: Vec<&Parameter> = chosen().map(|(parameter, _)| parameter).collect();

    let selected: Vec<bool> = reasons.iter().map(Option::is_none).collect();
    let plan = Plan::new(checkpoint, &selected, prune.format)?;
    let pool = Pool::default();
    let rules = Reading { checkpoint, pool: &pool, observer }.rules(prune, &parameters, masks.as_ref());
    let Rules { tasks, asked, threshold } = rules?;
    let mut tasks = tasks.into_iter();
    let tasks: Vec<_> = selected.iter().map(|&selected| if selected { tasks.next() } else { None }).collect();

    let options = format!("{prune:?}");
    let job = Job { checkpoint, plan: &plan, tasks: &tasks, pool: &pool, observer };
    let Done { after, resumed } = job.run(output, &options, masks.as_ref().map(|masks| &masks.file))?;

    let outcomes = reasons.into_iter().zip(&tasks).zip(after).map(|((reason, task), after)| match (reason, task) {
        (Some(reason), _) => Outcome::Skipped(reason),
        (None, task) => Outcome::Pruned {
            asked: task.as_ref().and_then(|task| task.asked),
            before: task.as_ref().map_or(0, |task| task.before),
            after: after.unwrap_or_default(),
        },
    });
    let tensors = checkpoint.parameters.iter().zip(outcomes).map(|(parameter, outcome)| TensorReport {
        name: parameter.name.clone(),
        dtype: parameter.dtype,
        shape: parameter.shape.clone(),
        shard: checkpoint.tensors[parameter.weights].shard,
        entries: parameter.entries,
        outcome,
    });
    let unit = if prune.by.kind().channels().is_some() { Unit::Channels } else { Unit::Entries };
    Ok(PruneReport { tensors: tensors.collect(), unit, asked, threshold, resumed })
}

/// The names of the masks, each of which must fit a tensor.
fn check_masks<'m>(masks: &'m MaskFile, checkpoint: &Checkpoint) -> Result<HashSet<&'m str>, CheckpointError> {
    let mut left: HashSet<&str> = masks.masks.keys().map(String::as_str).collect();
    for parameter in checkpoint.parameters.iter().filter(|parameter| parameter.dtype.can_be_pruned()) {
        let Some(mask) = masks.masks.get(&parameter.name) else { continue };
        if mask.shape != parameter.shape {
            let (expected, found) = (parameter.shape.clone(), mask.shape.clone());
            return Err(CheckpointError::ShapeMismatch { tensor: parameter.name.clone(), expected, found });
        }
        left.remove(parameter.name.as_str());
    }
    match left.into_iter().min() {
        Some(tensor) => Err(CheckpointError::MaskWithoutTensor { tensor: tensor.to_owned() }),
        None => Ok(masks.masks.keys().map(String::as_str).collect()),
    }
}

/// A plan to be carried out.
pub(crate) struct Job<'j> {
    pub checkpoint: &'j Checkpoint,
    pub plan: &'j Plan,
    /// One for each parameter that is pruned.
    pub tasks: &'j [Option<Task>],
    pub pool: &'j Pool,
    pub observer: &'j dyn Observer,
}

/// What came of it.
pub(crate) struct Done {
    /// How many entries of each parameter are pruned.
    pub after: Vec<Option<usize>>,
    pub resumed: Vec<std::path::PathBuf>,
}

impl Job<'_> {
    /// Writes the files of the plan; without an output, only looks as far as is needed to know what is pruned.
    pub fn run(&self, output: Option<&Output>, options: &str, masks: Option<&Shard>) -> Result<Done, CheckpointError> {
        let Self { checkpoint, plan, tasks, pool, observer } = *self;
        let prepare = |output| Destination::prepare(checkpoint, plan, output, options, masks);
        let mut destination = output.map(prepare).transpose()?;
        let to_write: Vec<bool> = plan
            .files
            .iter()
            .map(|file| destination.as_ref().is_some_and(|there| !there.is_finished(file.name.as_deref())))
            .collect();

        let meter = ProgressCounter::new(observer, Phase::Processing, 0);
        let durable = output.is_some_and(|output| output.durable);
        let making = Making { checkpoint, masks, tasks, pool, meter: &meter, durable };
        let total = plan.files.iter().zip(&to_write).map(|(file, &writes)| making.work(file, writes)).sum();
        let meter = ProgressCounter::new(observer, Phase::Processing, total);
        let making = Making { meter: &meter, ..making };

        let mut after = vec![None; tasks.len()];
        let mut resumed = Vec::new();
        for (number, (file, writes)) in plan.files.iter().zip(to_write).enumerate() {
            match &mut destination {
                Some(there) if writes => {
                    making.write(file, &there.paths[number], &mut after)?;
                    there.finished(file.name.as_deref())?;
                }
                Some(there) => {
                    making.look(file, &mut after)?;
                    resumed.push(there.paths[number].clone());
                }
                None => making.look(file, &mut after)?,
            }
        }
        making.check_unchanged()?;
        // Of an output that is one file, the end was told before it appeared.
        if destination.is_none() || plan.files.iter().all(|file| file.name.is_some()) {
            meter.finish()?;
        }
        if let Some(there) = destination {
            there.close(plan.index.as_ref().map(|(_, bytes)| bytes.as_slice()))?;
        }
        Ok(Done { after, resumed })
    }
}
