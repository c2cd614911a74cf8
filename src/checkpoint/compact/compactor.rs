//! [`Compactor`]: the units and layers that a compaction of a checkpoint removes.

use std::path::PathBuf;

use serde_json::Value;

use crate::amount::Amount;
use crate::checkpoint::compact::preset::Part;
use crate::checkpoint::compact::report::CompactReport;
use crate::checkpoint::compact::run;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::Observer;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::write::output::Output;
use crate::checkpoint::write::resume::RunIdentity;
use crate::compact::{Plan, Rank};

/// Removes units and layers of a checkpoint: a smaller checkpoint that loads as the large one did.
///
/// The structure of a model comes from its `config.json`, for the types `bert`, `gemma`, `gemma2`, `gemma3_text`, `gpt2`,
/// `llama`, `mistral`, `phi3`, `qwen2`, `qwen3`, `roberta` and `vit` of Hugging Face, or from a [coupling
/// file](Self::coupling). A tensor that the type does not have is an error, so that no variant is cut by halves.
///
/// | removed | `config.json` afterwards |
/// |---|---|
/// | [`ffn`](Self::ffn) | `intermediate_size`; `n_inner` for GPT-2 |
/// | [`kv_groups`](Self::kv_groups), of llama and its kin | `num_attention_heads`, `num_key_value_heads` and `head_dim` |
/// | [`heads`](Self::heads), of ViT | `num_attention_heads` and `head_dim`, which needs transformers 5 |
/// | [`drop_layers`](Self::drop_layers) | `num_hidden_layers` or `n_layer`, `layer_types` and `max_window_layers` |
///
/// Every layer keeps the same number of units, because configurations have one number for all, but units of its own. The
/// heads of BERT, RoBERTa and GPT-2 cannot be cut: no configuration can say it.
///
/// Tensors that are stored as `w_orig` and `w_mask` are ranked by their product, and cut as both.
///
/// ```no_run
/// use prune::checkpoint::{Checkpoint, Compactor, Output};
///
/// let checkpoint = Checkpoint::open(["model/model.safetensors"])?;
/// let half = Compactor::new().ffn(0.5).multiple(64);
/// let report = half.run(&checkpoint, &Output::new("smaller/"), &())?;
/// println!("{} -> {} weights", report.entries_before(), report.entries_after());
/// # Ok::<(), prune::checkpoint::CheckpointError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Compactor {
    pub(crate) amounts: Vec<(Part, Amount)>,
    pub(crate) dropped: Vec<usize>,
    pub(crate) dead: bool,
    pub(crate) coupling: Option<PathBuf>,
    pub(crate) keep: Option<PathBuf>,
    pub(crate) scores: Option<PathBuf>,
    pub(crate) rank: Rank,
    pub(crate) multiple: usize,
    pub(crate) minimum: usize,
    pub(crate) fold: bool,
    pub(crate) save_plan: Option<PathBuf>,
}

impl Default for Compactor {
    fn default() -> Self {
        Self::new()
    }
}

impl Compactor {
    /// Returns a compactor that removes nothing yet.
    pub fn new() -> Self {
        Self {
            amounts: Vec::new(),
            dropped: Vec::new(),
            dead: false,
            coupling: None,
            keep: None,
            scores: None,
            rank: Rank::default(),
            multiple: 1,
            minimum: 1,
            fold: false,
            save_plan: None,
        }
    }

    fn amount(mut self, part: Part, amount: impl Into<Amount>) -> Self {
        self.amounts.retain(|(other, _)| *other != part);
        self.amounts.push((part, amount.into()));
        self
    }

    /// Removes inner neurons of the feed-forward network of each layer: a fraction or a count.
    pub fn ffn(self, amount: impl Into<Amount>) -> Self {
        self.amount(Part::Ffn, amount)
    }

    /// Removes key/value heads of each layer with all their query heads: a fraction or a count.
    pub fn kv_groups(self, amount: impl Into<Amount>) -> Self {
        self.amount(Part::KvGroups, amount)
    }

    /// Removes attention heads of each layer: a fraction or a count.
    pub fn heads(self, amount: impl Into<Amount>) -> Self {
        self.amount(Part::Heads, amount)
    }

    /// Removes whole layers, by their numbers from 0. The others are renumbered.
    pub fn drop_layers(self, layers: impl IntoIterator<Item = usize>) -> Self {
        let mut dropped: Vec<usize> = layers.into_iter().collect();
        dropped.sort_unstable();
        dropped.dedup();
        Self { dropped, ..self }
    }

    /// Removes the units that masks or zeros have made useless, as [`Coupling::dead`](crate::compact::Coupling::dead)
    /// finds them. Each layer keeps as many units as the layer with the most useful ones.
    pub fn dead(self, dead: bool) -> Self {
        Self { dead, ..self }
    }

    /// Takes the coupling from a JSON file instead of a preset. No configuration is changed then. The file has a list
    /// `dimensions`: objects with a `name`, an optional `size`, optional `open` and `zero_at_zero`, and `uses` with `tensor`,
    /// `axis`, `role` (out, follow, in, buffer), and optional `offset`, `repeat` and `block`. Tensors without a use are
    /// copied, unless the file has a list `fixed` of patterns that must cover them.
    pub fn coupling(self, path: impl Into<PathBuf>) -> Self {
        Self { coupling: Some(path.into()), ..self }
    }

    /// Keeps the units that a JSON file lists: an object `keep` with the units of each dimension. The dimensions of a preset
    /// are named `0.ffn`, `0.kv_groups` and `0.heads`, with the number of the layer before any is dropped.
    pub fn keep(self, path: impl Into<PathBuf>) -> Self {
        Self { keep: Some(path.into()), ..self }
    }

    /// Ranks units by the scores in a safetensors file instead of norms: one vector for each dimension, with its name.
    pub fn scores(self, path: impl Into<PathBuf>) -> Self {
        Self { scores: Some(path.into()), ..self }
    }

    /// Sets the criterion by which units are ranked.
    pub fn rank(self, rank: Rank) -> Self {
        Self { rank, ..self }
    }

    /// Sets the number of which the kept inner neurons are a multiple; 1 by default. Odd widths are slow.
    pub fn multiple(self, multiple: usize) -> Self {
        Self { multiple, ..self }
    }

    /// Sets the number of units that each dimension keeps at least; 1 by default.
    pub fn minimum(self, minimum: usize) -> Self {
        Self { minimum, ..self }
    }

    /// Adds the constants that biases make of pruned units to the next layer, as [`Plan::fold`](crate::compact::Plan::fold)
    /// does. The output then equals the model whose producers alone are masked.
    pub fn fold(self, fold: bool) -> Self {
        Self { fold, ..self }
    }

    /// Writes the plan to a JSON file, for [`keep`](Self::keep), after the output. It must be none of the input files:
    /// [`CheckpointError::OutputIsInput`].
    pub fn save_plan(self, path: impl Into<PathBuf>) -> Self {
        Self { save_plan: Some(path.into()), ..self }
    }

    /// Writes a compacted copy of a checkpoint.
    ///
    /// With a preset, the output is a directory: its `config.json` fits the new sizes, and the other
    /// [companions](crate::checkpoint::Companions) are copied. At most 256 MiB are used, plus the headers
    /// and the scores.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Compact`] with the error of the coupling, choice or plan; [`CheckpointError::NoPreset`],
    /// [`CheckpointError::UnknownToPreset`], [`CheckpointError::PresetShape`], [`CheckpointError::LayerLacks`] and
    /// [`CheckpointError::Config`] if model and configuration do not fit; the errors of
    /// [`Pruner::run`](crate::checkpoint::Pruner::run) that concern the output and the data.
    pub fn run(
        &self,
        checkpoint: &Checkpoint,
        output: &Output,
        observer: &dyn Observer,
    ) -> Result<CompactReport, CheckpointError> {
        run::run(self, checkpoint, Some(output), observer)
    }

    /// Returns the report that [`run`](Self::run) would return, without writing a checkpoint.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    pub fn dry_run(&self, checkpoint: &Checkpoint, observer: &dyn Observer) -> Result<CompactReport, CheckpointError> {
        run::run(self, checkpoint, None, observer)
    }

    /// Returns `true` if a configuration is changed, so that the output is a directory.
    pub fn changes_config(&self) -> bool {
        self.coupling.is_none()
    }

    /// The options that decide the bytes of an output. Files count by their contents.
    pub(crate) fn identity(&self, plan: &Plan) -> RunIdentity {
        let units: Value = plan.iter().map(|(name, units)| (name.to_owned(), Value::from(units))).collect();
        vec![
            ("method", "compact".into()),
            ("layers", self.dropped.clone().into()),
            ("units", units),
            ("fold", self.fold.into()),
        ]
    }

    /// The output, which is a directory if a configuration is changed, even without a separator at its end.
    pub(crate) fn output(&self, output: &Output) -> Result<Output, CheckpointError> {
        if !self.changes_config() {
            return Ok(output.clone());
        }
        if output.path.extension().is_some_and(|extension| extension == "safetensors") && !output.path.is_dir() {
            return Err(CheckpointError::OutputKind { path: output.path.clone(), expected: "a directory" });
        }
        Ok(Output { path: output.path.join(""), ..output.clone() })
    }
}
