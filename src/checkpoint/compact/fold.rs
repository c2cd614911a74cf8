//! Folding the constants of pruned units into biases, for models with a preset.

use std::collections::HashMap;

use crate::checkpoint::compact::preset::{FoldWay, Preset};
use crate::checkpoint::compact::ranking::Ranking;
use crate::checkpoint::compact::structure::Model;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::read::blocks::to_file;
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::write::layout::CompactedTensor;
use crate::compact::{Plan, Role};
use crate::element::{Element, rounded};
use crate::file::dtype::with_dtype;

/// Replaces the biases of consumers by ones that hold the constants of the pruned units.
pub(crate) fn fold(
    model: &Model,
    plan: &Plan,
    ranking: &Ranking<'_, '_>,
    tensors: &mut [CompactedTensor],
) -> Result<(), CheckpointError> {
    let names: Vec<&str> = ranking.parameters.keys().copied().collect();
    for &layer in &model.layers {
        for way in &model.preset.folds {
            let name = |rest: &str| model.preset.in_layer(layer, rest, names.iter().copied());
            let find = |rest: &str| name(rest).and_then(|name| ranking.parameters.get(name.as_str()).copied());
            if let Some((into, bytes)) = fold_way(&model.preset, plan, ranking, layer, way, find)?
                && let Some(tensor) = tensors.iter_mut().find(|tensor| tensor.tensor == into)
            {
                tensor.bytes = Some(bytes);
            }
        }
    }
    Ok(())
}

/// The number of the tensor that receives constants, and its bytes; `None` if there are no constants.
fn fold_way<'r>(
    preset: &Preset,
    plan: &Plan,
    ranking: &Ranking<'_, '_>,
    layer: usize,
    way: &FoldWay,
    find: impl Fn(&str) -> Option<&'r ParameterEntry>,
) -> Result<Option<(usize, Vec<u8>)>, CheckpointError> {
    let dimension = way.part.dimension(layer);
    let (kept, units) = (plan.kept(&dimension), preset.units[&way.part]);
    // Without its biases, a unit whose producers are masked is zero.
    let biases: Option<Vec<_>> = way.biases.iter().map(|(name, _)| find(name)).collect();
    let (Some(biases), Some(consumer)) = (biases, find(way.consumer)) else { return Ok(None) };
    if kept.len() == units {
        return Ok(None);
    }
    let refused = |reason: String| Err(CheckpointError::Fold { dimension: dimension.clone(), reason });
    let Some(into) = find(way.into) else {
        return refused(format!("the model has no `{}` to receive constants", way.into));
    };
    if let Some(pruned) = biases.iter().chain([&consumer, &into]).find(|parameter| parameter.mask.is_some()) {
        return refused(format!("`{}` has a mask; make it permanent first", pruned.name));
    }
    let mut product: Vec<f64> = Vec::new();
    for (bias, (_, activation)) in biases.iter().zip(&way.biases) {
        let mut numbers = numbers(ranking, bias)?;
        let is_first = product.is_empty();
        match activation {
            Some(activation) => numbers.iter_mut().for_each(|x| *x = activation.apply(*x)),
            // The first bias of a feed-forward network always passes an activation.
            None if is_first && way.part == crate::checkpoint::compact::preset::Part::Ffn => {
                return refused("the activation is not known".into());
            }
            None => {}
        }
        product = if is_first { numbers } else { product.iter().zip(numbers).map(|(a, b)| a * b).collect() };
    }

    let places = &preset.lines[way.consumer].places;
    let Some(read) = places.iter().find(|place| place.role == Role::In) else { return Ok(None) };
    // The constant of each position of the consumer: zero for the kept units.
    let positions = units * read.block;
    let constant = |position: usize| {
        let unit = position / read.block;
        let source = if way.block == 1 { unit } else { unit * way.block + position % way.block };
        if kept.binary_search(&unit).is_ok() { 0.0 } else { product[source] }
    };
    let constants: Vec<f64> = (0..positions).map(constant).collect();

    let added = product_with(ranking, consumer, read.axis == 0, &constants)?;
    let sums: Vec<(f64, f64)> = numbers(ranking, into)?.into_iter().zip(added).collect();
    let bytes = with_dtype!(into.dtype, A: Element => encode::<A>(&sums), else => into.dtype.cannot_be_pruned());
    Ok(Some((into.weights, bytes)))
}

/// All numbers of a parameter.
fn numbers(ranking: &Ranking<'_, '_>, parameter: &ParameterEntry) -> Result<Vec<f64>, CheckpointError> {
    let mut numbers = Vec::with_capacity(parameter.entries);
    ranking.fold(parameter, |_, values| values.to_vec(), |values| numbers.extend(values))?;
    Ok(numbers)
}

/// The product of a matrix, read in pieces, with constants for the positions along one of its axes: a number for each output.
fn product_with(
    ranking: &Ranking<'_, '_>,
    matrix: &ParameterEntry,
    is_first_axis: bool,
    constants: &[f64],
) -> Result<Vec<f64>, CheckpointError> {
    let positions = constants.len();
    let outputs = matrix.entries / positions;
    let mut product = vec![0.0; outputs];
    let multiply = |offset: usize, values: &[f64]| {
        let mut sums: HashMap<usize, f64> = HashMap::new();
        for (entry, x) in values.iter().enumerate() {
            let entry = offset + entry;
            let (output, position) =
                if is_first_axis { (entry % outputs, entry / outputs) } else { (entry / positions, entry % positions) };
            if constants[position] != 0.0 {
                *sums.entry(output).or_default() += x * constants[position];
            }
        }
        sums
    };
    ranking.fold(matrix, multiply, |sums| sums.into_iter().for_each(|(output, sum)| product[output] += sum))?;
    Ok(product)
}

/// The bytes of a bias and what is added to it, both rounded to the element type as they would be in memory.
fn encode<A: Element>(sums: &[(f64, f64)]) -> Vec<u8> {
    let mut numbers: Vec<A> = sums.iter().map(|&(bias, delta)| rounded::<A>(bias) + rounded(delta)).collect();
    to_file(&mut numbers).to_vec()
}
