//! Removing inner neurons of the feed-forward layers, those that do least on the data.

use std::error::Error;

use ndarray::{Axis, Ix2};
use prune::ParameterStore;
use prune::calibration::Statistics;
use prune::compact::{Choice, Coupling, Scores, Use};

use crate::bert::LAYERS;

/// The model without this share of the inner neurons of every layer.
///
/// The score of a neuron is the root mean square of its output times the norm of the weights that read it.
pub fn compact(
    model: &ParameterStore<f32>,
    share: f64,
    statistics: &Statistics,
) -> Result<ParameterStore<f32>, Box<dyn Error>> {
    let mut coupling = ["embeddings.*", "pooler.*", "*.attention.*", "*.output.LayerNorm.*", "*.output.dense.bias"]
        .into_iter()
        .fold(Coupling::new(), Coupling::fixed);
    let mut scores = Scores::new();
    for layer in 0..LAYERS {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        let readers = name("output.dense.weight");
        coupling = coupling.dimension(
            name("ffn"),
            [
                Use::out(name("intermediate.dense.weight"), 0),
                Use::follow(name("intermediate.dense.bias"), 0),
                Use::input(readers.as_str(), 1),
            ],
        );
        let moments = statistics.moments(&readers)?.ok_or("a matrix without statistics")?;
        let weights = model[readers.as_str()].view::<Ix2>();
        let norms = weights.map_axis(Axis(0), |column| f64::from(column.dot(&column)).sqrt());
        scores.insert(name("ffn"), (moments.root_mean_squares() * norms).to_vec());
    }
    let mut compacted = model.clone();
    coupling.choose_by(model, &scores, &Choice::new(share))?.compact(&mut compacted)?;
    Ok(compacted)
}
