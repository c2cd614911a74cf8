//! Text from files, without the control characters that could deceive a terminal.

use std::error::Error;
use std::fmt;
use std::path::Path;

/// The message of a parser, which may quote an untrusted file, as an error without control characters.
pub(crate) fn escaped(error: impl Error) -> Box<dyn Error + Send + Sync> {
    Escaped(&error.to_string()).to_string().into()
}

/// A name in backticks, with its control characters escaped.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", Escaped(self.0))
    }
}

/// A path in backticks, with its control characters escaped.
pub(crate) struct QuotedPath<'a>(pub(crate) &'a Path);

impl fmt::Display for QuotedPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quoted(&self.0.to_string_lossy()).fmt(f)
    }
}

/// A text with its control characters escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_control_characters_are_escaped() {
        assert_eq!(Quoted("\u{1b}[2J\n\u{9b}").to_string(), r"`\u{1b}[2J\n\u{9b}`");
        assert_eq!(Quoted(r#"ம "x" \ '"#).to_string(), r#"`ம "x" \ '`"#);
        assert_eq!(QuotedPath(Path::new("a/\tb")).to_string(), r"`a/\tb`");
    }
}
