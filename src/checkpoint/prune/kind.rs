//! The kind of each tensor, by its name, its shape and the tensors beside it: a layer's weight, or one of the reasons to
//! leave it alone.
//!
//! The rule is positive: a tensor is pruned by default if it has the name of a layer's weight and the shape of a matrix.
//! Words such as `norm` and `embed` count in the name of the layer itself, not in the path that leads to it.
//! `docs/FILES.md` states the rule for readers.

use std::collections::{HashMap, HashSet};

use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::read::usage::Usage;
use crate::checkpoint::report::{AxisReason, ChannelAxis, SkipReason};

/// Words that say optimizer, at the beginning of a path.
const OPTIMIZERS: [&str; 5] = ["optimizer", "optimizers", "optim", "opt_state", "optimizer_state"];
/// The names of the state that optimizers keep for each parameter, anywhere in a path.
const OPTIMIZER_STATE: [&str; 6] =
    ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "optimizer_state"];
/// Words for layers that multiply by a matrix. In the name of a layer, they outweigh a word for an embedding or a norm:
/// `time_emb_proj` is a linear layer.
const LAYERS: [&str; 12] = [
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
const EMBEDDINGS: [&str; 13] = [
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
const TABLES: [&str; 9] = ["token", "tokens", "tok", "word", "words", "position", "positions", "input", "codebook"];
const NORMS: [&str; 12] = [
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
const CONSTANTS: [&str; 7] = ["bias", "biases", "codebook", "codebooks", "codevectors", "anchor", "anchors"];
/// Words for filters that are computed and not trained. They count for what the layer is a part of, too.
const FILTERS: [&str; 9] = ["blur", "sobel", "gaussian", "laplacian", "filterbank", "melbank", "stft", "istft", "dft"];
/// Names of the layer that turns features into scores of a vocabulary.
const HEADS: [&str; 6] = ["embed_out", "vocab_proj", "vocab_projector", "vocab_head", "output_projection", "lm_output"];
/// Names that such a layer has in some models, and other layers in others: its shape, that of an embedding, decides.
const HEADS_BY_SHAPE: [&str; 9] =
    ["head", "heads", "output", "decoder", "proj_out", "generator", "logits", "classifier", "out"];

/// Names of the layer that computes the output of a model.
const CLASSIFIERS: [&str; 10] =
    ["classifier", "fc", "head", "heads", "score", "logits", "output", "out", "qa_outputs", "last_layer"];
/// Words for linear layers, of which the one with the highest number computes the output.
const DENSE: [&str; 4] = ["fc", "linear", "lin", "dense"];
/// Components of a path that only wrap a model.
const WRAPPERS: [&str; 6] = ["model", "module", "net", "network", "layers", "sequential"];
/// Words for transposed convolutions.
const TRANSPOSED: [&str; 5] = ["transpose", "transposed", "deconv", "upconv", "convtranspose"];

/// A name, split at its dots.
struct Path<'n> {
    /// Everything before the leaf.
    module: &'n str,
    /// The name of the tensor in its layer, such as `weight`.
    leaf: &'n str,
    /// The name of the layer, such as `q_proj`. Empty if the tensor belongs to no layer.
    layer: &'n str,
    /// The layer is a number, such as `0`, in a list of this name.
    list: Option<&'n str>,
}

impl<'n> Path<'n> {
    fn of(name: &'n str) -> Self {
        let (mut module, leaf) = name.rsplit_once('.').unwrap_or(("", name));
        // The parametrizations of a tensor `w` are `parametrizations.w.original`, `.original0` and so on.
        if let Some((owner, _)) = module.rsplit_once('.').filter(|(owner, _)| last(owner) == PARAMETRIZATIONS) {
            module = owner.rsplit_once('.').map_or("", |(owner, _)| owner);
        }
        let layer = last(module);
        let list = is_number(layer).then(|| {
            let parent = module.rsplit('.').find(|component| !is_number(component));
            parent.unwrap_or_default()
        });
        Self { module, leaf, layer, list }
    }

    /// The components of the path to the layer, without those that only wrap a model and without its number in a list.
    fn above(&self) -> Vec<&'n str> {
        let numbers = usize::from(self.list.is_some());
        let components = self.module.rsplit('.').skip(numbers);
        components.filter(|component| !component.is_empty() && !WRAPPERS.contains(component)).collect()
    }

    /// The name of what the layer is a part of.
    fn parent(&self) -> &'n str {
        self.module.rsplit('.').nth(1).unwrap_or_default()
    }
}

/// The component of a path that holds the parametrized tensors of a layer.
const PARAMETRIZATIONS: &str = "parametrizations";
/// The component of a path that holds the experts of a mixture.
const EXPERTS: &str = "experts.";

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn is_number(component: &str) -> bool {
    !component.is_empty() && component.bytes().all(|byte| byte.is_ascii_digit())
}

/// The words of a name, in lower case: split at everything that is not a letter, and before a capital after a small one.
fn words(name: &str) -> Vec<String> {
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
fn word(words: &[String], of: &[&'static str]) -> Option<&'static str> {
    words.iter().find_map(|word| of.iter().copied().find(|found| word == found))
}

/// The word that says what a layer is: the last one, or any if none of them says that it multiplies by a matrix.
fn noun(words: &[String], of: &[&'static str]) -> Option<&'static str> {
    let last = &words[words.len().saturating_sub(1)..];
    word(last, of).or_else(|| word(words, of).filter(|_| word(words, &LAYERS).is_none()))
}

/// The role of a tensor in its layer, by its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaf {
    Weight,
    /// The weight of a layer in Flax and Keras, and a fixed filter in PyTorch.
    Kernel,
    Other,
}

impl Leaf {
    fn of(leaf: &str) -> Self {
        let numbered = |stem: &str| leaf.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || is_number(rest));
        let is_weight = numbered("weight")
            || leaf.ends_with("_weight")
            || ["weight_ih", "weight_hh", "weight_hr"].iter().any(|gate| leaf.starts_with(gate))
            || ["weight_v", "weight_orig", "weight_bar", "original", "original1"].contains(&leaf)
            || ["proj", "projection"].iter().any(|end| leaf == *end || leaf.ends_with(&format!("_{end}")))
            || ["w", "wi", "wo", "W"].iter().any(|stem| numbered(stem))
            || ["w_", "W_", "wi_"].iter().any(|start| leaf.starts_with(start) && leaf.len() <= start.len() + 2);
        match leaf {
            "kernel" => Self::Kernel,
            _ if is_weight => Self::Weight,
            _ => Self::Other,
        }
    }
}

/// The facts about all tensors that decide the kind of one.
pub(crate) struct Kinds<'p> {
    /// The shapes of the embeddings, by which an output layer is recognised.
    tables: HashSet<&'p [usize]>,
    /// The layers with a quantised weight, by their paths, with the name of that weight.
    quantised: HashMap<&'p str, &'p str>,
    /// The paths that have experts.
    experts: HashSet<&'p str>,
    /// The file has tensors named `weight`, so that `kernel` is no layer's weight.
    is_pytorch: bool,
}

impl<'p> Kinds<'p> {
    pub fn of(parameters: &'p [ParameterEntry]) -> Self {
        let mut kinds =
            Self { tables: HashSet::new(), quantised: HashMap::new(), experts: HashSet::new(), is_pytorch: false };
        for parameter in parameters {
            let name = parameter.name.as_str();
            let path = Path::of(name);
            kinds.is_pytorch |= path.leaf == "weight";
            if parameter.shape.len() == 2 && embedding(&path).is_some() {
                kinds.tables.insert(&parameter.shape);
            }
            if is_quantised(parameter, path.leaf) {
                kinds.quantised.insert(path.module, name);
                // bitsandbytes stores the parts below the weight: `weight.absmax`.
                kinds.quantised.insert(name, name);
            }
            if let Some((parent, _)) = name.split_once(EXPERTS) {
                kinds.experts.insert(parent.trim_end_matches('.'));
            }
        }
        kinds
    }

    /// The reason why a tensor is not pruned by default, or `None` if it is the weight of a layer. What the file says about its
    /// use counts more than its name.
    pub fn reason(&self, parameter: &ParameterEntry, usage: &Usage) -> Option<SkipReason> {
        match usage {
            Usage::Unknown => self.reason_by_name(parameter),
            Usage::Other(reason @ SkipReason::Quantization { .. }) => Some(reason.clone()),
            Usage::Weight(_) | Usage::Other(_) | Usage::Fixed { .. } if is_vector(parameter) => {
                Some(SkipReason::Vector)
            }
            Usage::Weight(_) => None,
            Usage::Other(reason) | Usage::Fixed { reason, .. } => Some(reason.clone()),
        }
    }

    fn reason_by_name(&self, parameter: &ParameterEntry) -> Option<SkipReason> {
        let path = Path::of(&parameter.name);
        let layer = words(path.layer);
        if is_optimizer_state(&parameter.name) {
            return Some(SkipReason::OptimizerState);
        }
        if let Some(weight) = self.quantisation(&path) {
            return Some(SkipReason::Quantization { weight: weight.to_owned() });
        }
        if is_gain(&parameter.name, path.leaf) {
            return Some(SkipReason::Gain);
        }
        if let Some(word) = embedding(&path) {
            return Some(SkipReason::Embedding { word });
        }
        if let Some(word) = noun(&layer, &NORMS) {
            return Some(SkipReason::Norm { word });
        }
        if is_vector(parameter) {
            return Some(SkipReason::Vector);
        }
        if let Some(name) = constant(&path) {
            return Some(SkipReason::NotALayer { name: name.to_owned() });
        }
        let is_weight = match Leaf::of(path.leaf) {
            Leaf::Weight => true,
            Leaf::Kernel => !self.is_pytorch,
            Leaf::Other => false,
        };
        if !is_weight {
            return Some(SkipReason::NotALayer { name: path.leaf.to_owned() });
        }
        if self.is_head(&path, &parameter.shape) {
            return Some(SkipReason::Head);
        }
        self.is_router(&path).then_some(SkipReason::Router)
    }

    /// The quantised weight that a tensor belongs to: it is a scale, a zero point or the like.
    fn quantisation(&self, path: &Path<'_>) -> Option<&'p str> {
        let belongs = Leaf::of(path.leaf) != Leaf::Weight && path.leaf != "bias";
        self.quantised.get(path.module).copied().filter(|_| belongs)
    }

    fn is_head(&self, path: &Path<'_>, shape: &[usize]) -> bool {
        let name = path.list.unwrap_or(path.layer);
        let words = words(name);
        let is_lm_head = words.windows(2).any(|pair| pair[0].ends_with("lm") && pair[1].starts_with("head"));
        let is_decoder = ["lm_head.decoder", "predictions.decoder"].iter().any(|end| path.module.ends_with(end));
        is_lm_head
            || is_decoder
            || HEADS.contains(&name)
            || HEADS_BY_SHAPE.contains(&name) && self.tables.contains(shape)
    }

    /// The layer that chooses experts: `router`, or `gate` beside experts.
    fn is_router(&self, path: &Path<'_>) -> bool {
        let parent = |path: &'_ str| path.rfind('.').map_or(0, |end| end);
        let above = &path.module[..parent(path.module)];
        let is_near_experts = [above, &above[..parent(above)]].iter().any(|path| self.experts.contains(path))
            || words(last(above)).iter().any(|word| word.contains("moe"));
        path.module.split('.').any(|component| component == "router")
            || ["gate", "gating", "wg"].contains(&path.layer) && is_near_experts
    }
}

fn is_vector(parameter: &ParameterEntry) -> bool {
    parameter.shape.iter().filter(|&&size| size != 1).count() < 2
}

fn is_optimizer_state(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or(name);
    name.contains('.') && OPTIMIZERS.contains(&first)
        || name.split('.').any(|component| OPTIMIZER_STATE.contains(&component))
}

/// The word that makes a layer an embedding.
fn embedding(path: &Path<'_>) -> Option<&'static str> {
    if path.layer == "shared" {
        return Some("shared"); // the embedding that the encoder and the decoder of T5 and BART share
    }
    let layer = words(path.layer);
    if !layer.is_empty() && layer.iter().all(|word| TABLES.contains(&word.as_str())) {
        // Such as `embeddings.word`: the layer only says which embedding it is.
        return noun(&words(path.parent()), &EMBEDDINGS);
    }
    let words = path.list.map_or(layer, words);
    let found = noun(&words, &EMBEDDINGS).or((path.leaf == "embedding").then_some("embedding"))?;
    // In a sequence such as `time_embed.0`, the layer is a number, and often linear.
    let is_table = path.list.is_none() || ["wte", "wpe"].contains(&found) || word(&words, &TABLES).is_some();
    is_table.then_some(found)
}

/// The part of a name that makes a tensor a constant of its layer, or a table.
fn constant<'n>(path: &Path<'n>) -> Option<&'n str> {
    let parts = || [Some(path.leaf), Some(path.layer), path.list].into_iter().flatten();
    let is = |part: &&str, of: &[&'static str]| word(&words(part), of).is_some();
    let table = parts().find(|part| is(part, &CONSTANTS));
    table.or_else(|| parts().chain([path.parent()]).find(|part| is(part, &FILTERS)))
}

/// The magnitudes of weight normalisation, `w = g * v / ||v||`: `weight_g`, or the first part of a parametrization.
fn is_gain(name: &str, leaf: &str) -> bool {
    leaf == "weight_g" || leaf == "original0" && name.contains(PARAMETRIZATIONS)
}

/// The weights of a layer in integers, in F8 or narrower, or packed into integers.
fn is_quantised(parameter: &ParameterEntry, leaf: &str) -> bool {
    let is_packed = ["qweight", "qzeros", "weight_packed"].contains(&leaf);
    !parameter.dtype.can_be_pruned() && (is_packed || Leaf::of(leaf) == Leaf::Weight)
}

/// The layer that computes the output of the model, by name: `classifier`, `fc`, or the highest number of a sequence at the
/// top. `None` if no name says so. `names` are those of the layers' weights, pruned or not.
pub(crate) fn last_layer<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Option<&'n str> {
    let by_name = names.clone().filter(|name| {
        let path = Path::of(name);
        let above = path.above();
        let is_top = above.len() <= 2 && !above.iter().any(|component| is_number(component));
        is_top && CLASSIFIERS.contains(&path.list.unwrap_or(path.layer))
    });
    let in_sequence = |name: &&str| {
        let path = Path::of(name);
        let is_numbered = path.layer.ends_with(|c: char| c.is_ascii_digit());
        match path.list {
            Some(_) => path.above().is_empty(),
            None => is_numbered && path.above().len() == 1 && word(&words(path.layer), &DENSE).is_some(),
        }
    };
    by_name.max_by_key(|name| number(name)).or_else(|| names.filter(in_sequence).max_by_key(|name| number(name)))
}

/// The number at the end of the name of a layer, or 0.
fn number(name: &str) -> u64 {
    let layer = Path::of(name).layer;
    let digits = layer.len() - layer.bytes().rev().take_while(u8::is_ascii_digit).count();
    layer[digits..].parse().unwrap_or(0)
}

/// The axis of the output channels of a weight, and why it is that one.
///
/// It is the first axis, except in layers that store `[in, out]`: the `Conv1D` of GPT-2 and transposed convolutions. They are
/// recognised by the bias, which has one entry per output channel, and by their names where both axes have that size.
pub(crate) fn output_axis(parameter: &ParameterEntry, bias: Option<usize>) -> ChannelAxis {
    let first = ChannelAxis { axis: 0, reason: AxisReason::OutputFirst };
    let [inputs, outputs, ..] = parameter.shape[..] else { return first };
    let path = Path::of(&parameter.name);
    let is_named = match parameter.shape.len() {
        2 => ["c_attn", "c_proj", "c_fc", "q_attn"].contains(&path.layer),
        _ => word(&words(path.layer), &TRANSPOSED).is_some(),
    };
    match bias {
        Some(bias) if bias == outputs && bias != inputs => ChannelAxis { axis: 1, reason: AxisReason::Bias },
        Some(bias) if is_named && bias == outputs => ChannelAxis { axis: 1, reason: AxisReason::Name },
        None if is_named => ChannelAxis { axis: 1, reason: AxisReason::Name },
        Some(_) | None => first,
    }
}

/// The name of the bias of the layer that has this weight.
pub(crate) fn bias_name(weight: &str) -> String {
    let module = Path::of(weight).module;
    if module.is_empty() { "bias".into() } else { format!("{module}.bias") }
}

/// The name of the gain of the weight normalisation that this tensor is the direction of.
pub(crate) fn gain_name(direction: &str) -> Option<String> {
    let before = direction.strip_suffix("original1").filter(|before| before.contains(PARAMETRIZATIONS));
    let gain = before.map(|before| format!("{before}original0"));
    gain.or_else(|| Some(format!("{}weight_g", direction.strip_suffix("weight_v")?)))
}
