//! Sums over the inputs of the encoder's matrices.

use prune::PruneError;
use prune::calibration::{Moments, Statistics};

use crate::bert::{Bert, INPUTS, weight_name};

/// The statistics of the inputs that some sentences make.
pub fn statistics(model: &Bert, sentences: &[Vec<usize>]) -> Result<Statistics, PruneError> {
    let mut sums: Vec<(usize, &str, Moments)> = Vec::new();
    let mut result = Ok(());
    for batch in sentences.chunks(64) {
        model.hidden(batch, |layer, input, x| {
            let known = sums.iter().position(|(of, name, _)| (*of, *name) == (layer, input));
            let number = known.unwrap_or_else(|| {
                sums.push((layer, input, Moments::with_gram(x.ncols())));
                sums.len() - 1
            });
            result = result.clone().and(sums[number].2.push(x.view()));
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
