//! Prunes a sentence encoder, all-MiniLM-L6-v2, with and without data, and compares its embeddings with those of the dense model.
//!
//! ```console
//! $ scripts/minilm                                              # fetches the model into out/minilm
//! $ cargo run --release --all-features --example minilm -- out/minilm [SENTENCES.txt [METHOD..]]
//! ```
//!
//! The folder has `model.safetensors` and `vocab.txt`. The text has one English sentence a line, of ASCII characters; without one, it is
//! taken from the documentation of this crate. A third each is for the test, for the statistics, and for statistics of other data.

mod bert;
mod measure;
mod pruning;
mod text;
mod wordpiece;

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use bert::Bert;
use measure::{Quality, bar};
use pruning::{METHODS, PATTERNS};
use wordpiece::WordPiece;

/// The sentences of the model's published example, and the similarity of the first one to each of the others.
const PUBLISHED: [&str; 4] =
    ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"];
const SIMILARITIES: [f32; 3] = [0.695, 0.943, 0.257];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "out/minilm".to_owned()));
    let text = arguments.next().map(PathBuf::from);
    let methods: Vec<String> = arguments.collect();

    let file = folder.join("model.safetensors");
    if !file.exists() {
        return Err(format!("there is no `{}`; scripts/minilm fetches the model", file.display()).into());
    }
    let (model, _) = prune::safetensors::load_file::<f32>(file)?;
    let tokenizer = WordPiece::load(&folder.join("vocab.txt"))?;
    let dense = Bert { parameters: &model };
    let published = dense.encode(&PUBLISHED.map(|sentence| tokenizer.encode(sentence)));
    for (number, expected) in SIMILARITIES.into_iter().enumerate() {
        let found = published.row(0).dot(&published.row(number + 1));
        println!("`{}`, `{}`: {found:.3}, published {expected}", PUBLISHED[0], PUBLISHED[number + 1]);
        if (found - expected).abs() > 0.0006 {
            return Err("the forward pass is not that of the model".into());
        }
    }

    let sentences = text::sentences(text.as_deref())?;
    let encoded: Vec<Vec<usize>> = sentences.iter().map(|sentence| tokenizer.encode(sentence)).collect();
    let [test, sample, other] = text::split(&encoded);
    let tokens = |part: &[Vec<usize>]| part.iter().map(Vec::len).sum::<usize>();
    println!("test: {} sentences; statistics: {} tokens; other data: {}", test.len(), tokens(&sample), tokens(&other));
    let statistics = pruning::statistics(&dense, &sample)?;
    let other = pruning::statistics(&dense, &other)?;
    let expected = dense.encode(&test);

    println!(
        "\nmean cosine and Spearman correlation with the dense model (bars: see README), error of outputs on other data"
    );
    println!("{:<16} {:>7} {:>14} {:>14} {:>7} {:>8}", "method", "pattern", "found", "bar", "error", "seconds");
    for pattern in PATTERNS {
        for method in METHODS {
            if !methods.is_empty() && !methods.iter().any(|wanted| wanted == method) {
                continue;
            }
            let start = Instant::now();
            let (pruned, error) = pruning::prune(&model, method, pattern, &statistics, &other)?;
            let seconds = start.elapsed().as_secs_f64();
            let found = Quality::of(&Bert { parameters: &pruned }.encode(&test), &expected);
            let bar = bar(method, pattern).map(|bar| bar.to_string()).unwrap_or_default();
            println!("{method:<16} {pattern:>7} {:>14} {bar:>14} {error:>7.4} {seconds:>8.1}", found.to_string());
        }
    }
    Ok(())
}
