//! The options of `nn-prune compact`.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, ValueEnum};
use prune::Amount;
use prune::checkpoint::Compactor;
use prune::compact::{Rank, Reduce};

use crate::amount::LayerAmount;
use crate::args::{Input, OutputOptions, ReportOptions, output_path};
use crate::parse::NormName;

const EXAMPLES: &str = "\
Examples:
  # Remove half of the inner neurons of each feed-forward network, and keep a multiple of 64
  nn-prune compact model/ -o smaller/ --ffn 0.5 --multiple 64
  # Remove two key/value heads with their query heads from each layer, and eight layers
  nn-prune compact model/ -o smaller/ --kv-groups 2 --drop-layers 20-27
  # Rank by scores from calibration: a safetensors file with a vector for each dimension (0.ffn, 1.ffn, ...)
  nn-prune compact model/ -o smaller/ --ffn 0.25 --scores activations.safetensors
  # Remove what masks or zeros have made useless already
  nn-prune compact masked/ -o smaller/ --dead
  # Any model: a coupling as JSON, and the units that it keeps
  nn-prune compact net.safetensors -o small.safetensors --coupling net.json --keep plan.json";

/// Write a smaller copy of a model: units and layers are removed, not set to zero
///
/// The model type in config.json determines which tensors belong together: bert, gemma, gemma2, gemma3_text, gpt2, llama,
/// mistral, phi3, qwen2, qwen3, roberta or vit. The output is a directory with a config.json for the new sizes. It computes
/// what the input computes with the removed units masked; it has lost what they contributed, so train it further. Every layer
/// loses the same number of units.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("what").args(["ffn", "kv_groups", "heads", "drop_layers", "dead", "keep"]).required(true).multiple(true)))]
#[command(group(ArgGroup::new("ranked").args(["ffn", "kv_groups", "heads"]).multiple(true)))]
pub struct CompactArgs {
    #[command(flatten)]
    pub input: Input,
    /// The output directory OUT/, which is created if missing; with --coupling and one input file, a file
    #[arg(short, long, value_name = "OUT", required_unless_present = "dry_run", value_parser = output_path())]
    pub output: Option<PathBuf>,
    /// Remove inner neurons of each feed-forward network: a fraction (0.5) or a count
    #[arg(long, value_name = "AMOUNT", value_parser = amount, allow_hyphen_values = true, conflicts_with = "coupling")]
    ffn: Option<Amount>,
    /// Remove key/value heads of each layer with their query heads: a fraction or a count; for llama and its kin
    #[arg(long, value_name = "AMOUNT", value_parser = amount, allow_hyphen_values = true, conflicts_with = "coupling")]
    kv_groups: Option<Amount>,
    /// Remove attention heads of each layer: a fraction or a count; for vit
    #[arg(long, value_name = "AMOUNT", value_parser = amount, allow_hyphen_values = true, conflicts_with = "coupling")]
    heads: Option<Amount>,
    /// Remove layers by their numbers from 0, such as 0,3 or 20-27; the others are renumbered
    #[arg(long, value_name = "LAYERS", value_parser = layers, conflicts_with = "coupling")]
    drop_layers: Option<Layers>,
    /// Remove the units that masks or zeros have made useless already: nothing is lost
    #[arg(long)]
    dead: bool,
    /// Keep the units that a JSON file lists: {"keep": {"0.ffn": [0, 2, ...], ...}}
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Take the dimensions of the model from a JSON file instead of its type; config.json is not changed
    #[arg(long, value_name = "FILE")]
    coupling: Option<PathBuf>,
    /// Rank units by the vectors of a safetensors file instead of norms
    #[arg(long, value_name = "FILE", conflicts_with_all = ["norm", "reduce"], requires = "ranked")]
    scores: Option<PathBuf>,
    /// The norm of the weights that make and read a unit: a number, inf, -inf or fro [default: 2]
    #[arg(long, allow_hyphen_values = true, requires = "ranked")]
    norm: Option<NormName>,
    /// How the norms of several weights become one number [default: joint]
    #[arg(long, value_enum, requires = "ranked")]
    reduce: Option<ReduceName>,
    /// Keep a multiple of N inner neurons; for --ffn [default: 1]
    #[arg(long, value_name = "N", requires = "ffn")]
    multiple: Option<usize>,
    /// Keep at least N units of each dimension [default: 1]
    #[arg(long, value_name = "N", requires = "ranked")]
    minimum: Option<usize>,
    /// Add the constants that biases make of removed units to the next layer; for masks trained with their biases
    #[arg(long, conflicts_with = "coupling")]
    fold: bool,
    /// Write the kept units to a JSON file, for --keep
    #[arg(long, value_name = "FILE", value_parser = output_path())]
    save_plan: Option<PathBuf>,
    /// Report what would be removed, without writing a model
    #[arg(long, conflicts_with_all = ["force", "resume", "weights_only"])]
    pub dry_run: bool,
    #[command(flatten)]
    pub output_options: OutputOptions,
    #[command(flatten)]
    pub report: ReportOptions,
}

impl CompactArgs {
    /// Returns the files that are read besides the checkpoint.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.keep, &self.coupling, &self.scores].into_iter().flatten().map(PathBuf::as_path)
    }

    pub fn save_plan(&self) -> Option<&Path> {
        self.save_plan.as_deref()
    }

    pub fn compactor(&self) -> Compactor {
        let mut compactor = Compactor::new()
            .dead(self.dead)
            .fold(self.fold)
            .multiple(self.multiple.unwrap_or(1))
            .minimum(self.minimum.unwrap_or(1))
            .rank(self.rank());
        compactor = self.ffn.into_iter().fold(compactor, Compactor::ffn);
        compactor = self.kv_groups.into_iter().fold(compactor, Compactor::kv_groups);
        compactor = self.heads.into_iter().fold(compactor, Compactor::heads);
        compactor = self.keep.iter().fold(compactor, Compactor::keep);
        compactor = self.coupling.iter().fold(compactor, Compactor::coupling);
        compactor = self.scores.iter().fold(compactor, Compactor::scores);
        compactor = self.save_plan.iter().fold(compactor, Compactor::save_plan);
        let layers = self.drop_layers.iter().flat_map(|layers| layers.0.iter().copied());
        compactor.drop_layers(layers)
    }

    fn rank(&self) -> Rank {
        let mut rank = Rank::default();
        if let Some(NormName(norm)) = self.norm {
            rank.norm = norm;
        }
        if let Some(reduce) = self.reduce {
            rank.reduce = reduce.into();
        }
        rank
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ReduceName {
    /// One norm over all weights of a unit together
    Joint,
    /// The sum of the norms
    Sum,
    /// Their mean
    Mean,
    /// The largest
    Max,
}

impl From<ReduceName> for Reduce {
    fn from(name: ReduceName) -> Self {
        match name {
            ReduceName::Joint => Self::Joint,
            ReduceName::Sum => Self::Sum,
            ReduceName::Mean => Self::Mean,
            ReduceName::Max => Self::Max,
        }
    }
}

/// The numbers of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers(Vec<usize>);

/// Parses an amount that applies to every layer.
fn amount(text: &str) -> Result<Amount, String> {
    match text.parse()? {
        LayerAmount { pattern: None, amount, .. } => Ok(amount),
        LayerAmount { .. } => Err("must be one amount: every layer loses the same number of units".into()),
    }
}

/// Parses numbers and ranges, `0,3` or `20-27`; both ends of a range are in it.
fn layers(text: &str) -> Result<Layers, String> {
    // More than any model has, so that a range cannot fill the memory.
    const LIMIT: usize = 100_000;
    let invalid = || "must be numbers or ranges such as 0,3 or 20-27".to_owned();
    let number = |text: &str| text.trim().parse::<usize>().ok().filter(|&layer| layer < LIMIT).ok_or_else(invalid);
    let mut layers = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => layers.push(number(part)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return Err(format!("range {} ends before it begins", part.trim()));
                }
                layers.extend(first..=last);
            }
        }
    }
    Ok(Layers(layers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_numbers_and_ranges() {
        assert_eq!(layers("3"), Ok(Layers(vec![3])));
        assert_eq!(layers("0, 3,5-7"), Ok(Layers(vec![0, 3, 5, 6, 7])));
        assert_eq!(layers("2-2"), Ok(Layers(vec![2])));
        assert_eq!(layers("7-5"), Err("range 7-5 ends before it begins".into()));
        for text in ["", ",", "a", "-1", "1-", "1-2-3", "0.5", "0-99999999999"] {
            assert_eq!(layers(text), Err("must be numbers or ranges such as 0,3 or 20-27".into()), "{text}");
        }
    }
}
