//! The plot of a checkpoint: the distribution of magnitudes, and the sparsity of each tensor or of each kind of tensor by layer.

mod bars;
mod canvas;
mod heat_map;
mod histogram;
mod threshold;

use std::path::{Path, PathBuf};

use plotters::prelude::*;
use prune::checkpoint::{Magnitudes, TensorInspection};

use crate::error::CliError;
use crate::format;
use crate::names::{MAX_ROWS, natural_order};
use crate::outputs;
use crate::text::escape_invisible;
use canvas::{Canvas, DrawResult};
use heat_map::HeatMap;

/// The most tensors that get a bar with a name each. If there are more, a heat map shows them.
const MAX_BARS: usize = MAX_ROWS;

/// A floating-point tensor that is plotted: it has two or more dimensions, or zeros.
///
/// Most other tensors are biases and norms, which are small, many and rarely pruned.
struct PlottedTensor<'a> {
    name: String,
    entries: usize,
    zeros: usize,
    /// The number of entries that its mask prunes.
    masked: usize,
    magnitudes: &'a Magnitudes,
}

impl<'a> PlottedTensor<'a> {
    fn of(tensor: &'a TensorInspection) -> Option<Self> {
        let (zeros, magnitudes) = (tensor.zeros?, tensor.magnitudes.as_ref()?);
        let is_plotted = tensor.entries > 0 && (tensor.shape.len() >= 2 || zeros > 0);
        let name = escape_invisible(&tensor.name).into_owned();
        let masked = tensor.masked.unwrap_or(0);
        is_plotted.then_some(Self { name, entries: tensor.entries, zeros, masked, magnitudes })
    }

    /// Returns `true` if at least 1 % of the entries are zero. Many unpruned tensors have a few zeros.
    fn is_sparse(&self) -> bool {
        self.zeros > 0 && self.zeros >= self.entries / 100
    }
}

/// Returns the path if it is that of an SVG picture.
pub fn svg_path(path: PathBuf) -> Result<PathBuf, &'static str> {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("svg") => Ok(path),
        _ => Err("the plot is an SVG picture, so its name must end in .svg"),
    }
}

/// Writes two charts, one above the other.
pub fn write<'a>(path: &Path, tensors: impl Iterator<Item = &'a TensorInspection>) -> Result<(), CliError> {
    let mut tensors: Vec<PlottedTensor> = tensors.filter_map(PlottedTensor::of).collect();
    tensors.sort_by(|a, b| natural_order(&a.name, &b.name));
    let mut svg = String::new();
    draw(&mut svg, &tensors).map_err(|error| CliError::caused_by("cannot draw the plot", error))?;
    outputs::replace(path, &svg)
        .map_err(|error| CliError::caused_by(format!("cannot write `{}`", path.display()), error))
}

fn draw(svg: &mut String, tensors: &[PlottedTensor]) -> DrawResult {
    let heat_map = (tensors.len() > MAX_BARS).then(|| HeatMap::of(tensors));
    let height = histogram::HEIGHT + heat_map.as_ref().map_or_else(|| bars::height(tensors.len()), HeatMap::height);
    let root = SVGBackend::with_string(svg, (canvas::WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (above, below): (Canvas, Canvas) = root.split_vertically(histogram::HEIGHT);
    histogram::draw(&above, tensors)?;
    match heat_map {
        Some(heat_map) => heat_map.draw(&below)?,
        None => bars::draw(&below, tensors)?,
    }
    root.present()?;
    Ok(())
}
