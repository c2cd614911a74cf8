//! The tokenizer of BERT, without case: words, then pieces of a vocabulary.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

/// Longer texts are cut.
const MAX_TOKENS: usize = 128;
const UNKNOWN: usize = 100;
const BEGIN: usize = 101;
const END: usize = 102;

pub struct WordPiece {
    vocabulary: HashMap<String, usize>,
}

impl WordPiece {
    /// Reads a vocabulary, one piece a line.
    pub fn load(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        Ok(Self { vocabulary: text.lines().enumerate().map(|(id, piece)| (piece.to_owned(), id)).collect() })
    }

    /// The pieces of a text of ASCII characters, between the markers of its beginning and end.
    pub fn encode(&self, text: &str) -> Vec<usize> {
        let mut ids = vec![BEGIN];
        for word in words(text) {
            ids.extend(self.pieces(&word).unwrap_or_else(|| vec![UNKNOWN]));
        }
        ids.truncate(MAX_TOKENS - 1);
        ids.push(END);
        ids
    }

    /// The longest pieces of the vocabulary that a word consists of, from left to right.
    fn pieces(&self, word: &str) -> Option<Vec<usize>> {
        if word.len() > 100 {
            return None;
        }
        let (mut ids, mut start) = (Vec::new(), 0);
        while start < word.len() {
            let prefix = if start == 0 { "" } else { "##" };
            let longest = (start + 1..=word.len()).rev().find_map(|end| {
                let id = self.vocabulary.get(&format!("{prefix}{}", word.get(start..end)?))?;
                Some((*id, end))
            });
            let (id, end) = longest?;
            ids.push(id);
            start = end;
        }
        Some(ids)
    }
}

/// Runs of letters and digits in lower case, and punctuation marks one by one.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for letter in text.to_lowercase().chars() {
        if letter.is_alphanumeric() {
            word.push(letter);
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if !letter.is_whitespace() && !letter.is_control() {
            words.push(letter.to_string());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
