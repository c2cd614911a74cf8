//! Prunes a sentence encoder, all-MiniLM-L6-v2, with and without data, and compares its embeddings with those of the dense model.
//!
//! ```console
//! $ scripts/minilm && scripts/minilm-text                       # fetch the model into out/minilm, text into out/text
//! $ cargo run --release --features safetensors --example minilm -- out/minilm [SENTENCES.txt [variants | METHOD..]]
//! ```
//!
//! The folder has `model.safetensors` and `vocab.txt`. The text has one English sentence a line, of ASCII characters: the first 252 are
//! the test, the next 384 make the statistics, and 384 more are other data. Without a text, the documentation of this crate is taken.
//!
//! Two tables are printed: the cost of the model, dense, pruned with packed weights, and without some of its neurons; and the quality
//! that every method leaves. `variants` is the first alone, names of methods are a part of the second.

mod bars;
mod bert;
mod compacting;
mod elementwise;
mod linear;
mod measure;
mod pruning;
mod statistics;
mod text;
mod variants;
mod wordpiece;

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use bert::Bert;
use measure::Quality;
use ndarray::Array2;
use prune::ParameterStore;
use prune::calibration::Statistics;
use pruning::{METHODS, PATTERNS};
use wordpiece::WordPiece;

/// The sentences of the model's published example, and the similarity of the first one to each of the others.
const PUBLISHED: [&str; 4] =
    ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"];
const SIMILARITIES: [f32; 3] = [0.695, 0.943, 0.257];
/// The sentences that are encoded at once where time does not matter.
const AT_ONCE: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "out/minilm".to_owned()));
    let text = arguments.next().map(PathBuf::from);
    let wanted: Vec<String> = arguments.collect();

    let file = folder.join("model.safetensors");
    if !file.exists() {
        return Err(format!("there is no `{}`; scripts/minilm fetches the model", file.display()).into());
    }
    let (model, _) = prune::safetensors::load_file::<f32>(file)?;
    let tokenizer = WordPiece::load(&folder.join("vocab.txt"))?;
    let dense = Bert::dense(&model);
    check(&dense, &tokenizer)?;

    let sentences = text::sentences(text.as_deref())?;
    let encoded: Vec<Vec<usize>> = sentences.iter().map(|sentence| tokenizer.encode(sentence)).collect();
    let [test, sample, other] = text::split(&encoded);
    let tokens = |part: &[Vec<usize>]| part.iter().map(Vec::len).sum::<usize>();
    println!(
        "test: {} sentences, {} tokens; statistics: {} tokens; other data: {} tokens",
        test.len(),
        tokens(&test),
        tokens(&sample),
        tokens(&other)
    );
    let data = [statistics::statistics(&dense, &sample)?, statistics::statistics(&dense, &other)?];
    let expected = dense.encode(&test, AT_ONCE);
    let only_variants = wanted == ["variants"];
    if wanted.is_empty() || only_variants {
        variants::table(&model, &data[0], &test, &expected)?;
    }
    if !only_variants {
        methods(&model, &wanted, &data, &test, &expected)?;
    }
    Ok(())
}

/// Fails unless the similarities are the published ones.
fn check(model: &Bert, tokenizer: &WordPiece) -> Result<(), Box<dyn Error>> {
    let published = model.encode(&PUBLISHED.map(|sentence| tokenizer.encode(sentence)), AT_ONCE);
    for (number, expected) in SIMILARITIES.into_iter().enumerate() {
        let found = published.row(0).dot(&published.row(number + 1));
        println!("`{}`, `{}`: {found:.3}, published {expected}", PUBLISHED[0], PUBLISHED[number + 1]);
        if (found - expected).abs() > 0.0006 {
            return Err("the forward pass is not that of the model".into());
        }
    }
    Ok(())
}

/// Prints a line for each pattern and method, with data to prune by and other data.
fn methods(
    model: &ParameterStore<f32>,
    wanted: &[String],
    [sample, other]: &[Statistics; 2],
    test: &[Vec<usize>],
    expected: &Array2<f32>,
) -> Result<(), Box<dyn Error>> {
    println!("\nmean cosine / Spearman correlation with the dense model, bars of the reference, error on other data");
    println!("{:<16} {:>7} {:>14} {:>14} {:>7} {:>8}", "method", "pattern", "found", "bar", "error", "seconds");
    for pattern in PATTERNS {
        for method in METHODS {
            let is_wanted = wanted.is_empty() || wanted.iter().any(|wanted| wanted == method);
            if !is_wanted || (method, pattern) == ("magnitude-global", "2:4") {
                continue;
            }
            let start = Instant::now();
            let pruned = pruning::prune(model, method, pattern, sample)?;
            let seconds = start.elapsed().as_secs_f64();
            let error = pruning::error(model, &pruned, other)?;
            let found = Quality::of(&Bert::dense(&pruned).encode(test, AT_ONCE), expected);
            let bar = bars::bar(method, pattern);
            let missed = bar.is_some_and(|bar| !bars::is_reached(&found, &bar));
            println!(
                "{method:<16} {pattern:>7} {:>14} {:>14} {error:>7.4} {seconds:>8.1}{}",
                found.to_string(),
                bar.map(|bar| bar.to_string()).unwrap_or_default(),
                if missed { "  below the bar" } else { "" }
            );
        }
    }
    Ok(())
}
