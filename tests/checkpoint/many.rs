//! Shards that are pruned by several processes, against the whole checkpoint.

mod cut;
mod peers;

use std::fs;
use std::path::PathBuf;

use half::{bf16, f16};
use ndarray::ArrayD;

use super::support::{Raw, Stored, weights, write_sharded};

/// Values with many ties, in four types, some with masks, one mask in another shard than its weights.
fn shards(seed: u64) -> Vec<Vec<Raw>> {
    fn ties<A: Stored>(shape: &[usize], seed: u64) -> ArrayD<A> {
        weights::<f64>(shape, seed).map(|x| A::number((x * 64.0).round() / 64.0))
    }
    fn masked<A: Stored>(name: &str, shape: &[usize], seed: u64) -> [Raw; 2] {
        let mask = weights::<f32>(shape, seed + 50).map(|&x| x > -0.02);
        [Raw::of(&format!("{name}_orig"), &ties::<A>(shape, seed)), Raw::mask::<A>(&format!("{name}_mask"), &mask)]
    }
    let [orig, mask] = masked::<f32>("c.fc.weight", &[11, 13], seed + 4);
    let [other_orig, other_mask] = masked::<bf16>("b.fc.weight", &[40, 9], seed + 3);
    vec![
        vec![
            Raw::of("a.fc.weight", &ties::<f32>(&[30, 20], seed)),
            Raw::of("a.fc.bias", &weights::<f32>(&[30], seed + 1)),
        ],
        vec![Raw::of("b.proj.weight", &ties::<f16>(&[25, 8], seed + 2)), other_orig, other_mask],
        vec![orig, Raw::of("d.fc.weight", &weights::<f32>(&[3, 200], seed + 5))],
        vec![mask, Raw::of("e.fc.weight", &ties::<f64>(&[9, 30], seed + 6))],
        vec![Raw::of("f.norm.weight", &weights::<f32>(&[30], seed + 7))],
        vec![Raw::of("g.fc.weight", &ties::<bf16>(&[30, 30], seed + 8))],
    ]
}

fn folder_with(shards: &[Vec<Raw>]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    let shards: Vec<&[Raw]> = shards.iter().map(Vec::as_slice).collect();
    let index = write_sharded(&folder.path().join("in"), &shards);
    (folder, index)
}

fn shard(number: usize) -> String {
    format!("model-{number:05}-of-00006.safetensors")
}
