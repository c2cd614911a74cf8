//! The kind of each tensor, by its name, its shape and the tensors beside it: a layer's weight, or one of the reasons to
//! leave it alone.
//!
//! The rule is positive: a tensor is pruned by default if it has the name of a layer's weight and the shape of a matrix.
//! Words such as `norm` and `embed` count in the name of the layer itself, not in the path that leads to it.
//! `docs/FILES.md` states the rule for readers.

mod path;
mod words;

use std::collections::{HashMap, HashSet};

use crate::checkpoint::prune::kind::path::{Leaf, PARAMETRIZATIONS, Path, is_number, last, number};
use crate::checkpoint::prune::kind::words::{
    CLASSIFIERS, CONSTANTS, DENSE, EMBEDDINGS, FILTERS, HEADS, HEADS_BY_SHAPE, NORMS, OPTIMIZER_STATE, OPTIMIZERS,
    TABLES, TRANSPOSED, noun, word, words,
};
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::read::usage::Usage;
use crate::checkpoint::report::{AxisReason, ChannelAxis, SkipReason};

/// The component of a path that holds the experts of a mixture.
const EXPERTS: &str = "experts.";

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
