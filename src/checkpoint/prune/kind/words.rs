//! The words in names that tell the kind of a tensor.

/// Words that say optimizer, at the beginning of a path.
pub const OPTIMIZERS: [&str; 5] = ["optimizer", "optimizers", "optim", "opt_state", "optimizer_state"];
/// The names of the state that optimizers keep for each parameter, anywhere in a path.
pub const OPTIMIZER_STATE: [&str; 6] =
    ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "optimizer_state"];
/// Words for layers that multiply by a matrix. In the name of a layer, they outweigh a word for an embedding or a norm:
/// `time_emb_proj` is a linear layer.
pub const LAYERS: [&str; 12] = [
    "proj",
    "projection",
    "projections",
    "projector",
    "linear",
    "lin",
    "dense",
    "fc",
    "conv",
    "mlp",
    "mapping",
    "transform",
];
pub const EMBEDDINGS: [&str; 13] = [
    "embed",
    "embeds",
    "embedding",
    "embeddings",
    "embedder",
    "embedders",
    "embd",
    "emb",
    "wte",
    "wpe",
    "unembed",
    "unembedding",
    "lookup",
];
/// Words that say which embedding it is. In a list of tables, such as `embed_tokens.0`, the layer is a number.
pub const TABLES: [&str; 9] = ["token", "tokens", "tok", "word", "words", "position", "positions", "input", "codebook"];
pub const NORMS: [&str; 12] = [
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
    "lnf",
    "layernorms",
];
/// Words for tables that are no embeddings: biases of positions, codebooks of a vector quantizer, anchors of a detector.
pub const CONSTANTS: [&str; 7] = ["bias", "biases", "codebook", "codebooks", "codevectors", "anchor", "anchors"];
/// Words for filters that are computed and not trained. They count for what the layer is a part of, too.
pub const FILTERS: [&str; 9] =
    ["blur", "sobel", "gaussian", "laplacian", "filterbank", "melbank", "stft", "istft", "dft"];
/// Names of the layer that turns features into scores of a vocabulary.
pub const HEADS: [&str; 6] =
    ["embed_out", "vocab_proj", "vocab_projector", "vocab_head", "output_projection", "lm_output"];
/// Names that such a layer has in some models, and other layers in others: its shape, that of an embedding, decides.
pub const HEADS_BY_SHAPE: [&str; 9] =
    ["head", "heads", "output", "decoder", "proj_out", "generator", "logits", "classifier", "out"];

/// Names of the layer that computes the output of a model.
pub const CLASSIFIERS: [&str; 10] =
    ["classifier", "fc", "head", "heads", "score", "logits", "output", "out", "qa_outputs", "last_layer"];
/// Words for linear layers, of which the one with the highest number computes the output.
pub const DENSE: [&str; 4] = ["fc", "linear", "lin", "dense"];
/// Words for transposed convolutions.
pub const TRANSPOSED: [&str; 5] = ["transpose", "transposed", "deconv", "upconv", "convtranspose"];

/// The words of a name, in lower case: split at everything that is not a letter, and before a capital after a small one.
pub fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous = ' ';
    for c in name.chars() {
        let starts = previous.is_ascii_lowercase() && c.is_ascii_uppercase();
        if !c.is_ascii_alphabetic() || starts {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_ascii_alphabetic()) {
            word.push(c.to_ascii_lowercase());
        }
        previous = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The first of some words in a list.
pub fn word(words: &[String], of: &[&'static str]) -> Option<&'static str> {
    words.iter().find_map(|word| of.iter().copied().find(|found| word == found))
}

/// The word that says what a layer is: the last one, or any if none of them says that it multiplies by a matrix.
pub fn noun(words: &[String], of: &[&'static str]) -> Option<&'static str> {
    let last = &words[words.len().saturating_sub(1)..];
    word(last, of).or_else(|| word(words, of).filter(|_| word(words, &LAYERS).is_none()))
}
