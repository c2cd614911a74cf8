//! The structure of a checkpoint: its coupling and, with a preset, its configuration.

use std::collections::BTreeSet;
use std::path::Path;

use crate::checkpoint::compact::compactor::Compactor;
use crate::checkpoint::compact::config::Config;
use crate::checkpoint::compact::json;
use crate::checkpoint::compact::preset::{Part, Preset};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::read::Checkpoint;
use crate::compact::layout::{Layout, Shapes};
use crate::compact::{CompactError, Coupling, Plan};

/// The model, as it is known before anything is chosen.
pub(crate) struct Structure {
    pub coupling: Coupling,
    /// The shapes of the parameters of the layers that are kept.
    pub shapes: Shapes,
    /// The configuration and the preset; `None` with a coupling file.
    pub model: Option<Model>,
}

pub(crate) struct Model {
    pub config: Config,
    pub preset: Preset,
    /// The numbers of the layers that are kept.
    pub layers: Vec<usize>,
}

impl Structure {
    pub fn of(compactor: &Compactor, checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        if let Some(path) = &compactor.coupling {
            return Self::of_file(path, checkpoint);
        }
        let (config, preset) = Self::preset(checkpoint)?;
        for (part, _) in &compactor.amounts {
            if !preset.units.contains_key(part) {
                let model_type = preset.model_type.clone();
                return Err(CheckpointError::PartOfPreset {
                    model_type,
                    part: part.name(),
                    instead: instead(&preset, *part),
                });
            }
        }
        let dropped: BTreeSet<usize> = compactor.dropped.iter().copied().collect();
        if let Some(&layer) = dropped.iter().find(|&&layer| layer >= preset.layers) {
            return Err(CheckpointError::UnknownLayer { layer, layers: preset.layers });
        }
        let layers: Vec<usize> = (0..preset.layers).filter(|layer| !dropped.contains(layer)).collect();
        if layers.is_empty() {
            return Err(CheckpointError::AllLayersDropped { layers: preset.layers });
        }
        Self::of_layers(config, preset, layers, checkpoint)
    }

    /// The structure of a model whose units are reordered: by a coupling file, or by a preset.
    pub fn for_orders(coupling: Option<&Path>, checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        if let Some(path) = coupling {
            return Self::of_file(path, checkpoint);
        }
        let (config, preset) = Self::preset(checkpoint)?;
        let layers = (0..preset.layers).collect();
        Self::of_layers(config, preset.for_orders(), layers, checkpoint)
    }

    fn of_file(path: &Path, checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        let shapes: Shapes =
            checkpoint.parameters.iter().map(|parameter| (parameter.name.clone(), parameter.shape.clone())).collect();
        let coupling = json::read_coupling(path, shapes.keys().map(String::as_str))?;
        Self { coupling, shapes, model: None }.checked(checkpoint)
    }

    /// The configuration beside a checkpoint, and its preset, which covers all tensors.
    fn preset(checkpoint: &Checkpoint) -> Result<(Config, Preset), CheckpointError> {
        let config = Config::read(checkpoint.directory())?;
        let preset = Preset::new(&config)?;
        let parameters = checkpoint.parameters.iter();
        preset.check(&config, parameters.map(|parameter| (parameter.name.as_str(), parameter.shape.as_slice())))?;
        Ok((config, preset))
    }

    fn of_layers(
        config: Config,
        preset: Preset,
        layers: Vec<usize>,
        checkpoint: &Checkpoint,
    ) -> Result<Self, CheckpointError> {
        let is_kept = |name: &str| preset.renamed(name, &layers).is_some();
        let kept = checkpoint.parameters.iter().filter(|parameter| is_kept(&parameter.name));
        let shapes: Shapes = kept.map(|parameter| (parameter.name.clone(), parameter.shape.clone())).collect();
        let coupling = preset.coupling(&layers, shapes.keys().map(String::as_str));
        Self { coupling, shapes, model: Some(Model { config, preset, layers }) }.checked(checkpoint)
    }

    /// Cut tensors are floats: nothing else has a unit that can be taken out without a look at its encoding.
    fn checked(self, checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        let used: BTreeSet<&str> =
            self.coupling.dimensions.iter().flat_map(|d| &d.uses).map(|use_| use_.parameter.as_str()).collect();
        let mut parameters = checkpoint.parameters.iter();
        match parameters.find(|parameter| used.contains(parameter.name.as_str()) && !parameter.dtype.can_be_pruned()) {
            Some(parameter) => {
                Err(CheckpointError::NotFloat { tensor: parameter.name.clone(), dtype: parameter.dtype })
            }
            None => Ok(self),
        }
    }

    /// The checked coupling, in which some kinds of units are chosen, or all.
    pub fn layout(&self, part: Option<Part>) -> Result<Layout, CheckpointError> {
        let coupling = match part {
            None => self.coupling.clone(),
            Some(part) => {
                let suffix = format!(".{}", part.name());
                let names = self.coupling.dimensions.iter().map(|dimension| dimension.name.as_str());
                self.coupling.only(names.filter(|name| name.ends_with(&suffix))).map_err(compact)?
            }
        };
        Layout::new(&coupling, self.shapes.clone()).map_err(compact)
    }

    /// The configuration after the plan. All layers must keep the same number of units of each kind.
    pub fn changed_config(&self, plan: &Plan) -> Result<Option<Config>, CheckpointError> {
        let Some(Model { config, preset, layers }) = &self.model else { return Ok(None) };
        let mut changed = config.clone();
        for (&part, &units) in &preset.units {
            let mut counts = layers.iter().map(|&layer| (layer, plan.kept(&part.dimension(layer)).len()));
            let (_, kept) = counts.next().unwrap_or((0, units));
            if let Some((layer, found)) = counts.find(|&(_, count)| count != kept) {
                let dimension = part.dimension(layer);
                return Err(CheckpointError::UnevenLayers { dimension, expected: kept, found });
            }
            if kept != units {
                preset.set_units(&mut changed, part, kept)?;
            }
        }
        if layers.len() < preset.layers {
            if matches!(preset.model_type.as_str(), "gemma2" | "gemma3_text") && config.get("layer_types").is_none() {
                return Err(
                    config.error("lacks `layer_types`, so the kind of attention depends on the number of a layer")
                );
            }
            changed.drop_layers(preset.layers_key, layers, preset.layers)?;
        }
        Ok(Some(changed))
    }
}

/// The part to remove instead of units that a type does not have or cannot lose.
fn instead(preset: &Preset, part: Part) -> &'static str {
    match part {
        Part::Heads if preset.units.contains_key(&Part::KvGroups) => "kv_groups",
        Part::KvGroups if preset.units.contains_key(&Part::Heads) => "heads",
        Part::Heads | Part::KvGroups | Part::Values(_) | Part::Ffn => "ffn",
    }
}

pub(crate) fn compact(source: CompactError) -> CheckpointError {
    CheckpointError::Compact { source }
}
