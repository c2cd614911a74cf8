//! Patterns of tensor names.

use globset::{GlobBuilder, GlobMatcher};

use crate::checkpoint::error::CheckpointError;

/// A glob that matches whole names.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub text: String,
    matcher: GlobMatcher,
}

impl Pattern {
    pub fn new(text: &str) -> Result<Self, CheckpointError> {
        match GlobBuilder::new(text).build() {
            Ok(glob) => Ok(Self { text: text.to_owned(), matcher: glob.compile_matcher() }),
            Err(error) => Err(CheckpointError::InvalidPattern { pattern: text.to_owned(), source: error.into() }),
        }
    }

    pub fn all(texts: &[String]) -> Result<Vec<Self>, CheckpointError> {
        texts.iter().map(|text| Self::new(text)).collect()
    }

    pub fn matches(&self, name: &str) -> bool {
        self.matcher.is_match(name)
    }
}
