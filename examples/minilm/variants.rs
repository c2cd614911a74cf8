//! Models that only answer, and what their answers cost.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ndarray::Array2;
use prune::ParameterStore;
use prune::calibration::Statistics;
use prune::safetensors::{load_packed, save_packed};
use prune::sparse::Form;

use crate::bert::Bert;
use crate::compacting::compact;
use crate::linear::Product;
use crate::measure::Quality;
use crate::pruning::prune;

/// The rounds in which all variants encode the same sentences, one variant after the other. The median counts.
const ROUNDS: usize = 7;
/// The sentences of a round are every so-manieth of the test.
const STEP: usize = 4;
/// The method of the pruned variants.
const METHOD: &str = "wanda-swaps+ls";

/// A model as a program would run it: from a file, without data that only pruning needs.
struct Variant {
    name: String,
    model: Bert,
    file_bytes: u64,
    times: Vec<Duration>,
}

impl Variant {
    /// Writes the model to a file, and loads it from there.
    fn new(
        name: impl Into<String>,
        parameters: &ParameterStore<f32>,
        product: impl Fn(usize) -> Product,
        file: &Path,
    ) -> Result<Self, Box<dyn Error>> {
        save_packed(parameters, file)?;
        let (tensors, _) = load_packed(file)?;
        let file_bytes = fs::metadata(file)?.len();
        Ok(Self { name: name.into(), model: Bert::new(tensors, product), file_bytes, times: Vec::new() })
    }

    fn median(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    }
}

/// Prints a line for each variant. Pruned ones have three: with the fastest form, with the smallest one, and with these in turns, layer by
/// layer. The columns are similarity to the dense model, bytes, and the time for a sentence, one at a time.
pub fn table(
    model: &ParameterStore<f32>,
    statistics: &Statistics,
    test: &[Vec<usize>],
    expected: &Array2<f32>,
) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("model.safetensors");
    let tokens = test.iter().map(Vec::len).sum::<usize>();
    let rows = tokens / test.len();
    let mut variants = vec![
        Variant::new("dense, ndarray", model, |_| Product::Dense, &file)?,
        Variant::new("dense, prepared", model, |_| Product::Form(Form::Dense), &file)?,
    ];
    for share in ["0.5", "0.7"] {
        let pruned = prune(model, METHOD, share, statistics)?;
        let (rows, bits) = (Product::Prepared(rows), Product::Form(Form::Bitmask));
        let both = |layer: usize| if layer.is_multiple_of(2) { rows } else { bits };
        variants.push(Variant::new(format!("pruned {share}, prepared"), &pruned, |_| rows, &file)?);
        variants.push(Variant::new(format!("pruned {share}, bit mask"), &pruned, |_| bits, &file)?);
        variants.push(Variant::new(format!("pruned {share}, in turns"), &pruned, both, &file)?);
    }
    for share in [0.25, 0.5] {
        let compacted = compact(model, share, statistics)?;
        variants.push(Variant::new(format!("neurons removed {share}"), &compacted, |_| Product::Dense, &file)?);
    }

    let sentences: Vec<Vec<usize>> = test.iter().step_by(STEP).cloned().collect();
    for _ in 0..ROUNDS {
        for variant in &mut variants {
            let start = Instant::now();
            std::hint::black_box(variant.model.encode(&sentences, 1));
            variant.times.push(start.elapsed() / sentences.len() as u32);
        }
    }

    let (encoder, whole) = (variants[0].model.encoder_bytes() as f64, variants[0].file_bytes as f64);
    let fastest_dense = variants[..2].iter().map(Variant::median).fold(f64::INFINITY, f64::min);
    println!("\n{rows} tokens a sentence, one sentence at a time; pruned by {METHOD}");
    println!(
        "{:<22} {:>15} {:>17} {:>17} {:>9} {:>9}",
        "", "cosine/Spearman", "encoder, MB", "file, MB", "ms", "as fast"
    );
    for variant in &variants {
        let quality = Quality::of(&variant.model.encode(test, 1), expected);
        let bytes = |bytes: f64, of: f64| format!("{:.1} ({:.3})", bytes / 1e6, bytes / of);
        let (encoder, file) =
            (bytes(variant.model.encoder_bytes() as f64, encoder), bytes(variant.file_bytes as f64, whole));
        let time = variant.median();
        println!(
            "{:<22} {:>15} {encoder:>17} {file:>17} {:>9.2} {:>9.2}",
            variant.name,
            quality.to_string(),
            1e3 * time,
            fastest_dense / time
        );
    }
    Ok(())
}
