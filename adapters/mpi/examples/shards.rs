//! Writes a small model in shards with an index, to try `nn-prune-mpi` on: `cargo run --example shards DIR`.

use std::fs;
use std::path::Path;

use ndarray::Array2;
use prune::ParameterStore;

fn main() {
    let folder = std::env::args().nth(1).expect("the directory to write to");
    write_model(Path::new(&folder), 4, 4000);
}

/// Writes matrices whose entries are on a grid, so that many are equal.
pub fn write_model(folder: &Path, shards: usize, rows: usize) {
    let mut state = 88_u64;
    let mut map = Vec::new();
    fs::create_dir_all(folder).expect("a directory that can be written to");
    for shard in 1..=shards {
        let name = format!("model-{shard:05}-of-{shards:05}.safetensors");
        let mut model = ParameterStore::<f32>::default();
        for (part, rows) in [("a", rows), ("b", rows / 2 + shard)] {
            let tensor = format!("layers.{shard}.{part}.weight");
            let entries = Array2::from_shape_simple_fn((rows, 64), || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 48) as f32 - 32_768.0) / 4096.0
            });
            map.push(format!("\"{tensor}\": \"{name}\""));
            model.insert(tensor, entries);
        }
        prune::safetensors::save_file(&model, folder.join(&name)).expect("room for the model");
    }
    let index = format!("{{\"weight_map\": {{{}}}}}", map.join(", "));
    fs::write(folder.join("model.safetensors.index.json"), index).expect("room for the index");
    fs::write(folder.join("config.json"), "{}").expect("room for the configuration");
}
