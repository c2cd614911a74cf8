//! The types of models: the names and shapes of their tensors, in terms of `config.json`.

use std::collections::BTreeMap;

use crate::checkpoint::compact::config::Config;
use crate::checkpoint::compact::preset::{FoldWay, Line, Part, Place, Preset, ValueWay};
use crate::checkpoint::error::CheckpointError;
use crate::compact::{Activation, Role};

/// Returns the preset for a configuration.
pub(crate) fn preset(config: &Config) -> Result<Preset, CheckpointError> {
    let model_type = config.model_type()?;
    match model_type {
        "llama" | "mistral" | "qwen2" | "qwen3" | "gemma" | "gemma2" | "gemma3_text" | "phi3" => decoder(config),
        "bert" => encoder(config, &["", "bert."], &["embeddings.", "pooler.", "cls.", "classifier.", "qa_outputs."]),
        "roberta" => {
            encoder(config, &["", "roberta."], &["embeddings.", "pooler.", "lm_head.", "classifier.", "qa_outputs."])
        }
        "vit" => vit(config),
        "gpt2" => gpt2(config),
        other => Err(CheckpointError::NoPreset { model_type: other.to_owned() }),
    }
}

/// The tensors of a layer, as they are listed.
#[derive(Default)]
struct Lines(BTreeMap<String, Line>);

/// A kind of unit along one side of a matrix.
#[derive(Clone, Copy)]
struct Side {
    part: Part,
    offset: usize,
    repeat: usize,
    block: usize,
}

fn side(part: Part, block: usize) -> Side {
    Side { part, offset: 0, repeat: 1, block }
}

/// The order of the axes of a matrix.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// `[out, in]`, as a linear layer of PyTorch.
    OutIn,
    /// `[in, out]`, as in GPT-2.
    InOut,
}

impl Lines {
    fn add(&mut self, name: &str, shape: Option<Vec<usize>>, places: Vec<Place>, required: bool) {
        self.0.insert(name.to_owned(), Line { shape, places, required });
    }

    /// A linear layer: a matrix, and a bias if the file has one.
    fn linear(&mut self, name: &str, order: Order, [outputs, inputs]: [usize; 2], out: &[Side], read: Option<Side>) {
        let (out_axis, in_axis) = if order == Order::OutIn { (0, 1) } else { (1, 0) };
        let place = |side: Side, axis, role| {
            let Side { part, offset, repeat, block } = side;
            Place { part, axis, role, offset, repeat, block }
        };
        let shape = if order == Order::OutIn { vec![outputs, inputs] } else { vec![inputs, outputs] };
        let places = out.iter().map(|&side| place(side, out_axis, Role::Out));
        let places = places.chain(read.map(|side| place(side, in_axis, Role::In))).collect();
        self.add(&format!("{name}.weight"), Some(shape), places, true);
        let bias = out.iter().map(|&side| place(side, 0, Role::Follow)).collect();
        self.add(&format!("{name}.bias"), Some(vec![outputs]), bias, false);
    }

    /// The weight of a norm, and a bias if the file has one.
    fn norm(&mut self, name: &str, size: usize, required: bool) {
        self.add(&format!("{name}.weight"), Some(vec![size]), Vec::new(), required);
        self.add(&format!("{name}.bias"), Some(vec![size]), Vec::new(), false);
    }

    /// A tensor that is copied, whatever its shape.
    fn copied(&mut self, name: &str) {
        self.add(name, None, Vec::new(), false);
    }
}

/// The product of two sizes, either of which may be anything in an untrusted file.
fn product(config: &Config, a: usize, b: usize) -> Result<usize, CheckpointError> {
    a.checked_mul(b)
        .filter(|&size| size <= u32::MAX as usize)
        .ok_or_else(|| config.error("has sizes that are too large"))
}

/// The number of heads and the size of one: `head_dim`, or the part of the width that a head has.
fn heads(config: &Config, heads_key: &str, width: usize) -> Result<(usize, usize), CheckpointError> {
    let heads = config.required_size(heads_key)?;
    match config.size("head_dim")? {
        Some(size) => Ok((heads, size)),
        None if width.is_multiple_of(heads) => Ok((heads, width / heads)),
        None => Err(config.error(format!("has {heads} heads, which do not divide the width {width}"))),
    }
}

/// The activation of a feed-forward network; `None` if its constants are unknown.
fn activation(config: &Config, keys: &[&str]) -> Option<Activation> {
    let name = keys.iter().find_map(|key| config.get(key)?.as_str())?;
    Some(match name {
        "relu" => Activation::Relu,
        "gelu" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
        "silu" | "swish" => Activation::Silu,
        "tanh" => Activation::Tanh,
        _ => return None,
    })
}

/// Llama and its kin: gated feed-forward networks, and query heads in groups.
fn decoder(config: &Config) -> Result<Preset, CheckpointError> {
    let model_type = config.model_type()?;
    let (hidden, ffn) = (config.required_size("hidden_size")?, config.required_size("intermediate_size")?);
    let (count, size) = heads(config, "num_attention_heads", hidden)?;
    let groups = config.size("num_key_value_heads")?.unwrap_or(count);
    if !count.is_multiple_of(groups) {
        return Err(config.error(format!("has {groups} key/value heads, which do not divide the {count} heads")));
    }
    let group = product(config, count / groups, size)?;
    let (queries, keys) = (product(config, count, size)?, product(config, groups, size)?);
    let (wide, narrow) = (side(Part::KvGroups, group), side(Part::KvGroups, size));
    let inner = side(Part::Ffn, 1);

    let mut lines = Lines::default();
    let (producer, offset) = if model_type == "phi3" {
        let all = [wide, Side { offset: queries, ..narrow }, Side { offset: queries + keys, ..narrow }];
        lines.linear("self_attn.qkv_proj", Order::OutIn, [queries + 2 * keys, hidden], &all, None);
        let fused = Side { repeat: 2, ..inner };
        lines.linear("mlp.gate_up_proj", Order::OutIn, [product(config, 2, ffn)?, hidden], &[fused], None);
        ("self_attn.qkv_proj", queries + keys)
    } else {
        lines.linear("self_attn.q_proj", Order::OutIn, [queries, hidden], &[wide], None);
        lines.linear("self_attn.k_proj", Order::OutIn, [keys, hidden], &[narrow], None);
        lines.linear("self_attn.v_proj", Order::OutIn, [keys, hidden], &[narrow], None);
        lines.linear("mlp.gate_proj", Order::OutIn, [ffn, hidden], &[inner], None);
        lines.linear("mlp.up_proj", Order::OutIn, [ffn, hidden], &[inner], None);
        ("self_attn.v_proj", 0)
    };
    lines.linear("self_attn.o_proj", Order::OutIn, [hidden, queries], &[], Some(wide));
    lines.linear("mlp.down_proj", Order::OutIn, [hidden, ffn], &[], Some(inner));
    decoder_norms(&mut lines, model_type, hidden, size);
    lines.copied("self_attn.rotary_emb.inv_freq");
    let values = ValueWay {
        heads: groups,
        queries: count / groups,
        size,
        producer,
        offset,
        out_axis: 0,
        consumer: "self_attn.o_proj",
        in_axis: 1,
    };

    Ok(Preset {
        model_type: model_type.to_owned(),
        prefixes: &["model.", ""],
        layers_path: "layers.",
        layers_key: "num_hidden_layers",
        layers: config.required_size("num_hidden_layers")?,
        lines: lines.0,
        others: &["embed_tokens.", "norm.", "lm_head.", "score.", "classifier.", "qa_outputs."],
        units: BTreeMap::from([(Part::Ffn, ffn), (Part::KvGroups, groups)]),
        folds: decoder_folds(activation(config, &["hidden_activation", "hidden_act"]), size),
        values: Some(values),
        is_pre_norm: true,
    })
}

/// The norms of a layer, of which some types have more than others.
fn decoder_norms(lines: &mut Lines, model_type: &str, hidden: usize, head: usize) {
    lines.norm("input_layernorm", hidden, true);
    lines.norm("post_attention_layernorm", hidden, true);
    if matches!(model_type, "gemma2" | "gemma3_text") {
        lines.norm("pre_feedforward_layernorm", hidden, true);
        lines.norm("post_feedforward_layernorm", hidden, true);
    }
    if matches!(model_type, "qwen3" | "gemma3_text") {
        lines.norm("self_attn.q_norm", head, true);
        lines.norm("self_attn.k_norm", head, true);
    }
}

/// The ways of the constants that biases make of pruned neurons and heads.
fn decoder_folds(activation: Option<Activation>, head: usize) -> Vec<FoldWay> {
    vec![
        FoldWay {
            part: Part::Ffn,
            biases: vec![("mlp.gate_proj.bias", activation), ("mlp.up_proj.bias", None)],
            block: 1,
            consumer: "mlp.down_proj.weight",
            into: "mlp.down_proj.bias",
        },
        FoldWay {
            part: Part::KvGroups,
            biases: vec![("self_attn.v_proj.bias", None)],
            block: head,
            consumer: "self_attn.o_proj.weight",
            into: "self_attn.o_proj.bias",
        },
    ]
}

/// The values of heads that divide the width, with as many heads of keys and values as of queries. `None` if the configuration
/// does not say how many there are.
fn plain_values(config: &Config, key: &str, width: usize, [producer, consumer]: [&'static str; 2]) -> Option<ValueWay> {
    let heads = config.size(key).ok().flatten().filter(|&heads| width.is_multiple_of(heads))?;
    let size = width / heads;
    Some(ValueWay { heads, queries: 1, size, producer, offset: 0, out_axis: 0, consumer, in_axis: 1 })
}

/// The constants of a feed-forward network of two layers.
fn mlp_fold(config: &Config, key: &str, names: [&'static str; 3]) -> FoldWay {
    let [bias, consumer, into] = names;
    FoldWay { part: Part::Ffn, biases: vec![(bias, activation(config, &[key]))], block: 1, consumer, into }
}

/// BERT and RoBERTa. Their heads cannot be cut: the code fixes `head_dim`.
fn encoder(
    config: &Config,
    prefixes: &'static [&'static str],
    others: &'static [&'static str],
) -> Result<Preset, CheckpointError> {
    let (hidden, ffn) = (config.required_size("hidden_size")?, config.required_size("intermediate_size")?);
    let inner = side(Part::Ffn, 1);
    let mut lines = Lines::default();
    for name in ["query", "key", "value"] {
        lines.linear(&format!("attention.self.{name}"), Order::OutIn, [hidden, hidden], &[], None);
    }
    lines.linear("attention.output.dense", Order::OutIn, [hidden, hidden], &[], None);
    lines.linear("intermediate.dense", Order::OutIn, [ffn, hidden], &[inner], None);
    lines.linear("output.dense", Order::OutIn, [hidden, ffn], &[], Some(inner));
    lines.norm("attention.output.LayerNorm", hidden, true);
    lines.norm("output.LayerNorm", hidden, true);
    let fold = mlp_fold(config, "hidden_act", ["intermediate.dense.bias", "output.dense.weight", "output.dense.bias"]);
    let attention = ["attention.self.value", "attention.output.dense"];
    Ok(Preset {
        model_type: config.model_type()?.to_owned(),
        prefixes,
        layers_path: "encoder.layer.",
        layers_key: "num_hidden_layers",
        layers: config.required_size("num_hidden_layers")?,
        lines: lines.0,
        others,
        units: BTreeMap::from([(Part::Ffn, ffn)]),
        folds: vec![fold],
        values: plain_values(config, "num_attention_heads", hidden, attention),
        is_pre_norm: false,
    })
}

fn vit(config: &Config) -> Result<Preset, CheckpointError> {
    let (hidden, ffn) = (config.required_size("hidden_size")?, config.required_size("intermediate_size")?);
    let (count, size) = heads(config, "num_attention_heads", hidden)?;
    let all = product(config, count, size)?;
    let (head, inner) = (side(Part::Heads, size), side(Part::Ffn, 1));
    let mut lines = Lines::default();
    for name in ["query", "key", "value"] {
        lines.linear(&format!("attention.attention.{name}"), Order::OutIn, [all, hidden], &[head], None);
    }
    lines.linear("attention.output.dense", Order::OutIn, [hidden, all], &[], Some(head));
    lines.linear("intermediate.dense", Order::OutIn, [ffn, hidden], &[inner], None);
    lines.linear("output.dense", Order::OutIn, [hidden, ffn], &[], Some(inner));
    lines.norm("layernorm_before", hidden, true);
    lines.norm("layernorm_after", hidden, true);
    let mlp = mlp_fold(config, "hidden_act", ["intermediate.dense.bias", "output.dense.weight", "output.dense.bias"]);
    let attention = FoldWay {
        part: Part::Heads,
        biases: vec![("attention.attention.value.bias", None)],
        block: size,
        consumer: "attention.output.dense.weight",
        into: "attention.output.dense.bias",
    };
    Ok(Preset {
        model_type: config.model_type()?.to_owned(),
        prefixes: &["", "vit."],
        layers_path: "encoder.layer.",
        layers_key: "num_hidden_layers",
        layers: config.required_size("num_hidden_layers")?,
        lines: lines.0,
        others: &["embeddings.", "layernorm.", "pooler.", "classifier.", "decoder."],
        units: BTreeMap::from([(Part::Ffn, ffn), (Part::Heads, count)]),
        folds: vec![mlp, attention],
        values: plain_values(
            config,
            "num_attention_heads",
            all,
            ["attention.attention.value", "attention.output.dense"],
        ),
        is_pre_norm: true,
    })
}

/// GPT-2, whose matrices are stored as `[in, out]`. Its heads cannot be cut: the code fixes `head_dim`.
fn gpt2(config: &Config) -> Result<Preset, CheckpointError> {
    let hidden = config.required_size("n_embd")?;
    let ffn = match config.size("n_inner")? {
        Some(ffn) => ffn,
        None => product(config, 4, hidden)?,
    };
    let inner = side(Part::Ffn, 1);
    let mut lines = Lines::default();
    lines.linear("attn.c_attn", Order::InOut, [product(config, 3, hidden)?, hidden], &[], None);
    lines.linear("attn.c_proj", Order::InOut, [hidden, hidden], &[], None);
    lines.linear("mlp.c_fc", Order::InOut, [ffn, hidden], &[inner], None);
    lines.linear("mlp.c_proj", Order::InOut, [hidden, ffn], &[], Some(inner));
    lines.norm("ln_1", hidden, true);
    lines.norm("ln_2", hidden, true);
    lines.copied("attn.bias");
    lines.copied("attn.masked_bias");
    let names = ["mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias"];
    let values = plain_values(config, "n_head", hidden, ["attn.c_attn", "attn.c_proj"]);
    let values = values.map(|values| ValueWay { offset: 2 * hidden, out_axis: 1, in_axis: 0, ..values });
    Ok(Preset {
        model_type: config.model_type()?.to_owned(),
        prefixes: &["transformer.", ""],
        layers_path: "h.",
        layers_key: "n_layer",
        layers: config.required_size("n_layer")?,
        lines: lines.0,
        others: &["wte.", "wpe.", "ln_f.", "lm_head.", "score.", "classifier.", "qa_outputs."],
        units: BTreeMap::from([(Part::Ffn, ffn)]),
        folds: vec![mlp_fold(config, "activation_function", names)],
        values,
        is_pre_norm: true,
    })
}

impl Preset {
    /// Writes the numbers of units that are kept into the configuration.
    pub fn set_units(&self, config: &mut Config, part: Part, kept: usize) -> Result<(), CheckpointError> {
        match part {
            Part::Ffn => {
                let key = if self.model_type == "gpt2" { "n_inner" } else { "intermediate_size" };
                config.set(key, kept);
            }
            Part::KvGroups => {
                let hidden = config.required_size("hidden_size")?;
                let (count, size) = heads(config, "num_attention_heads", hidden)?;
                let groups = config.size("num_key_value_heads")?.unwrap_or(count);
                config.set("head_dim", size);
                config.set("num_attention_heads", count / groups * kept);
                config.set("num_key_value_heads", kept);
            }
            Part::Heads => {
                let hidden = config.required_size("hidden_size")?;
                let (_, size) = heads(config, "num_attention_heads", hidden)?;
                config.set("head_dim", size);
                config.set("num_attention_heads", kept);
            }
            // No unit of these is removed.
            Part::Values(_) => {}
        }
        Ok(())
    }
}
