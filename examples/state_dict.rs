//! Loads a model that PyTorch has pruned and saved, prunes it further, and saves it for PyTorch, with its masks in a separate
//! file.
//!
//! ```text
//! cargo run --features safetensors --example state_dict
//! cargo run --features safetensors --example state_dict MODEL.safetensors DIRECTORY
//! ```
//!
//! Without arguments, it uses a small model of the tests and discards the output. Otherwise, it writes `model.safetensors` and
//! `masks.safetensors` into the directory.

use std::error::Error;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use prune::safetensors::{load_file, save_file, save_masks};
use prune::{Element, L1Unstructured, Module, Summary};

fn main() -> Result<(), Box<dyn Error>> {
    let discarded = tempfile::tempdir()?;
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (model, directory) = match &arguments[..] {
        [] => {
            let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/state_dict/pruned_bf16.safetensors");
            (model, discarded.path())
        }
        [model, directory] => (model.clone(), directory.as_path()),
        _ => return Err("needs a model and a directory, or no arguments".into()),
    };

    // The element type is a type parameter, but the dtype is known only from the file: so the types are tried in turn.
    let done = prune_file::<f32>(&model, directory)?
        || prune_file::<bf16>(&model, directory)?
        || prune_file::<f16>(&model, directory)?;
    if done { Ok(()) } else { Err("the model has no tensor of F32, BF16 or F16".into()) }
}

/// Prunes the model and saves it. Returns `false` if the file has no tensor of this type.
fn prune_file<A: Element>(model: &Path, directory: &Path) -> Result<bool, Box<dyn Error>> {
    let (mut net, report) = load_file::<A>(model)?;
    if report.applied.is_empty() {
        return Ok(false);
    }
    println!("{}: {report}", model.display());

    // Half of the remaining entries of all matrices together.
    let all = net.named_parameters().into_iter();
    let matrices: Vec<String> = all.filter(|(_, p)| p.value().ndim() >= 2).map(|(name, _)| name).collect();
    prune::global_unstructured(prune::parameters_mut(&mut net, &matrices)?, L1Unstructured::new(0.5)?)?;

    print!("{}", Summary::of(&net));
    save_file(&net, directory.join("model.safetensors"))?;
    save_masks(&net, directory.join("masks.safetensors"))?;
    Ok(true)
}
