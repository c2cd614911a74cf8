//! Escapes characters that a reader cannot see.
//!
//! Names in untrusted files may contain control characters and other invisible ones. Printed as they are, they could
//! change what the terminal shows.

use std::borrow::Cow;

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

/// Replaces invisible characters in the strings of a JSON document, which keeps its value.
///
/// JSON requires escapes only for some of the characters that a terminal interprets.
pub fn escape_invisible_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || is_visible(c) {
            escaped.push(c);
        } else {
            // Outside strings, the only invisible characters are the line feeds between values.
            escaped.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    escaped
}

fn is_visible(c: char) -> bool {
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

    #[test]
    fn json_keeps_its_value_without_invisible_characters() {
        let name = "a\u{1b}\u{7f}\u{9b}2J\u{202e}\u{e0001}\n\"\\é 重";
        let json = serde_json::to_string_pretty(&[name]).unwrap();
        let escaped = escape_invisible_json(&json);
        assert!(escaped.chars().all(|c| c == '\n' || is_visible(c)), "{escaped}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&escaped).unwrap(), [name]);
    }
}
