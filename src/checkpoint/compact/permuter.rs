//! [`Permuter`]: an order of the units of a checkpoint in which a pattern keeps more.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::checkpoint::compact::ranking::Ranking;
use crate::checkpoint::compact::run;
use crate::checkpoint::compact::structure::{Structure, compact};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::{Observer, Phase, ProgressCounter};
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::Pool;
use crate::checkpoint::report::Companions;
use crate::checkpoint::write::output::Output;
use crate::checkpoint::write::resume::RunIdentity;
use crate::compact::search::{self, LIMIT, Source};
use crate::compact::swaps::Columns;
use crate::compact::{Permutation, Permuted, Search};
use crate::element::accumulator::Accumulator;

/// Reorders units of a checkpoint, so that an N:M pattern keeps more of it. The output computes what the input computes, up to
/// the order in which products sum.
///
/// The structure of a model comes from its `config.json`, for the [types](crate::checkpoint::MODEL_TYPES) of
/// [`Compactor`](crate::checkpoint::Compactor), or from a [coupling file](Self::coupling). With a type, two kinds of units of
/// every layer are reordered:
///
/// | dimension | units |
/// |---|---|
/// | `0.ffn` | the inner neurons of the feed-forward network |
/// | `0.values.0` | the values within a key/value head, alike for all its query heads |
///
/// They lie along the last axis of `down_proj` and `o_proj` of llama, and along the first axis of `mlp.c_proj` and `attn.c_proj`
/// of GPT-2, whose products sum over that one. The columns of the other matrices belong to the residual stream, which has one
/// order for the whole model; a coupling file can declare it.
///
/// No size changes, and neither does `config.json`. Tensors that are stored as `w_orig` and `w_mask` are ranked by their
/// product, and reordered as both.
///
/// ```no_run
/// use prune::NM;
/// use prune::checkpoint::{Checkpoint, Output, Permuter};
/// use prune::compact::Search;
///
/// let checkpoint = Checkpoint::open(["model/model.safetensors"])?;
/// let permuter = Permuter::new(Search::new(NM::new(2, 4, -1)?));
/// let report = permuter.run(&checkpoint, &Output::new("permuted/"), &())?;
/// println!("{}", report.found);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Permuter {
    search: Search,
    coupling: Option<PathBuf>,
}

/// The order that was found for a checkpoint.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[must_use = "the report says how much more the pattern keeps"]
pub struct PermuteReport {
    /// The orders, and what the pattern keeps before and after.
    pub found: Permuted,
    /// The shards that an earlier run finished, and this one kept.
    pub resumed: Vec<PathBuf>,
    /// The files beside the weights: copied, or left out.
    pub companions: Companions,
}

impl Permuter {
    /// Returns a permuter that searches the units of the type in `config.json`.
    pub fn new(search: Search) -> Self {
        Self { search, coupling: None }
    }

    /// Takes the coupling from a JSON file instead of the type, as [`Compactor::coupling`](crate::checkpoint::Compactor::coupling)
    /// describes it. All its dimensions along the axis of the pattern are reordered.
    pub fn coupling(self, path: impl Into<PathBuf>) -> Self {
        Self { coupling: Some(path.into()), ..self }
    }

    /// Writes a reordered copy of a checkpoint.
    ///
    /// The [companions](crate::checkpoint::Companions) are copied into a directory. At most 256 MiB are used, plus the headers
    /// and 100 bytes for each unit in each parameter; of a parameter of more than 25 million entries, or 12 million of `f64`,
    /// the search compares only a part of the lines.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Compact`] with the error of the coupling or the search; the errors of
    /// [`Compactor::run`](crate::checkpoint::Compactor::run) that concern the model, the output and the data.
    pub fn run(
        &self,
        checkpoint: &Checkpoint,
        output: &Output,
        observer: &dyn Observer,
    ) -> Result<PermuteReport, CheckpointError> {
        self.permute(checkpoint, Some(output), observer)
    }

    /// Returns the report that [`run`](Self::run) would return, without writing a checkpoint.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    pub fn dry_run(&self, checkpoint: &Checkpoint, observer: &dyn Observer) -> Result<PermuteReport, CheckpointError> {
        self.permute(checkpoint, None, observer)
    }

    fn permute(
        &self,
        checkpoint: &Checkpoint,
        output: Option<&Output>,
        observer: &dyn Observer,
    ) -> Result<PermuteReport, CheckpointError> {
        checkpoint.check_rewritable("reorder units of")?;
        let structure = Structure::for_orders(self.coupling.as_deref(), checkpoint)?;
        let layout = structure.layout(None)?;
        let components = search::components(&layout, &self.search).map_err(compact)?;
        let sizes = checkpoint
            .parameters
            .iter()
            .map(|parameter| (parameter.name.as_str(), checkpoint.tensors[parameter.weights].bytes));
        let sizes: HashMap<&str, u64> = sizes.collect();
        let work = components.iter().map(|component| {
            let bytes: u64 = component.names().iter().map(|name| sizes[name.as_str()]).sum();
            bytes.saturating_mul(component.rounds(&self.search) as u64 + 1)
        });
        let progress = ProgressCounter::new(observer, Phase::Ranking, work.fold(0, u64::saturating_add));
        let pool = Pool::default();
        let source = Files { ranking: Ranking::new(checkpoint, &pool, &progress), sizes };
        let found = search::permute(layout, &components, &self.search, LIMIT, &source)?;
        progress.finish()?;

        let (mut resumed, mut companions) = Default::default();
        if let Some(output) = output {
            let tensors = run::tensors(checkpoint, &structure, &found.permutation.plan);
            let destination = (output, identity(&found.permutation));
            (resumed, companions) = run::write(checkpoint, tensors, None, destination, &pool, observer)?;
        }
        Ok(PermuteReport { found, resumed, companions })
    }
}

/// The options that decide the bytes of the output: the orders.
fn identity(permutation: &Permutation) -> RunIdentity {
    let orders: Value = permutation.iter().map(|(name, order)| (name.to_owned(), Value::from(order))).collect();
    vec![("method", "permute".into()), ("orders", orders)]
}

/// The parameters of a checkpoint.
struct Files<'r, 'o> {
    ranking: Ranking<'r, 'o>,
    /// The bytes of each parameter.
    sizes: HashMap<&'r str, u64>,
}

impl Source for Files<'_, '_> {
    type Error = CheckpointError;

    fn is_wide(&self, parameter: &str) -> bool {
        self.ranking.parameters[parameter].dtype.bits() > 32
    }

    fn read<F: Accumulator>(&self, parameter: &str, columns: &mut Columns<F>) -> Result<(), CheckpointError> {
        let entry = self.ranking.parameters[parameter];
        let narrowed = |offset: usize, values: &[f64]| {
            (offset, values.iter().map(|&x| search::narrowed::<F>(x)).collect::<Vec<F>>())
        };
        self.ranking.fold_range(entry, columns.entries(), narrowed, |(offset, values)| columns.fill(offset, values))
    }

    fn compared(&self, parameters: &[String]) -> Result<(), CheckpointError> {
        self.ranking.progress.add(parameters.iter().map(|name| self.sizes[name.as_str()]).sum())
    }
}
