//! State dicts and mask files: `prune::safetensors`.
//!
//! The `.safetensors` files in this directory were written by PyTorch, with `make.py`.

mod errors;
mod files;
mod hostile;
mod laws;
mod masks;
mod pytorch;
mod reports;

use std::collections::BTreeMap;

use ndarray::{arr1, arr2};
use prune::{Element, Module, ParameterStore, safetensors::to_bytes};

/// A pruned `weight` of shape [2, 2] and an unpruned `bias` of shape [2].
fn layer() -> ParameterStore<f32> {
    let mut layer = ParameterStore::from_iter([("weight", arr2(&[[1.0_f32, -2.0], [3.0, -4.0]]))]);
    layer.insert("bias", arr1(&[0.5, -0.5]));
    prune::l1_unstructured(&mut layer, "weight", 2).unwrap();
    layer
}

/// A module of the same names and shapes, unpruned.
fn unpruned_layer() -> ParameterStore<f32> {
    let mut layer = ParameterStore::from_iter([("weight", arr2(&[[9.0_f32, 9.0], [9.0, 9.0]]))]);
    layer.insert("bias", arr1(&[9.0, 9.0]));
    layer
}

/// A file from its parts, valid or not.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A valid file of some tensors: name, dtype, shape and bytes.
fn file_of(tensors: &[(&str, &str, &str, &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    let entries = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let start = data.len();
        data.extend_from_slice(bytes);
        let name = serde_json::to_string(name).unwrap();
        format!(r#"{name}:{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{}]}}"#, data.len())
    });
    let header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    file(&header, &data)
}

/// Little-endian bytes of numbers.
fn bytes_of(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The tensors of a file: name to dtype, shape and bytes.
fn tensors(file: &[u8]) -> BTreeMap<String, (String, Vec<usize>, Vec<u8>)> {
    let parsed = ::safetensors::SafeTensors::deserialize(file).unwrap();
    let tensor = |(name, view): (&str, ::safetensors::tensor::TensorView<'_>)| {
        (name.to_owned(), (view.dtype().to_string(), view.shape().to_vec(), view.data().to_vec()))
    };
    parsed.iter().map(tensor).collect()
}

/// The whole state of a module: bits, masks and histories.
fn snapshot<M: Module>(module: &M) -> (Vec<u8>, Vec<Vec<String>>)
where
    M::Elem: Element,
{
    let histories = module.named_parameters().iter().map(|(_, parameter)| history(parameter)).collect();
    (to_bytes(module).unwrap(), histories)
}

fn history<A: Element>(parameter: &prune::Parameter<A>) -> Vec<String> {
    parameter.methods().iter().map(|method| method.name().to_owned()).collect()
}
