//! Escapes characters that a reader cannot see.
//!
//! Names in untrusted files may contain control characters and other invisible ones. Printed as they are, they could
//! change what the terminal shows.

use std::borrow::Cow;
use std::path::Path;

/// Replaces invisible characters of a name or a message by their escapes, such as `\u{1b}`.
pub fn escape_invisible(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_visible) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_visible(c) { escaped.push(c) } else { escaped.extend(c.escape_debug()) }
    }
    escaped.into()
}

/// The path of a file as a reader sees it.
pub fn visible_path(path: &Path) -> String {
    escape_invisible(&path.to_string_lossy()).into_owned()
}

/// Returns `true` if a reader can see the character.
pub fn is_visible(c: char) -> bool {
    matches!(c, '\'' | '"' | '\\') || c.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_control_the_terminal() {
        assert_eq!(escape_invisible("a.\"b\"\\'é 重み"), "a.\"b\"\\'é 重み");
        assert_eq!(escape_invisible("\u{1b}[2Ja\nb\u{202e}"), r"\u{1b}[2Ja\nb\u{202e}");
    }
}
