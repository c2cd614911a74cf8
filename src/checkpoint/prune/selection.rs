//! The selection of tensors: the default one, restricted or replaced by patterns.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::prune::kind::{Kinds, last_layer};
use crate::checkpoint::prune::nearest::nearest;
use crate::checkpoint::prune::pattern::Pattern;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::packed::{PackedEntry, all_parts, hidden_parts};
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::read::usage::Usage;
use crate::checkpoint::report::SkipReason;

/// A selection of the tensors to prune.
///
/// By default, the weights of layers are selected: floating-point tensors (F32, F64, F16, BF16) with at least two dimensions
/// larger than 1 and the name of a layer's weight, such as `fc.weight` or `lstm.weight_ih_l0`. Norms, embeddings, output
/// layers over a vocabulary, routers of experts, parts of quantised weights, gains of weight norms and optimizer state are not
/// selected, nor is a tensor that equals an embedding byte for byte. A structured method skips the last layer too, so that
/// the model keeps its outputs. In an ONNX model, the operators that take a tensor decide instead of its name. `docs/FILES.md` states
/// both rules with examples.
///
/// - [`include`](Self::include) restricts this selection to the tensors that match a pattern.
/// - [`only`](Self::only) replaces it: every floating-point tensor that matches a pattern is selected, whatever it is.
/// - [`exclude`](Self::exclude) removes tensors from either.
///
/// Patterns are globs that match whole names: `?` is any character, `*` any number of characters, dots included, `[ab]` one
/// of several characters, `{a,b}` one of several patterns. A tensor that is stored as `w_orig` and `w_mask` has the name `w`.
///
/// ```
/// use prune::checkpoint::Selection;
///
/// let selection = Selection::new().include("encoder.*").exclude("*.q_proj.weight");
/// let everything = Selection::new().only("*");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    pub(crate) only: Vec<String>,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
}

/// The purpose of a selection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose<'m> {
    /// Entries are pruned, or zeros are looked at.
    Entries,
    /// Channels are pruned.
    Channels,
    /// The masks of a mask file are applied, which has these names. They are the default selection.
    Masks(&'m HashSet<&'m str>),
}

/// A selection for a certain checkpoint.
#[derive(Debug)]
pub(crate) struct Selected {
    /// For each parameter the reason why it is skipped, or `None` if it is selected.
    pub reasons: Vec<Option<SkipReason>>,
    /// The patterns to exclude that match nothing.
    pub unmatched: Vec<String>,
}

impl Selection {
    /// Returns the default selection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pattern for names of tensors to prune, whatever they are. Without such a pattern, the weights of layers are
    /// selected.
    pub fn only(mut self, pattern: impl Into<String>) -> Self {
        self.only.push(pattern.into());
        self
    }

    /// Adds a pattern to which the selection is restricted. With several, a tensor must match one of them.
    pub fn include(mut self, pattern: impl Into<String>) -> Self {
        self.include.push(pattern.into());
        self
    }

    /// Adds a pattern for names of tensors to skip. It need not match any.
    pub fn exclude(mut self, pattern: impl Into<String>) -> Self {
        self.exclude.push(pattern.into());
        self
    }

    /// Returns, for each tensor of a checkpoint, the reason why it is skipped, or `None` if it is selected. The order is that of
    /// [`Inspection::tensors`](crate::checkpoint::Inspection::tensors). Weights are read where one could equal an embedding.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("layer.safetensors");
    /// # let mut layer = prune::ParameterStore::from_iter([("weight", ndarray::arr2(&[[1.0_f32, -2.0], [3.0, -4.0]]))]);
    /// # layer.insert("bias", ndarray::arr1(&[0.5]));
    /// # prune::safetensors::save_file(&layer, &path)?;
    /// use prune::checkpoint::{Checkpoint, Selection, SkipReason};
    ///
    /// let reasons = Selection::new().skipped(&Checkpoint::open([&path])?)?; // of `weight` and `bias`
    /// assert_eq!(reasons, [None, Some(SkipReason::Vector)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`CheckpointError::InvalidPattern`] if a pattern is not a valid glob.
    /// - [`CheckpointError::UnmatchedPattern`] if a pattern that is not one to exclude matches no tensor, and
    ///   [`CheckpointError::UnsupportedDtype`] if it matches none that can be pruned.
    /// - [`CheckpointError::Read`] if a file cannot be read.
    pub fn skipped(&self, checkpoint: &Checkpoint) -> Result<Vec<Option<SkipReason>>, CheckpointError> {
        let patterns = Patterns::of(self, &checkpoint.parameters)?;
        let packed = checkpoint.packed()?;
        let reasons = self.reasons(&patterns, checkpoint, Purpose::Entries, &packed)?;
        let hidden = hidden_parts(&packed);
        let listed = checkpoint.parameters.iter().zip(reasons).filter(|(entry, _)| !hidden.contains(&entry.weights));
        Ok(listed.map(|(_, reason)| reason).collect())
    }

    /// Returns the selection among the parameters of a checkpoint. It is an error if it is empty.
    pub(crate) fn resolve(&self, checkpoint: &Checkpoint, purpose: Purpose<'_>) -> Result<Selected, CheckpointError> {
        let parameters = &checkpoint.parameters;
        let patterns = Patterns::of(self, parameters)?;
        let reasons = self.reasons(&patterns, checkpoint, purpose, &checkpoint.packed()?)?;
        if reasons.iter().all(Option::is_some) {
            return Err(CheckpointError::NothingSelected { reasons: counted(reasons) });
        }
        let matches_any = |pattern: &&Pattern| parameters.iter().any(|parameter| pattern.matches(&parameter.name));
        let unmatched = patterns.exclude.iter().filter(|pattern| !matches_any(pattern));
        Ok(Selected { reasons, unmatched: unmatched.map(|pattern| pattern.text.clone()).collect() })
    }

    /// Returns `true` if no pattern replaces the default selection.
    pub(crate) fn is_default(&self) -> bool {
        self.only.is_empty()
    }

    /// The reasons for a part of a checkpoint, in which patterns may match nothing.
    pub(crate) fn in_part(&self, checkpoint: &Checkpoint) -> Result<Vec<Option<SkipReason>>, CheckpointError> {
        self.reasons(&Patterns::compile(self)?, checkpoint, Purpose::Entries, &checkpoint.packed()?)
    }

    /// The reasons that names, shapes and dtypes give. Tensors that are packed or equal to an embedding are not found.
    pub(crate) fn by_headers(&self, parameters: &[ParameterEntry]) -> Result<Vec<Option<SkipReason>>, CheckpointError> {
        let (patterns, kinds) = (Patterns::of(self, parameters)?, Kinds::of(parameters));
        Ok(parameters
            .iter()
            .map(|parameter| patterns.reason(parameter, &Usage::Unknown, &kinds, Purpose::Entries))
            .collect())
    }

    fn reasons(
        &self,
        patterns: &Patterns,
        checkpoint: &Checkpoint,
        purpose: Purpose<'_>,
        packed: &[PackedEntry],
    ) -> Result<Vec<Option<SkipReason>>, CheckpointError> {
        let parameters = &checkpoint.parameters;
        let kinds = Kinds::of(parameters);
        let reason = |parameter| patterns.reason(parameter, checkpoint.usage(parameter), &kinds, purpose);
        let mut reasons: Vec<_> = parameters.iter().map(reason).collect();
        let is_default = self.is_default() && !matches!(purpose, Purpose::Masks(_));
        if is_default {
            skip_tied(checkpoint, &kinds, &mut reasons)?;
        }
        let packed = all_parts(packed);
        for (parameter, reason) in parameters.iter().zip(&mut reasons) {
            if packed.contains(&parameter.weights) {
                *reason = Some(SkipReason::Packed);
            }
        }
        if is_default && matches!(purpose, Purpose::Channels) {
            skip_last_layer(checkpoint, &mut reasons);
        }
        Ok(reasons)
    }
}

/// The patterns of a selection, compiled.
struct Patterns {
    only: Vec<Pattern>,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Patterns {
    /// Compiles the patterns. Each pattern that selects tensors must match one that can be pruned.
    fn of(selection: &Selection, parameters: &[ParameterEntry]) -> Result<Self, CheckpointError> {
        let patterns = Self::compile(selection)?;
        for pattern in patterns.only.iter().chain(&patterns.include) {
            let mut matching = parameters.iter().filter(|parameter| pattern.matches(&parameter.name)).peekable();
            let Some(&first) = matching.peek() else {
                let nearest = nearest(&pattern.text, parameters.iter().map(|parameter| parameter.name.as_str()));
                return Err(CheckpointError::UnmatchedPattern { pattern: pattern.text.clone(), nearest });
            };
            if !matching.any(|parameter| parameter.dtype.can_be_pruned()) {
                let (pattern, tensor, dtype) = (pattern.text.clone(), first.name.clone(), first.dtype);
                return Err(CheckpointError::UnsupportedDtype { pattern, tensor, dtype });
            }
        }
        Ok(patterns)
    }

    fn compile(selection: &Selection) -> Result<Self, CheckpointError> {
        let Selection { only, include, exclude } = selection;
        let [only, include, exclude] = [only, include, exclude].map(|texts| Pattern::all(texts));
        Ok(Self { only: only?, include: include?, exclude: exclude? })
    }

    fn reason(
        &self,
        parameter: &ParameterEntry,
        usage: &Usage,
        kinds: &Kinds<'_>,
        purpose: Purpose<'_>,
    ) -> Option<SkipReason> {
        let matching = |patterns: &[Pattern]| {
            let matching = patterns.iter().find(|pattern| pattern.matches(&parameter.name));
            matching.map(|pattern| pattern.text.clone())
        };
        let is_left_out = |patterns: &[Pattern]| !patterns.is_empty() && matching(patterns).is_none();
        if !parameter.dtype.can_be_pruned() {
            return Some(match usage {
                Usage::Other(reason @ SkipReason::Quantization { .. }) => reason.clone(),
                Usage::Unknown | Usage::Weight(_) | Usage::Other(_) | Usage::Fixed { .. } => SkipReason::Dtype,
            });
        }
        if let Some(pattern) = matching(&self.exclude) {
            return Some(SkipReason::Excluded { pattern });
        }
        if is_left_out(&self.only) || is_left_out(&self.include) {
            return Some(SkipReason::NotIncluded);
        }
        match (purpose, usage) {
            (Purpose::Masks(masks), _) if !masks.contains(parameter.name.as_str()) => Some(SkipReason::NoMask),
            (Purpose::Entries | Purpose::Channels, _) if self.only.is_empty() => kinds.reason(parameter, usage),
            (_, Usage::Fixed { reason, .. }) => Some(reason.clone()),
            (_, Usage::Unknown | Usage::Weight(_) | Usage::Other(_)) => None,
        }
    }
}

/// Skips what has the bytes of an embedding: some models store tied weights twice.
fn skip_tied(
    checkpoint: &Checkpoint,
    kinds: &Kinds<'_>,
    reasons: &mut [Option<SkipReason>],
) -> Result<(), CheckpointError> {
    let parameters = || checkpoint.parameters.iter().zip(&*reasons);
    let selected = parameters().filter(|(_, reason)| reason.is_none());
    let shapes: HashSet<&[usize]> = selected.map(|(parameter, _)| parameter.shape.as_slice()).collect();
    let skipped = parameters().filter(|(_, reason)| reason.is_some()).map(|(parameter, _)| parameter);
    let mut embeddings: HashMap<&[usize], Vec<&ParameterEntry>> = HashMap::new();
    for parameter in skipped.filter(|parameter| shapes.contains(parameter.shape.as_slice())) {
        if matches!(kinds.reason(parameter, checkpoint.usage(parameter)), Some(SkipReason::Embedding { .. })) {
            embeddings.entry(&parameter.shape).or_default().push(parameter);
        }
    }
    for (parameter, reason) in checkpoint.parameters.iter().zip(reasons).filter(|(_, reason)| reason.is_none()) {
        for embedding in embeddings.get(parameter.shape.as_slice()).into_iter().flatten() {
            if parameter.dtype == embedding.dtype
                && checkpoint.have_equal_bytes(parameter.weights, embedding.weights)?
            {
                *reason = Some(SkipReason::Tied { embedding: embedding.name.clone() });
                break;
            }
        }
    }
    Ok(())
}

/// Skips the layer that computes the output, unless it is the only one.
fn skip_last_layer(checkpoint: &Checkpoint, reasons: &mut [Option<SkipReason>]) {
    let parameters = &checkpoint.parameters;
    // The last layer may have one output, and a vector for a weight.
    let is_weight = |(parameter, reason): &(&ParameterEntry, &Option<SkipReason>)| match reason {
        Some(SkipReason::Vector) => parameter.shape.len() > 1,
        Some(_) => false,
        None => true,
    };
    let weights = parameters.iter().zip(&*reasons).filter(is_weight);
    let is_last =
        |parameter: &&ParameterEntry| checkpoint.usage(parameter).weight().is_some_and(|weight| weight.is_last);
    let last = match checkpoint.in_place() {
        Some(_) => parameters.iter().find(is_last).map(|parameter| parameter.name.as_str()),
        None => last_layer(weights.map(|(parameter, _)| parameter.name.as_str())),
    };
    let selected = reasons.iter().filter(|reason| reason.is_none()).count();
    if selected > 1
        && let Some(number) = parameters.iter().position(|parameter| Some(parameter.name.as_str()) == last)
    {
        reasons[number].get_or_insert(SkipReason::LastLayer);
    }
}

/// The reasons with the number of tensors for each, the most frequent first.
fn counted(reasons: Vec<Option<SkipReason>>) -> Vec<(SkipReason, usize)> {
    let mut counts: Vec<(SkipReason, usize)> = Vec::new();
    for reason in reasons.into_iter().flatten() {
        match counts.iter_mut().find(|(found, _)| found.to_string() == reason.to_string()) {
            Some((_, count)) => *count += 1,
            None => counts.push((reason, 1)),
        }
    }
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    counts
}
