//! The options that select tensors by their names.

use clap::Args;
use prune::checkpoint::Selection;
use serde::{Deserialize, Serialize};

/// The names of the tensors to prune.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    /// Prune only layers whose tensor names match this glob; may be repeated
    #[arg(long, value_name = "GLOB")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Skip tensors whose whole name matches this glob; may be repeated
    #[arg(long, value_name = "GLOB")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Prune exactly the tensors whose names match this glob, whatever they are; may be repeated
    #[arg(long, value_name = "GLOB", conflicts_with = "include")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Prune every floating-point tensor, whatever it is: --only '*'
    #[arg(long, conflicts_with_all = ["include", "only"])]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

impl Names {
    pub fn selection(&self) -> Selection {
        let Self { include, exclude, only, all } = self;
        let selection = if *all { Selection::new().only("*") } else { Selection::new() };
        let selection = only.iter().fold(selection, Selection::only);
        let selection = include.iter().fold(selection, Selection::include);
        exclude.iter().fold(selection, Selection::exclude)
    }

    /// Returns `true` if no pattern is given.
    pub fn is_default(&self) -> bool {
        let Self { include, exclude, only, all } = self;
        include.is_empty() && exclude.is_empty() && only.is_empty() && !all
    }
}
