//! A compaction of files, from the options to the report.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::checkpoint::compact::compactor::Compactor;
use crate::checkpoint::compact::fold;
use crate::checkpoint::compact::json;
use crate::checkpoint::compact::preset::{Part, Preset};
use crate::checkpoint::compact::ranking::{self, Ranking};
use crate::checkpoint::compact::report::{CompactReport, CompactedTensorReport, Equality};
use crate::checkpoint::compact::structure::{Structure, compact};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::{Observer, Phase, ProgressCounter};
use crate::checkpoint::prune::run::PlannedRun;
use crate::checkpoint::read::blocks::Pool;
use crate::checkpoint::read::{Checkpoint, Shard};
use crate::checkpoint::report::Companions;
use crate::checkpoint::write::companions::CONFIG;
use crate::checkpoint::write::layout::{CompactedTensor, Layout as FileLayouts};
use crate::checkpoint::write::output::{Output, check_apart};
use crate::checkpoint::write::resume::RunIdentity;
use crate::checkpoint::write::writer::write_whole;
use crate::compact::choice::{self, Choice};
use crate::compact::importance::is_ranked;
use crate::compact::{CompactedDimension, HalfDead, Plan, Scope, dead, plan};
use crate::file::names;
use crate::tensor::slice::Slice;

/// Compacts a checkpoint. Without an output, it only returns the report.
pub(crate) fn run(
    compactor: &Compactor,
    checkpoint: &Checkpoint,
    output: Option<&Output>,
    observer: &dyn Observer,
) -> Result<CompactReport, CheckpointError> {
    checkpoint.check_rewritable("compact")?;
    let structure = Structure::of(compactor, checkpoint)?;
    let pool = Pool::default();
    let Chosen { plan, half_dead } = choose(compactor, checkpoint, &structure, &pool, observer)?;
    let config = structure.changed_config(&plan)?;
    let mut tensors = tensors(checkpoint, &structure, &plan);
    if let (Some(config), Some(model)) = (&config, &structure.model) {
        // The output is checked as if it were the input: loaders fill gaps with random layers, without an error.
        let preset = Preset::new(config)?;
        preset.check(config, tensors.names(checkpoint))?;
        if compactor.fold {
            let progress = ProgressCounter::new(observer, Phase::Ranking, 0);
            let ranking = Ranking::new(checkpoint, &pool, &progress);
            fold::fold(model, &plan, &ranking, &mut tensors.kept)?;
        }
    } else if compactor.fold {
        return Err(CheckpointError::FoldWithoutPreset);
    }

    let dimensions = plan.dimensions();
    let reports = tensors.reports(checkpoint);
    let equality = equality(compactor, &structure, &dimensions);
    let changes = config.as_ref().zip(structure.model.as_ref()).map(|(after, model)| model.config.changes(after));
    if let Some(path) = &compactor.save_plan {
        check_plan_file(path, compactor, checkpoint)?;
        if fs::symlink_metadata(path).is_ok() && output.is_none_or(|output| !output.force) {
            return Err(CheckpointError::OutputExists { path: path.clone() });
        }
    }
    let encoded = json::encode(&plan);
    let (mut resumed, mut companions) = Default::default();
    if let Some(output) = output {
        let config = config.map(|config| config.encode());
        let destination = (&compactor.output(output)?, compactor.identity(&plan));
        (resumed, companions) = write(checkpoint, tensors, config, destination, &pool, observer)?;
    }
    // After the output, whose directory may be new, and so that a run which fails or is resumed finds no plan in its way.
    if let Some(path) = &compactor.save_plan {
        write_whole(path, &encoded)?;
    }
    Ok(CompactReport {
        dimensions,
        tensors: reports,
        config: changes.unwrap_or_default(),
        dropped: compactor.dropped.clone(),
        equality,
        half_dead,
        resumed,
        companions,
    })
}

/// Returns `Ok` if the file for the plan is none of the input files.
fn check_plan_file(path: &Path, compactor: &Compactor, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
    let config = checkpoint.directory().join(CONFIG);
    let named = [&compactor.keep, &compactor.coupling, &compactor.scores].into_iter().flatten();
    let inputs = checkpoint.shards().iter().map(Shard::path).chain(checkpoint.index_path());
    check_apart([path], inputs.chain([config.as_path()]).chain(named.map(PathBuf::as_path)))
}

/// Writes the tensors of an output, and a configuration if it is not that of the input. Returns the shards that were finished
/// already, and what became of the files beside the weights.
pub(super) fn write(
    checkpoint: &Checkpoint,
    tensors: Tensors,
    config: Option<Vec<u8>>,
    output: (&Output, RunIdentity),
    pool: &Pool,
    observer: &dyn Observer,
) -> Result<(Vec<PathBuf>, Companions), CheckpointError> {
    let layout = FileLayouts::compacted(checkpoint, tensors.kept, config)?;
    let run = PlannedRun {
        checkpoint,
        layout: &layout,
        plans: Vec::new(),
        mask_file: None,
        counts_zeros: false,
        pool,
        observer,
    };
    let written = run.execute(Some(output))?;
    Ok((written.resumed, written.companions))
}

struct Chosen {
    plan: Plan,
    half_dead: Vec<HalfDead>,
}

/// Chooses the kept units: by a file, by scores or norms, and by zeros.
fn choose(
    compactor: &Compactor,
    checkpoint: &Checkpoint,
    structure: &Structure,
    pool: &Pool,
    observer: &dyn Observer,
) -> Result<Chosen, CheckpointError> {
    let all = structure.layout(None)?;
    let mut kept = BTreeMap::new();
    if let Some(path) = &compactor.keep {
        kept = json::read_kept(path)?;
        if structure.model.is_some() {
            // The file may list layers that are dropped.
            let dropped = |name: &str| {
                name.split_once('.').is_some_and(|(layer, _)| compactor.dropped.iter().any(|d| d.to_string() == layer))
            };
            kept.retain(|name, _| !dropped(name));
        }
    }
    let mut chosen = plan::keep(all.clone(), kept).map_err(compact)?;

    let mut layouts = Vec::new();
    for &(part, amount) in &compactor.amounts {
        let multiple = if part == Part::Ffn { compactor.multiple } else { 1 };
        let choice =
            Choice { amount, scope: Scope::Dimension, multiple, minimum: compactor.minimum, rank: compactor.rank };
        layouts.push((structure.layout(Some(part))?, choice));
    }
    let is_read = |layout| ranking::work(checkpoint, layout, is_ranked);
    let ranked: u64 =
        if compactor.scores.is_some() { 0 } else { layouts.iter().map(|(layout, _)| is_read(layout)).sum() };
    let scanned = if compactor.dead { ranking::work(checkpoint, &all, |_| true) } else { 0 };
    let progress = ProgressCounter::new(observer, Phase::Ranking, ranked + scanned);
    let ranking = Ranking::new(checkpoint, pool, &progress);
    for (layout, choice) in layouts {
        let scores = match &compactor.scores {
            Some(path) => {
                let wanted = layout.dimensions.iter().filter(|d| !d.left_out).map(|d| d.name.as_str());
                ranking::read_scores(path, &wanted.collect::<Vec<_>>())?
            }
            None => ranking.importance(&layout, &choice.rank)?,
        };
        let plan = choice::choose(layout, &scores, &choice).map_err(compact)?;
        chosen = chosen.and(&plan).map_err(compact)?;
    }
    let mut half_dead = Vec::new();
    if compactor.dead {
        let nonzeros = ranking.nonzeros(&all)?;
        let mut dead = dead::dead(all, &nonzeros);
        if let Some(model) = &structure.model {
            even_out(&mut dead.plan, &model.preset, &model.layers);
        }
        half_dead = dead.half_dead;
        chosen = chosen.and(&dead.plan).map_err(compact)?;
    }
    progress.finish()?;
    Ok(Chosen { plan: chosen, half_dead })
}

/// Lets every layer keep as many units as the layer with most of them: the first dead ones stay.
fn even_out(plan: &mut Plan, preset: &Preset, layers: &[usize]) {
    for (&part, &units) in &preset.units {
        let names: Vec<String> = layers.iter().map(|&layer| part.dimension(layer)).collect();
        let most = names.iter().map(|name| plan.kept(name).len()).max().unwrap_or(units);
        let own: Vec<usize> =
            plan.layout.names().enumerate().filter(|(_, name)| names.contains(name)).map(|(d, _)| d).collect();
        for d in own {
            let kept = &mut plan.kept[d];
            let mut unit = 0;
            while kept.len() < most && unit < units {
                if let Err(place) = kept.binary_search(&unit) {
                    kept.insert(place, unit);
                }
                unit += 1;
            }
        }
    }
}

/// The tensors of the output, and the names and shapes of all.
pub(super) struct Tensors {
    pub kept: Vec<CompactedTensor>,
}

/// The tensors of the output: renamed, cut, reordered, or as they are.
pub(super) fn tensors(checkpoint: &Checkpoint, structure: &Structure, plan: &Plan) -> Tensors {
    let mut slices: HashMap<usize, Slice> = HashMap::new();
    for parameter in &checkpoint.parameters {
        let slice = || {
            structure.shapes.contains_key(&parameter.name).then(|| plan.layout.slice(&parameter.name, &plan.kept))?
        };
        for tensor in [Some(parameter.weights), parameter.mask].into_iter().flatten() {
            slices.extend(slice().map(|slice| (tensor, slice)));
        }
    }
    let kept = checkpoint.tensors.iter().enumerate().filter_map(|(tensor, info)| {
        let name = match &structure.model {
            Some(model) => model.preset.renamed(&info.name, &model.layers)?,
            None => info.name.clone(),
        };
        Some(CompactedTensor { tensor, name, slice: slices.remove(&tensor), bytes: None })
    });
    Tensors { kept: kept.collect() }
}

impl Tensors {
    /// The names and shapes of the output, with pruned tensors under their plain names.
    fn names<'t>(&'t self, checkpoint: &'t Checkpoint) -> impl Iterator<Item = (&'t str, &'t [usize])> {
        let masks: HashMap<usize, bool> = checkpoint
            .parameters
            .iter()
            .filter_map(|parameter| Some([(parameter.weights, false), (parameter.mask?, true)]))
            .flatten()
            .collect();
        self.kept.iter().filter_map(move |tensor| {
            let name = match masks.get(&tensor.tensor) {
                Some(true) => return None,
                Some(false) => names::pruned(&tensor.name).unwrap_or(&tensor.name),
                None => &tensor.name,
            };
            Some((name, tensor.shape(checkpoint)))
        })
    }

    fn reports(&self, checkpoint: &Checkpoint) -> Vec<CompactedTensorReport> {
        let kept: HashMap<usize, &CompactedTensor> = self.kept.iter().map(|tensor| (tensor.tensor, tensor)).collect();
        let report = |(number, info): (usize, &crate::checkpoint::read::Tensor)| {
            let kept = kept.get(&number);
            CompactedTensorReport {
                name: info.name.clone(),
                renamed: kept.map(|kept| kept.name.clone()),
                dtype: info.dtype,
                before: info.shape.clone(),
                after: kept.map_or_else(Vec::new, |kept| kept.shape(checkpoint).to_vec()),
                bytes_before: info.bytes,
                bytes_after: kept.map_or(0, |kept| kept.len(checkpoint)),
            }
        };
        checkpoint.tensors.iter().enumerate().map(report).collect()
    }
}

/// The model that the output is equal to.
fn equality(compactor: &Compactor, structure: &Structure, dimensions: &[CompactedDimension]) -> Equality {
    let drops_norms = structure.model.as_ref().is_some_and(|model| !model.preset.is_pre_norm);
    if !compactor.dropped.is_empty() && drops_norms {
        return Equality::None;
    }
    let loses_units = dimensions.iter().any(|dimension| dimension.kept < dimension.units);
    let only_dead = compactor.amounts.is_empty() && compactor.keep.is_none();
    match (compactor.dropped.is_empty(), loses_units) {
        (true, false) => Equality::Input,
        (true, true) if only_dead => Equality::Input,
        (_, true) if compactor.fold => Equality::MaskedProducers,
        (_, _) => Equality::Masked,
    }
}
