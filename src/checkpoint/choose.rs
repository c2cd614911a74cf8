




/// Words that mark a tensor as one that is not pruned by default, if its name has one of them between dots, underscores,
/// digits or other signs: embeddings, normalisations and biases.
///
/// A word is compared without regard to case, and `layernorm`, say, is found in `LayerNorm` and `input_layernorm`. Other
/// names for the same, such as the `wte` and `ln_1` of GPT-2, are in the list.
pub const NOT_PRUNED_BY_DEFAULT: &[&str] = &[
    // Embeddings.
    "embed", "embedding", "embeddings", "embedder", "embd", "emb", "wte", "wpe", "wpos", "relpos", "pos",
    // Normalisations.
    "norm", "norms", "layernorm", "layernorms", "rmsnorm", "batchnorm", "groupnorm", "instancenorm", "ln", "bn", "gn",
    // Biases.
    "bias", "biases",
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
    pub(super) include: Vec<String>,
    pub(super) exclude: Vec<String>,
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
