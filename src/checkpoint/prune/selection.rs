//! The selection of tensors by name, dtype and number of dimensions.

use std::collections::HashSet;

use globset::{GlobBuilder, GlobMatcher};

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::report::SkipReason;

/// The words in names of tensors that are not pruned by default: embeddings, norms and biases.
///
/// A name is split at every character that is not a letter, and its words are compared without regard to case: `embed` in
/// `model.embed_tokens.weight`, `LayerNorm` in `bert.LayerNorm.weight`, `ln` in `h.0.ln_1.weight`. Only names are compared: an
/// embedding with the name `shared.weight` must be excluded by a pattern.
pub const NOT_PRUNED_BY_DEFAULT: &[&str] = &[
    "embed",
    "embedding",
    "embeddings",
    "embedder",
    "embd",
    "emb",
    "wte",
    "wpe",
    "norm",
    "norms",
    "layernorm",
    "rmsnorm",
    "batchnorm",
    "groupnorm",
    "instancenorm",
    "ln",
    "bn",
    "gn",
    "bias",
    "biases",
];

/// A selection of the tensors to prune.
///
/// By default, floating-point tensors (F32, F64, F16, BF16) with two or more dimensions are selected, except those with a
/// word of [`NOT_PRUNED_BY_DEFAULT`] in their names. With patterns to include, every floating-point tensor that matches one
/// of them is selected, whatever its shape and name: `*` selects all. Excluded tensors are skipped in both cases.
///
/// Patterns are globs that match whole names: `?` is any character, `*` any number of characters, dots included, `[ab]` one
/// of several characters, `{a,b}` one of several patterns. A tensor that is stored as `w_orig` and `w_mask` has the name `w`.
///
/// ```
/// use prune::checkpoint::Selection;
///
/// let selection = Selection::new().include("encoder.*").exclude("*.bias");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
}

impl Selection {
    /// Returns the default selection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pattern for names of tensors to prune.
    pub fn include(mut self, pattern: impl Into<String>) -> Self {
        self.include.push(pattern.into());
        self
    }

    /// Adds a pattern for names of tensors to skip.
    pub fn exclude(mut self, pattern: impl Into<String>) -> Self {
        self.exclude.push(pattern.into());
        self
    }

    /// Returns, for each parameter, the reason why it is skipped, or `None` if it is selected. `masks` are the names in the
    /// mask file, if there is one.
    pub(crate) fn resolve(
        &self,
        masks: Option<&HashSet<&str>>,
        parameters: &[ParameterEntry],
    ) -> Result<Vec<Option<SkipReason>>, CheckpointError> {
        let include = patterns(&self.include)?;
        let exclude = patterns(&self.exclude)?;
        let can_be_pruned = |parameter: &&ParameterEntry| parameter.dtype.can_be_pruned();
        check_matched(&include, false, parameters.iter().filter(can_be_pruned))?;
        check_matched(&exclude, true, parameters.iter())?;

        let reason = |parameter: &ParameterEntry| {
            let matched = |patterns: &[(String, GlobMatcher)]| {
                let matched = patterns.iter().find(|(_, matcher)| matcher.is_match(&parameter.name));
                matched.map(|(pattern, _)| pattern.clone())
            };
            if !parameter.dtype.can_be_pruned() {
                return Some(SkipReason::Dtype);
            }
            if let Some(pattern) = matched(&exclude) {
                return Some(SkipReason::Excluded { pattern });
            }
            if !include.is_empty() && matched(&include).is_none() {
                return Some(SkipReason::NotIncluded);
            }
            if let Some(masks) = masks {
                return (!masks.contains(parameter.name.as_str())).then_some(SkipReason::NoMask);
            }
            if !include.is_empty() {
                return None;
            }
            match excluded_word(&parameter.name) {
                Some(mark) => Some(SkipReason::Name { mark }),
                None => (parameter.shape.len() < 2).then_some(SkipReason::Rank),
            }
        };
        let reasons: Vec<_> = parameters.iter().map(reason).collect();
        if reasons.iter().all(Option::is_some) {
            return Err(CheckpointError::NothingSelected { tensors: parameters.len() });
        }
        Ok(reasons)
    }
}

/// Each pattern with its matcher.
fn patterns(globs: &[String]) -> Result<Vec<(String, GlobMatcher)>, CheckpointError> {
    let compile = |glob: &String| match GlobBuilder::new(glob).build() {
        Ok(compiled) => Ok((glob.clone(), compiled.compile_matcher())),
        Err(error) => Err(CheckpointError::InvalidPattern { pattern: glob.clone(), source: error.into() }),
    };
    globs.iter().map(compile).collect()
}

/// Returns an error for the first pattern that matches none of the parameters.
fn check_matched<'p>(
    patterns: &[(String, GlobMatcher)],
    excludes: bool,
    parameters: impl Iterator<Item = &'p ParameterEntry> + Clone,
) -> Result<(), CheckpointError> {
    let unmatched =
        |(_, matcher): &&(String, GlobMatcher)| !parameters.clone().any(|parameter| matcher.is_match(&parameter.name));
    match patterns.iter().find(unmatched) {
        Some((pattern, _)) => Err(CheckpointError::UnmatchedPattern { pattern: pattern.clone(), excludes }),
        None => Ok(()),
    }
}

/// The first word in a name that excludes it by default.
fn excluded_word(name: &str) -> Option<&'static str> {
    let mut words = name.split(|c: char| !c.is_ascii_alphabetic());
    words.find_map(|word| NOT_PRUNED_BY_DEFAULT.iter().copied().find(|excluded| word.eq_ignore_ascii_case(excluded)))
}

#[cfg(test)]
mod tests {
    use super::excluded_word;

    #[test]
    fn names_of_well_known_models() {
        for (name, expected) in [
            ("model.embed_tokens.weight", Some("embed")),
            ("bert.embeddings.word_embeddings.weight", Some("embeddings")),
            ("encoder.layer.0.output.LayerNorm.weight", Some("layernorm")),
            ("transformer.h.0.ln_1.weight", Some("ln")),
            ("wte.weight", Some("wte")),
            ("layer4.1.bn2.weight", Some("bn")),
            ("block.0.layer.0.SelfAttention.relative_attention_bias.weight", Some("bias")),
            ("model.layers.0.input_layernorm.weight", Some("layernorm")),
            ("model.layers.0.self_attn.q_proj.weight", None),
            ("model.layers.0.mlp.shared_experts.gate_proj.weight", None),
            ("lm_head.weight", None),
            ("normal.weight", None),
        ] {
            assert_eq!(excluded_word(name), expected, "{name}");
        }
    }
}
