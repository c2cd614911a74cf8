//! The methods that are compared.

use std::sync::Arc;

use prune::calibration::{Admm, LeastSquares, Moments, Pattern, SparseGpt, Statistics, Swaps, Wanda};
use prune::{L1Unstructured, NM, Parameter, ParameterStore, PruneError};

use crate::bert::{Bert, INPUTS, LAYERS, weight_name};

pub const METHODS: [&str; 7] = ["l1", "wanda", "sparsegpt", "wanda+swaps", "sparsegpt+ls", "admm", "wanda+swaps+ls"];
pub const PATTERNS: [&str; 4] = ["0.5", "0.6", "0.7", "2:4"];

/// Sums over the inputs of all matrices of the encoder.
pub fn statistics(model: &Bert<'_>, sentences: &[Vec<usize>]) -> Result<Statistics, PruneError> {
    let mut sums: Vec<(usize, &str, Moments)> = Vec::new();
    let mut result = Ok(());
    for batch in sentences.chunks(64) {
        model.hidden(batch, |layer, input, x| {
            if !sums.iter().any(|(of, name, _)| (*of, *name) == (layer, input)) {
                let name = INPUTS.iter().find(|(name, _)| *name == input).map_or("", |(name, _)| name);
                sums.push((layer, name, Moments::with_gram(x.ncols())));
            }
            for (_, _, moments) in sums.iter_mut().filter(|(of, name, _)| (*of, *name) == (layer, input)) {
                result = result.clone().and(moments.push(x.view()));
            }
        });
    }
    result?;
    let mut statistics = Statistics::new();
    for (layer, input, moments) in sums {
        let parts = INPUTS.iter().find(|(name, _)| *name == input).map_or(&[][..], |(_, parts)| parts);
        let weights: Vec<String> = parts.iter().map(|part| weight_name(layer, part)).collect();
        let weights: Vec<&str> = weights.iter().map(String::as_str).collect();
        statistics.input(&format!("encoder.layer.{layer}.{input}"), &weights, moments);
    }
    Ok(statistics)
}

/// The model with all matrices of its encoder pruned, and the mean error of their outputs on other data.
pub fn prune(
    model: &ParameterStore<f32>,
    method: &str,
    pattern: &str,
    statistics: &Statistics,
    other: &Statistics,
) -> Result<(ParameterStore<f32>, f64), Box<dyn std::error::Error>> {
    let mut pruned = model.clone();
    let mut errors = Vec::new();
    for layer in 0..LAYERS {
        for part in INPUTS.iter().flat_map(|(_, parts)| *parts) {
            let name = weight_name(layer, part);
            let moments = Arc::new(statistics.moments(&name)?.ok_or("a matrix without statistics")?);
            let weight = &mut pruned[name.as_str()];
            prune_one(weight, method, pattern, moments)?;
            let other = other.moments(&name)?.ok_or("a matrix without statistics")?;
            let (dense, sparse) = (model[name.as_str()].value().view(), weight.value().view());
            errors.push(prune::calibration::reconstruction_error(dense, sparse, &other)?);
        }
    }
    Ok((pruned, errors.iter().sum::<f64>() / errors.len() as f64))
}

fn prune_one(
    weight: &mut Parameter<f32>,
    method: &str,
    pattern: &str,
    moments: Arc<Moments>,
) -> Result<(), PruneError> {
    let groups = pattern.split_once(':').and_then(|(n, m)| Some((n.parse().ok()?, m.parse().ok()?)));
    let share = pattern.parse::<f64>().unwrap_or(0.5);
    let pattern = match groups {
        Some((keep, of)) => Pattern::KeepOf { keep, of },
        None => share.into(),
    };
    let wanda = || Wanda::new(pattern, moments.clone());
    let swaps = || {
        let swaps = Swaps::new(wanda()?, moments.clone());
        Ok::<_, PruneError>(groups.map_or(swaps.clone(), |(_, of)| swaps.within(of)))
    };
    let sparse_gpt = || SparseGpt::new(pattern, moments.clone());
    match (method, groups) {
        ("l1", Some((n, m))) => weight.prune(NM::new(n, m, -1)?),
        ("l1", None) => weight.prune(L1Unstructured::new(share)?),
        ("wanda", _) => weight.prune(wanda()?),
        ("wanda+swaps", _) => weight.prune(swaps()?),
        ("sparsegpt", _) => weight.reconstruct(sparse_gpt()?).map(drop),
        ("sparsegpt+ls", _) => weight.reconstruct(LeastSquares::after(sparse_gpt()?, moments.clone())).map(drop),
        ("admm", _) => weight.reconstruct(Admm::new(pattern, moments.clone())?).map(drop),
        ("wanda+swaps+ls", _) => weight.reconstruct(LeastSquares::after(swaps()?, moments.clone())).map(drop),
        (other, _) => Err(PruneError::method(other, "no such method")),
    }
}
