//! A picture of a checkpoint: the distribution of magnitudes, and the sparsity of every layer.

mod canvas;
mod histogram;
mod layers;

use std::fs;
use std::io;
use std::path::Path;

use plotters::prelude::*;
use prune::checkpoint::{Checkpoint, Inspection, Magnitudes};

use crate::failure::Failure;
use crate::show;
use canvas::{Canvas, Drawn};

/// A floating-point tensor that is drawn: of two and more dimensions, or with zeros. (Among biases and norms there are
/// many small ones that are nobody's to prune.)
struct Layer<'a> {
    name: String,
    entries: usize,
    zeros: usize,
    magnitudes: &'a Magnitudes,
}

impl Layer<'_> {
    /// Whether it looks pruned, at least one in a hundred. A few zeros are in many tensors that nobody has pruned.
    fn is_sparse(&self) -> bool {
        self.zeros > 0 && self.zeros >= self.entries / 100
    }
}

/// Two charts, one above the other.
pub fn write(path: &Path, inspection: &Inspection) -> Result<(), Failure> {
    let layers: Vec<Layer> = inspection
        .tensors
        .iter()
        .filter_map(|tensor| {
            let (zeros, magnitudes) = (tensor.zeros?, tensor.magnitudes.as_ref()?);
            let is_drawn = tensor.entries > 0 && (tensor.shape.len() >= 2 || zeros > 0);
            let name = show::plain(&tensor.name).into_owned();
            is_drawn.then_some(Layer { name, entries: tensor.entries, zeros, magnitudes })
        })
        .collect();

    let mut svg = String::new();
    draw(&mut svg, &layers).map_err(|error| Failure::new("plot: cannot draw", error))?;
    replace(path, &svg).map_err(|error| Failure::new(format!("plot: cannot write `{}`", path.display()), error))
}

fn draw(svg: &mut String, layers: &[Layer]) -> Drawn {
    let height = histogram::HEIGHT + layers::height(layers.len());
    let root = SVGBackend::with_string(svg, (canvas::WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (above, below): (Canvas, Canvas) = root.split_vertically(histogram::HEIGHT);
    histogram::draw(&above, layers)?;
    layers::draw(&below, layers)?;
    root.present()?;
    Ok(())
}

/// Looks, before any work is done, whether the picture may be put there.
pub fn check_destination(path: &Path, force: bool, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let message = if path.is_dir() {
        format!("plot: expected a file, found the folder `{}`", path.display())
    } else if is_input(path, checkpoint) {
        format!("plot: expected a path that is not part of the input, found `{}`", path.display())
    } else if path.exists() && !path.is_file() {
        format!("plot: expected a file, found something else at `{}`", path.display())
    } else if path.symlink_metadata().is_ok() && !force {
        format!("plot: expected nothing to be there, found `{}` (--force replaces it)", path.display())
    } else {
        return Ok(());
    };
    Err(Failure::Other { message, source: None })
}

fn is_input(path: &Path, checkpoint: &Checkpoint) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let inputs = checkpoint.shards().iter().map(|shard| shard.path()).chain(checkpoint.index());
    inputs.filter_map(|input| input.canonicalize().ok()).any(|input| input == path)
}

/// Renames, so that whatever else the path is a link to stays as it is.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".nn-prune-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666)); // less the umask
    }
    let file = builder.tempfile_in(path.parent().unwrap_or(Path::new("")))?;
    fs::write(file.path(), text)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
