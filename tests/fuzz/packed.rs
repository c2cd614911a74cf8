//! Any bytes as a packed file.

use prune::ParameterStore;
use prune::checkpoint::{Checkpoint, Output, inspect, unpack};
use prune::safetensors::{PackedTensor, packed_from_bytes, packed_to_bytes};

use crate::file;

/// The largest dense tensor that is made: bits of a small file may stand for many zeros.
const MAX_ENTRIES: usize = 1 << 20;

/// A file is refused, or its tensors are those of `unpack`, and are loaded again after they were saved.
pub fn check(bytes: &[u8]) {
    let bytes = file::of(bytes);
    let (tensors, _) = match packed_from_bytes::<f32>(&bytes) {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(!error.to_string().contains(char::is_control), "{error}");
            return streamed(&bytes, None);
        }
    };
    let entries = |tensor: &PackedTensor<f32>| match tensor {
        PackedTensor::Packed(packed) => packed.entries(),
        PackedTensor::Dense(dense) => dense.len(),
    };
    if tensors.iter().map(|(_, tensor)| entries(tensor)).sum::<usize>() > MAX_ENTRIES {
        return;
    }
    streamed(&bytes, Some(&tensors[..]));

    let store = ParameterStore::from_iter(tensors.iter().map(|(name, tensor)| (name.clone(), tensor.to_dense())));
    let Ok(saved) = packed_to_bytes(&store) else { return };
    let (loaded, _) = packed_from_bytes::<f32>(&saved).expect("it was just saved");
    for ((name, tensor), (loaded_name, loaded)) in tensors.iter().zip(&loaded) {
        assert_eq!(name, loaded_name);
        let (tensor, loaded) = (tensor.to_dense(), loaded.to_dense());
        assert_eq!(tensor.shape(), loaded.shape());
        assert!(tensor.iter().zip(&loaded).all(|(a, b)| a == b || a.is_nan() && b.is_nan()));
    }
}

/// Inspects and unpacks the file. If it was loaded, what is unpacked has its numbers.
fn streamed(bytes: &[u8], loaded: Option<&[(String, PackedTensor<f32>)]>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let [input, output] = ["in", "out"].map(|name| directory.path().join(name));
    std::fs::write(&input, bytes).expect("the input can be written");
    let Ok(checkpoint) = Checkpoint::open([&input]) else { return };
    let inspection = inspect(&checkpoint, false, &());
    let total: usize = inspection.iter().flat_map(|found| &found.tensors).map(|tensor| tensor.entries).sum();
    if total > MAX_ENTRIES || unpack(&checkpoint, &Output::new(&output), &()).is_err() {
        return assert!(!output.exists() || total > MAX_ENTRIES);
    }
    let unpacked = std::fs::read(&output).expect("it was just written");
    // Names may be such that what is unpacked looks packed again.
    let Ok((dense, _)) = packed_from_bytes::<f32>(&unpacked) else { return };
    for (name, tensor) in loaded.into_iter().flatten() {
        let Some((_, dense)) = dense.iter().find(|(found, _)| found == name) else { continue };
        let (tensor, dense) = (tensor.to_dense(), dense.to_dense());
        assert!(tensor.iter().zip(&dense).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}");
    }
}
