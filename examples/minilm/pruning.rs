//! The methods that are compared.

use std::error::Error;
use std::sync::Arc;

use prune::calibration::{
    Admm, LeastSquares, Moments, Pattern, Ria, SparseGpt, Statistics, Swaps, Wanda, reconstruction_error,
};
use prune::{L1Unstructured, NM, Parameter, ParameterStore, PruneError, Target};

use crate::bert::weight_names;

/// The methods, by their names in the reference: a mask, greedy swaps of it, and least squares under it.
pub const METHODS: [&str; 10] = [
    "magnitude-layer",
    "magnitude-global",
    "wanda",
    "ria",
    "sparsegpt",
    "wanda-swaps",
    "wanda+ls",
    "sparsegpt+ls",
    "admm",
    "wanda-swaps+ls",
];
/// The share that is pruned, or what is kept of each group.
pub const PATTERNS: [&str; 4] = ["0.5", "0.6", "0.7", "2:4"];

/// The model with all matrices of its encoder pruned.
pub fn prune(
    model: &ParameterStore<f32>,
    method: &str,
    pattern: &str,
    statistics: &Statistics,
) -> Result<ParameterStore<f32>, Box<dyn Error>> {
    let mut pruned = model.clone();
    if method == "magnitude-global" {
        let names: Vec<String> = weight_names().collect();
        let matrices = pruned.iter_mut().filter(|(name, _)| names.iter().any(|wanted| wanted == name));
        let targets: Vec<Target<'_, f32>> = matrices.map(|(_, weight)| Target::from(weight)).collect();
        prune::global_unstructured(targets, L1Unstructured::new(pattern.parse::<f64>()?)?)?;
        return Ok(pruned);
    }
    for name in weight_names() {
        let moments = Arc::new(statistics.moments(&name)?.ok_or("a matrix without statistics")?);
        prune_one(&mut pruned[name.as_str()], method, pattern, moments)?;
    }
    Ok(pruned)
}

fn prune_one(
    weight: &mut Parameter<f32>,
    method: &str,
    pattern: &str,
    moments: Arc<Moments>,
) -> Result<(), PruneError> {
    let pattern: Pattern = match pattern.parse::<f64>() {
        Ok(share) => share.into(),
        Err(_) => pattern.parse()?,
    };
    let wanda = || Wanda::new(pattern, moments.clone());
    let swaps = || {
        let swaps = Swaps::new(wanda()?, moments.clone());
        Ok::<_, PruneError>(if let Pattern::KeepOf { of, .. } = pattern { swaps.within(of) } else { swaps })
    };
    let sparse_gpt = || SparseGpt::new(pattern, moments.clone());
    match (method, pattern) {
        ("magnitude-layer", Pattern::KeepOf { keep, of }) => weight.prune(NM::new(keep, of, -1)?),
        ("magnitude-layer", Pattern::Amount(amount)) => weight.prune(L1Unstructured::new(amount)?),
        ("wanda", _) => weight.prune(wanda()?),
        ("ria", _) => weight.prune(Ria::new(pattern, moments.clone())?),
        ("wanda-swaps", _) => weight.prune(swaps()?),
        ("wanda+ls", _) => weight.reconstruct(LeastSquares::after(wanda()?, moments.clone())).map(drop),
        ("wanda-swaps+ls", _) => weight.reconstruct(LeastSquares::after(swaps()?, moments.clone())).map(drop),
        ("sparsegpt", _) => weight.reconstruct(sparse_gpt()?).map(drop),
        ("sparsegpt+ls", _) => weight.reconstruct(LeastSquares::after(sparse_gpt()?, moments.clone())).map(drop),
        ("admm", _) => weight.reconstruct(Admm::new(pattern, moments.clone())?).map(drop),
        (other, _) => Err(PruneError::method(other, "no such method")),
    }
}

/// The mean over all matrices of the relative error of their outputs on some data.
pub fn error(
    dense: &ParameterStore<f32>,
    pruned: &ParameterStore<f32>,
    data: &Statistics,
) -> Result<f64, Box<dyn Error>> {
    let mut errors = Vec::new();
    for name in weight_names() {
        let moments = data.moments(&name)?.ok_or("a matrix without statistics")?;
        let [dense, pruned] = [dense, pruned].map(|model| model[name.as_str()].value().view());
        errors.push(reconstruction_error(dense, pruned, &moments)?);
    }
    Ok(errors.iter().sum::<f64>() / errors.len() as f64)
}
