//! The parameters of a module that a call is about.

use globset::{GlobBuilder, GlobMatcher};

use crate::error::Error;

/// The parameters that a call is about: paths, or globs that match whole paths.
///
/// A path is that of burn, such as `encoder.0.weight`. In a pattern, `?` is any character, `*` any number of characters, dots
/// included, `[ab]` one of several characters and `{a,b}` one of several patterns: the patterns of `nn-prune` on files. Every
/// function of this crate takes a string or a list of strings in its place.
///
/// ```
/// use prune_burn::Paths;
///
/// let one: Paths = "encoder.0.weight".into();
/// let several = Paths::from(["encoder.*.weight", "decoder.*.weight"]).exclude("*.norm.*");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    patterns: Vec<String>,
    excluded: Vec<String>,
}

impl Paths {
    /// Adds a pattern for parameters to leave out. It need not match any.
    pub fn exclude(mut self, pattern: impl Into<String>) -> Self {
        self.excluded.push(pattern.into());
        self
    }

    /// Makes the patterns ready to match.
    pub(crate) fn compile(self) -> Result<Matcher, Error> {
        let compile = |patterns: Vec<String>| patterns.into_iter().map(Pattern::new).collect::<Result<Vec<_>, _>>();
        Ok(Matcher { patterns: compile(self.patterns)?, excluded: compile(self.excluded)? })
    }
}

impl From<&str> for Paths {
    fn from(pattern: &str) -> Self {
        [pattern].into()
    }
}

impl From<String> for Paths {
    fn from(pattern: String) -> Self {
        [pattern].into()
    }
}

impl<S: Into<String>> From<Vec<S>> for Paths {
    fn from(patterns: Vec<S>) -> Self {
        Self { patterns: patterns.into_iter().map(Into::into).collect(), excluded: Vec::new() }
    }
}

impl<S: Into<String>, const N: usize> From<[S; N]> for Paths {
    fn from(patterns: [S; N]) -> Self {
        Vec::from(patterns).into()
    }
}

impl<S: AsRef<str>> From<&[S]> for Paths {
    fn from(patterns: &[S]) -> Self {
        patterns.iter().map(AsRef::as_ref).collect::<Vec<&str>>().into()
    }
}

/// A pattern, ready to match.
struct Pattern {
    text: String,
    glob: GlobMatcher,
}

impl Pattern {
    fn new(text: String) -> Result<Self, Error> {
        match GlobBuilder::new(&text).build() {
            Ok(glob) => Ok(Self { text, glob: glob.compile_matcher() }),
            Err(error) => Err(Error::InvalidPattern { pattern: text, source: error.into() }),
        }
    }

    fn matches(&self, path: &str) -> bool {
        self.glob.is_match(path)
    }
}

/// Paths, ready to match.
pub(crate) struct Matcher {
    patterns: Vec<Pattern>,
    excluded: Vec<Pattern>,
}

impl Matcher {
    /// Rejects a pattern that matches none of the paths of a module, and patterns that select none of them.
    pub fn check(&self, paths: &[&str]) -> Result<(), Error> {
        let known = || paths.iter().map(|&path| path.to_owned()).collect();
        if let Some(pattern) = self.unmatched(paths) {
            return Err(Error::UnmatchedPattern { pattern: pattern.to_owned(), known: known() });
        }
        if !paths.iter().any(|path| self.selects(path)) {
            return Err(Error::NothingSelected { known: known() });
        }
        Ok(())
    }

    /// The first pattern that matches none of the paths.
    pub fn unmatched(&self, paths: &[&str]) -> Option<&str> {
        let matches = |pattern: &Pattern| paths.iter().any(|path| pattern.matches(path));
        self.patterns.iter().find(|pattern| !matches(pattern)).map(|pattern| pattern.text.as_str())
    }

    pub fn selects(&self, path: &str) -> bool {
        let matches = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(path));
        matches(&self.patterns) && !matches(&self.excluded)
    }

    /// `true` if a path is selected by its own name, not by a pattern: it has no character that means anything in one.
    pub fn names(&self, path: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.text == path)
    }
}
