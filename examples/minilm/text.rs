//! Sentences: of a file, or of the documentation of this crate.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

/// The sentences that are taken, at most: the reference had so many.
const TEST: usize = 252;
const SAMPLE: usize = 384;

/// The documentation that is at hand.
const DOCUMENTATION: [&str; 9] = [
    "README.md",
    "DESIGN.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs/FILES.md",
    "docs/RELIABILITY.md",
    "docs/STATISTICS.md",
    "tests/golden/README.md",
];

/// Sentences of six words or more, mostly letters, each once: those of a file in its order, or those of the documentation.
pub fn sentences(file: Option<&Path>) -> io::Result<Vec<String>> {
    let text = match file {
        Some(file) => fs::read_to_string(file)?.lines().map(|line| line.trim().to_owned()).collect(),
        None => documentation()?,
    };
    let mut seen = HashSet::new();
    let kept: Vec<String> =
        text.into_iter().filter(|sentence| is_prose(sentence) && seen.insert(sentence.clone())).collect();
    if kept.len() < 3 {
        return Err(io::Error::other("the text has fewer than three sentences of ASCII characters"));
    }
    Ok(kept)
}

fn is_prose(sentence: &str) -> bool {
    let letters = sentence.bytes().filter(|byte| byte.is_ascii_alphabetic() || *byte == b' ').count();
    let words = sentence.split_whitespace().count();
    sentence.is_ascii() && letters * 20 >= sentence.len() * 17 && (6..=60).contains(&words)
}

/// The sentences of the documentation, in an order that depends on nothing but them.
fn documentation() -> io::Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sentences = Vec::new();
    for name in DOCUMENTATION {
        let text = fs::read_to_string(root.join(name))?.replace('\n', " ");
        let plain = text.replace(['`', '*', '|', '#', '[', ']'], " ");
        sentences.extend(plain.split(". ").map(|sentence| format!("{}.", sentence.trim())));
    }
    let hash = |text: &String| {
        text.bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    sentences.sort_by_key(|sentence| (hash(sentence), sentence.clone()));
    Ok(sentences)
}

/// The sentences of the test, of the statistics and of other data, in this order.
pub fn split(sentences: &[Vec<usize>]) -> [Vec<Vec<usize>>; 3] {
    let all = sentences.len();
    let test = TEST.min(all / 3);
    let sample = SAMPLE.min((all - test) / 2);
    let part = |start: usize, len: usize| sentences[start..start + len].to_vec();
    [part(0, test), part(test, sample), part(test + sample, sample)]
}
