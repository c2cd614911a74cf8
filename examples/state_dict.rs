//! A model that PyTorch has pruned and saved is pruned further here and handed back, with its masks as a file of their own.
//!
//! ```text
//! cargo run --example state_dict                           # a small model from the tests; what is written is discarded
//! cargo run --example state_dict MODEL.safetensors FOLDER  # writes FOLDER/model.safetensors and FOLDER/masks.safetensors
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use prune::safetensors::{load_file, save_file, save_masks};
use prune::{Element, L1Unstructured, Module};

fn main() -> Result<(), Box<dyn Error>> {
    let discarded = tempfile::tempdir()?;
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (model, folder) = match &arguments[..] {
        [] => {
            let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/state_dict/pruned_bf16.safetensors");
            (model, discarded.path())
        }
        [model, folder] => (model.clone(), folder.as_path()),
        _ => return Err("expected a model and a folder, or nothing".into()),
    };

    // A file says what its dtype is, a program before it runs: so try them.
    let done = go_on::<f32>(&model, folder)? || go_on::<bf16>(&model, folder)? || go_on::<f16>(&model, folder)?;
    if done { Ok(()) } else { Err("expected a model in F32, BF16 or F16".into()) }
}

/// False if nothing in the file is of this type.
fn go_on<A: Element>(model: &Path, folder: &Path) -> Result<bool, Box<dyn Error>> {
    let (mut net, report) = load_file::<A>(model)?;
    if report.applied.is_empty() {
        return Ok(false);
    }
    println!("{}: {report}", model.display());

    // Half of the remaining entries of all matrices together.
    let all = net.named_parameters().into_iter();
    let matrices: Vec<String> = all.filter(|(_, p)| p.value().ndim() >= 2).map(|(name, _)| name).collect();
    prune::global_unstructured(prune::parameters_mut(&mut net, &matrices)?, L1Unstructured::new(0.5)?)?;

    for (name, parameter) in net.named_parameters() {
        let kept = parameter.mask().map_or(parameter.value().len(), |mask| mask.iter().filter(|&&kept| kept).count());
        println!("{name:<24}{kept:>8} of {:>8} kept", parameter.value().len());
    }
    save_file(&net, folder.join("model.safetensors"))?;
    save_masks(&net, folder.join("masks.safetensors"))?;
    Ok(true)
}
