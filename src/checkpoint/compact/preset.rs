//! Presets: the tensors of a model of Hugging Face, and which of their axes belong together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::checkpoint::compact::config::Config;
use crate::checkpoint::compact::family;
use crate::checkpoint::error::CheckpointError;
use crate::compact::{Coupling, Dimension, Role, Use};

/// A kind of unit that every layer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The inner neurons of the feed-forward network.
    Ffn,
    /// Key/value heads with their query heads.
    KvGroups,
    /// Attention heads.
    Heads,
    /// The values within one key/value head, by number. They can be reordered, but not removed.
    Values(usize),
}

impl Part {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ffn => "ffn",
            Self::KvGroups => "kv_groups",
            Self::Heads => "heads",
            Self::Values(_) => "values",
        }
    }

    /// The name of the dimension of a layer.
    pub fn dimension(self, layer: usize) -> String {
        match self {
            Self::Ffn | Self::KvGroups | Self::Heads => format!("{layer}.{}", self.name()),
            Self::Values(head) => format!("{layer}.{}.{head}", self.name()),
        }
    }
}

/// The place of a kind of unit on an axis.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub part: Part,
    pub axis: usize,
    pub role: Role,
    pub offset: usize,
    pub repeat: usize,
    pub block: usize,
}

/// A tensor of every layer.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// The shape; `None` for tensors that are never cut and may have any.
    pub shape: Option<Vec<usize>>,
    pub places: Vec<Place>,
    /// `true` if a model without it is not of this type.
    pub required: bool,
}

/// The way of the constants of pruned units into the next layer: names within a layer.
#[derive(Debug, Clone)]
pub(crate) struct FoldWay {
    pub part: Part,
    /// The biases whose functions are multiplied.
    pub biases: Vec<(&'static str, Option<crate::compact::Activation>)>,
    /// The width of the blocks of the consumer in which the same numbers of a bias are repeated.
    pub block: usize,
    pub consumer: &'static str,
    pub into: &'static str,
}

/// The way of values through attention: it adds values of one kind only, so those of a head may have any order.
#[derive(Debug, Clone)]
pub(crate) struct ValueWay {
    /// The number of key/value heads, and of query heads for each.
    pub heads: usize,
    pub queries: usize,
    /// The number of values of a head.
    pub size: usize,
    /// The layer that makes the values, the first position of its output that does, and the axis of outputs.
    pub producer: &'static str,
    pub offset: usize,
    pub out_axis: usize,
    /// The layer that reads them, for one query head after the other.
    pub consumer: &'static str,
    pub in_axis: usize,
}

/// The structure of a model as its type and its sizes determine it.
#[derive(Debug, Clone)]
pub(crate) struct Preset {
    pub model_type: String,
    /// The prefixes that the names of a file may begin with, and what precedes the number of a layer.
    pub prefixes: &'static [&'static str],
    pub layers_path: &'static str,
    pub layers_key: &'static str,
    pub layers: usize,
    /// The tensors of a layer, by their names within it.
    pub lines: BTreeMap<String, Line>,
    /// The beginnings of the names of all other tensors, after the prefix or without one.
    pub others: &'static [&'static str],
    /// The units of each kind.
    pub units: BTreeMap<Part, usize>,
    pub folds: Vec<FoldWay>,
    /// `None` if the configuration does not say how many heads there are.
    pub values: Option<ValueWay>,
    /// `true` if a layer adds to its input, so that one whose last matrices are zero has no effect.
    pub is_pre_norm: bool,
}

/// A tensor name: of a layer, with its number and the name within it, or not.
enum Name<'n> {
    Layer { before: &'n str, layer: usize, rest: &'n str },
    Other,
}

impl Preset {
    /// Returns the preset for a configuration.
    pub fn new(config: &Config) -> Result<Self, CheckpointError> {
        if config.get("quantization_config").is_some() {
            return Err(config.error("describes quantized weights, which cannot be cut"));
        }
        family::preset(config)
    }

    fn split<'n>(&self, name: &'n str) -> Option<Name<'n>> {
        for prefix in self.prefixes {
            let Some(inner) = name.strip_prefix(prefix) else { continue };
            if let Some((number, rest)) = inner.strip_prefix(self.layers_path).and_then(|rest| rest.split_once('.'))
                && let Ok(layer) = number.parse::<usize>()
                // Only the usual spelling: `01` would become `1`.
                && layer.to_string() == number
            {
                let before = &name[..prefix.len() + self.layers_path.len()];
                return Some(Name::Layer { before, layer, rest });
            }
            if self.others.iter().any(|other| inner.starts_with(other)) {
                return Some(Name::Other);
            }
        }
        None
    }

    /// Returns the preset for units that are reordered: the inner neurons, and the values within each head.
    pub fn for_orders(mut self) -> Self {
        let is_inner = |part: Part| part == Part::Ffn;
        self.units.retain(|part, _| is_inner(*part));
        self.lines.values_mut().for_each(|line| line.places.retain(|place| is_inner(place.part)));
        let Some(way) = self.values.clone() else { return self };
        let ValueWay { heads, queries, size, producer, offset, out_axis, consumer, in_axis } = way;
        for head in 0..heads {
            let part = Part::Values(head);
            self.units.insert(part, size);
            let made =
                Place { part, axis: out_axis, role: Role::Out, offset: offset + head * size, repeat: 1, block: 1 };
            let bias = Place { axis: 0, role: Role::Follow, ..made.clone() };
            let read =
                Place { axis: in_axis, role: Role::In, offset: head * queries * size, repeat: queries, ..made.clone() };
            let places = [(producer, "weight", made), (producer, "bias", bias), (consumer, "weight", read)];
            for (layer, tensor, place) in places {
                self.lines
                    .get_mut(&format!("{layer}.{tensor}"))
                    .into_iter()
                    .for_each(|line| line.places.push(place.clone()));
            }
        }
        self
    }

    /// Checks that the preset covers all tensors, that they have the shapes it says, and that the layers are complete.
    pub fn check<'t>(
        &self,
        config: &Config,
        tensors: impl Iterator<Item = (&'t str, &'t [usize])>,
    ) -> Result<(), CheckpointError> {
        let mut layers: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        for (name, shape) in tensors {
            let unknown =
                || CheckpointError::UnknownToPreset { tensor: name.to_owned(), model_type: self.model_type.clone() };
            let (layer, rest) = match self.split(name).ok_or_else(unknown)? {
                Name::Layer { layer, rest, .. } => (layer, rest),
                Name::Other => continue,
            };
            let line = self.lines.get(rest).ok_or_else(unknown)?;
            if let Some(expected) = line.shape.as_ref().filter(|expected| expected.as_slice() != shape) {
                let (expected, found) = (expected.clone(), shape.to_vec());
                return Err(CheckpointError::PresetShape { tensor: name.to_owned(), expected, found });
            }
            layers.entry(layer).or_default().insert(rest);
        }
        let found = layers.len();
        if layers.keys().copied().ne(0..self.layers) {
            let key = self.layers_key;
            return Err(
                config.error(format!("has {} for `{key}`, but the file has tensors of {found} layers", self.layers))
            );
        }
        let first = layers.get(&0).cloned().unwrap_or_default();
        for (layer, names) in &layers {
            let required = self.lines.iter().filter(|(_, line)| line.required).map(|(rest, _)| rest.as_str());
            if let Some(missing) = required.chain(first.iter().copied()).find(|rest| !names.contains(rest)) {
                return Err(CheckpointError::LayerLacks { layer: *layer, tensor: missing.to_owned() });
            }
            if let Some(extra) = names.iter().find(|rest| !first.contains(*rest)) {
                return Err(CheckpointError::LayerLacks { layer: 0, tensor: (*extra).to_owned() });
            }
        }
        Ok(())
    }

    /// Returns the coupling of some layers of a model with these tensors.
    pub fn coupling<'t>(&self, layers: &[usize], tensors: impl Iterator<Item = &'t str>) -> Coupling {
        let mut uses: HashMap<(usize, Part), Vec<Use>> = HashMap::new();
        let mut coupling = Coupling::new();
        for name in tensors {
            let line = match self.split(name) {
                Some(Name::Layer { layer, rest, .. }) => self.lines.get(rest).map(|line| (layer, line)),
                Some(Name::Other) | None => None,
            };
            match line {
                Some((layer, line)) if !line.places.is_empty() => {
                    for Place { part, axis, role, offset, repeat, block } in line.places.iter().cloned() {
                        let use_ = Use::new(role, name, axis).offset(offset).repeat(repeat).block(block);
                        uses.entry((layer, part)).or_default().push(use_);
                    }
                }
                Some(_) | None => coupling = coupling.fixed(name),
            }
        }
        for &layer in layers {
            for (&part, &units) in &self.units {
                let uses = uses.remove(&(layer, part)).unwrap_or_default();
                // Activations of feed-forward networks map zero to zero, and so does attention without values.
                coupling = coupling.with(Dimension::new(part.dimension(layer), uses).size(units).zero_at_zero());
            }
        }
        coupling
    }

    /// Returns the name of a tensor if only some layers are kept, or `None` if it is dropped with its layer.
    pub fn renamed(&self, name: &str, kept: &[usize]) -> Option<String> {
        match self.split(name) {
            Some(Name::Layer { before, layer, rest }) => {
                let number = kept.binary_search(&layer).ok()?;
                Some(format!("{before}{number}.{rest}"))
            }
            Some(Name::Other) | None => Some(name.to_owned()),
        }
    }

    /// Returns the tensor of a layer with a name within it, given one of the tensors of the model.
    pub fn in_layer<'t>(&self, layer: usize, rest: &str, mut tensors: impl Iterator<Item = &'t str>) -> Option<String> {
        tensors.find_map(|name| match self.split(name)? {
            Name::Layer { before, .. } => Some(format!("{before}{layer}.{rest}")),
            Name::Other => None,
        })
    }
}
