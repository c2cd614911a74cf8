//! Every test of the crate, as one program.

mod errors;
mod files;
mod masks;
mod names;
mod originals;
mod tensors;
mod training;

use std::collections::BTreeMap;

use candle_core::{CpuStorage, DType, Device, Storage, Tensor, Var, WithDType};
use candle_nn::VarMap;
use ndarray::{ArrayD, IxDyn};
use prune::Element;
use prune_candle::PrunedVars;

/// A type that both libraries know.
trait Float: Element + WithDType {}
impl<A: Element + WithDType> Float for A {}

/// Numbers with signs, zeros and many ties, which every dtype holds exactly.
fn numbers(seed: usize, len: usize) -> Vec<f64> {
    (0..len).map(|i| ((i * 37 + seed * 11) % 23) as f64 / 4.0 - 2.75).collect()
}

/// An array of [`numbers`].
fn array<A: Float>(seed: usize, shape: &[usize]) -> ArrayD<A> {
    let numbers = numbers(seed, shape.iter().product());
    ArrayD::from_shape_vec(IxDyn(shape), numbers.into_iter().map(<A as WithDType>::from_f64).collect()).unwrap()
}

/// A map with a variable of the entries of each array.
fn vars_of<A: Float>(arrays: &[(&str, &ArrayD<A>)]) -> VarMap {
    let map = VarMap::new();
    for (name, array) in arrays {
        insert(
            &map,
            name,
            Tensor::from_iter(array.iter().copied(), &Device::Cpu).unwrap().reshape(array.shape()).unwrap(),
        );
    }
    map
}

/// A map with one variable, `w`, of `f32`.
fn vector(entries: &[f32]) -> VarMap {
    vars_of(&[("w", &ndarray::arr1(entries).into_dyn())])
}

fn insert(map: &VarMap, name: &str, tensor: Tensor) {
    map.data().lock().unwrap().insert(name.to_owned(), Var::from_tensor(&tensor).unwrap());
}

fn var(map: &VarMap, name: &str) -> Var {
    map.data().lock().unwrap()[name].clone()
}

/// The bits of a variable of `f32`.
fn bits(map: &VarMap, name: &str) -> Vec<u32> {
    values(map, name).into_iter().map(f32::to_bits).collect()
}

fn values(map: &VarMap, name: &str) -> Vec<f32> {
    var(map, name).flatten_all().unwrap().to_vec1().unwrap()
}

/// The bits of any float as those of the `f64` of the same value.
fn bits_of<A: Float>(entries: impl IntoIterator<Item = A>) -> Vec<u64> {
    entries.into_iter().map(|x| WithDType::to_f64(x).to_bits()).collect()
}

/// Asserts that a variable holds these very bits.
fn assert_same_bits<A: Float>(map: &VarMap, name: &str, expected: &ArrayD<A>) {
    let var = var(map, name);
    assert_eq!(var.dims(), expected.shape());
    let entries: Vec<A> = var.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(bits_of(entries), bits_of(expected.iter().copied()), "{name}");
}

/// The variables and masks, to see that nothing has changed.
#[derive(Debug, PartialEq)]
struct State {
    vars: BTreeMap<String, String>,
    masks: Vec<(String, prune::Mask)>,
}

fn snapshot(map: &VarMap, pruned: &PrunedVars) -> State {
    let vars = map.data().lock().unwrap();
    State { vars: vars.iter().map(|(name, var)| (name.clone(), text(var))).collect(), masks: pruned.masks() }
}

/// The entries in a form that tells -0.0 and NaN apart from all others.
fn text(tensor: &Tensor) -> String {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { panic!("not on the CPU") };
    match storage {
        CpuStorage::U8(entries) => format!("{layout:?} {entries:?}"),
        CpuStorage::U32(entries) => format!("{layout:?} {entries:?}"),
        CpuStorage::BF16(entries) => format!("{layout:?} {entries:?}"),
        CpuStorage::F16(entries) => format!("{layout:?} {entries:?}"),
        CpuStorage::F32(entries) => format!("{layout:?} {entries:?}"),
        CpuStorage::F64(entries) => format!("{layout:?} {entries:?}"),
        _ => panic!("no test has {:?}", tensor.dtype()),
    }
}

/// Runs a generic test for each dtype that can be pruned.
macro_rules! for_each_float {
    ($test:ident) => {
        $test::<f32>();
        $test::<f64>();
        $test::<half::f16>();
        $test::<half::bf16>();
    };
}
pub(crate) use for_each_float;

/// The number of zeros of a variable of any dtype.
fn zeros(map: &VarMap, name: &str) -> usize {
    let entries: Vec<f64> = var(map, name).to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    entries.into_iter().filter(|x| *x == 0.0).count()
}
