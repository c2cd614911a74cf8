use std::collections::HashSet;

use globset::{GlobBuilder, GlobMatcher};

use crate::checkpoint::read::parameter::ParameterEntry as Parameter;
use crate::checkpoint::{CheckpointError, SkipReason};

/// Keystream that mark a tensor as one that is not pruned by default: an embedding, a norm or a bias.
///
/// A name is taken apart at everything that is not a letter, and its words are compared without regard to case: the `embed`
/// of `model.embed_tokens.weight`, the `LayerNorm` of `bert.LayerNorm.weight`, the `ln` of `h.0.ln_1.weight`. Names are all
/// that there is to go by: an embedding that is called `shared.weight` has to be excluded by a pattern.
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

/// Which tensors are pruned.
///
/// Patterns are globs that match whole names: `?` is any character, `*` any number of them, dots included, `[ab]` one of
/// several, `{a,b}` either. A tensor that is pruned already (`w_orig` and `w_mask`) goes by its plain name, `w`.
///
/// Without a pattern to include, floating-point tensors (F32, F64, F16, BF16) of two and more dimensions are selected whose
/// name holds none of the words in [`NOT_PRUNED_BY_DEFAULT`]. With one, those floating-point tensors are selected that match
/// any of them, whatever their shape and name: `*` selects all. What a pattern to exclude matches is left out of either.
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
    /// The default selection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pattern of names to be pruned.
    pub fn include(mut self, pattern: impl Into<String>) -> Self {
        self.include.push(pattern.into());
        self
    }

    /// Adds a pattern of names not to be pruned.
    pub fn exclude(mut self, pattern: impl Into<String>) -> Self {
        self.exclude.push(pattern.into());
        self
    }
}

/// For each parameter, why it is not pruned, if it is not. `masks` are the names in the mask file, if there is one.
pub(crate) fn choose(
    selection: &Selection,
    masks: Option<&HashSet<&str>>,
    parameters: &[Parameter],
) -> Result<Vec<Option<SkipReason>>, CheckpointError> {
    let include = patterns(&selection.include)?;
    let exclude = patterns(&selection.exclude)?;
    let can_be_pruned = |parameter: &&Parameter| parameter.dtype.can_be_pruned();
    check_matched(&include, parameters.iter().filter(can_be_pruned))?;
    check_matched(&exclude, parameters.iter())?;

    let reason = |parameter: &Parameter| {
        let matched = |patterns: &[(String, GlobMatcher)]| {
            patterns.iter().find(|(_, matcher)| matcher.is_match(&parameter.name)).map(|(pattern, _)| pattern.clone())
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
        match mark(&parameter.name) {
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

fn patterns(globs: &[String]) -> Result<Vec<(String, GlobMatcher)>, CheckpointError> {
    let compile = |glob: &String| match GlobBuilder::new(glob).build() {
        Ok(compiled) => Ok((glob.clone(), compiled.compile_matcher())),
        Err(error) => Err(CheckpointError::InvalidPattern { pattern: glob.clone(), source: error.into() }),
    };
    globs.iter().map(compile).collect()
}

fn check_matched<'p>(
    patterns: &[(String, GlobMatcher)],
    parameters: impl Iterator<Item = &'p Parameter> + Clone,
) -> Result<(), CheckpointError> {
    let unmatched =
        |(_, matcher): &&(String, GlobMatcher)| !parameters.clone().any(|parameter| matcher.is_match(&parameter.name));
    match patterns.iter().find(unmatched) {
        Some((pattern, _)) => Err(CheckpointError::UnmatchedPattern { pattern: pattern.clone() }),
        None => Ok(()),
    }
}

/// The word in a name that marks it.
fn mark(name: &str) -> Option<&'static str> {
    let mut words = name.split(|c: char| !c.is_ascii_alphabetic());
    words.find_map(|word| NOT_PRUNED_BY_DEFAULT.iter().copied().find(|mark| word.eq_ignore_ascii_case(mark)))
}

#[cfg(test)]
mod tests {
    use super::mark;

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
            assert_eq!(mark(name), expected, "{name}");
        }
    }
}
