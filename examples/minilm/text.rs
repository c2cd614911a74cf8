//! Sentences: of a file, or of the documentation of this crate.

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

/// Sentences of six words or more, mostly letters, each once.
pub fn sentences(file: Option<&Path>) -> io::Result<Vec<String>> {
    let text = match file {
        Some(file) => fs::read_to_string(file)?.lines().map(str::to_owned).collect(),
        None => documentation()?,
    };
    let mut kept: Vec<String> = Vec::new();
    for sentence in text {
        let sentence = sentence.trim();
        let letters = sentence.bytes().filter(|byte| byte.is_ascii_alphabetic() || *byte == b' ').count();
        let is_prose = sentence.is_ascii() && letters * 20 >= sentence.len() * 17;
        if is_prose && (6..=60).contains(&sentence.split_whitespace().count()) {
            kept.push(sentence.to_owned());
        }
    }
    if kept.len() < 3 {
        return Err(io::Error::other("the text has fewer than three sentences of ASCII characters"));
    }
    Ok(shuffled(kept))
}

fn documentation() -> io::Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sentences = Vec::new();
    for name in DOCUMENTATION {
        let text = fs::read_to_string(root.join(name))?.replace('\n', " ");
        let plain = text.replace(['`', '*', '|', '#', '[', ']'], " ");
        sentences.extend(plain.split(". ").map(|sentence| format!("{}.", sentence.trim())));
    }
    Ok(sentences)
}

/// In an order that depends on nothing but the sentences.
fn shuffled(mut sentences: Vec<String>) -> Vec<String> {
    let hash = |text: &String| {
        text.bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    sentences.sort_by_key(|sentence| (hash(sentence), sentence.clone()));
    sentences.dedup();
    sentences
}

/// The sentences of the test, of the statistics and of other data.
pub fn split(sentences: &[Vec<usize>]) -> [Vec<Vec<usize>>; 3] {
    let all = sentences.len();
    let test = TEST.min(all / 3);
    let sample = SAMPLE.min((all - test) / 2);
    let part = |start: usize, len: usize| sentences[start..start + len].to_vec();
    [part(0, test), part(test, sample), part(test + sample, sample)]
}
