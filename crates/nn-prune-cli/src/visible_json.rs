//! JSON in which a reader can see every character.

use std::io::{self, Write};

use serde_json::ser::{Formatter, PrettyFormatter};

use crate::text::is_visible;

/// Indents values, and replaces invisible characters in strings by escapes, which keep the value.
///
/// JSON requires escapes only for some of the characters that a terminal interprets.
#[derive(Debug, Default)]
pub struct VisibleJson(PrettyFormatter<'static>);

impl Formatter for VisibleJson {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| !is_visible(c)) {
            out.write_all(&rest.as_bytes()[..at])?;
            c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))?;
            rest = &rest[at + c.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::Serializer;

    use super::*;

    #[test]
    fn json_keeps_its_value_without_invisible_characters() {
        let value = [
            ("a", vec!["a\u{1b}\u{7f}\u{9b}2J\u{202e}\u{e0001}\n\"\\é 重"]),
            ("b", vec![]),
            ("c\u{202e}", vec!["", "x"]),
        ];
        let value = std::collections::BTreeMap::from(value);
        let mut json = Vec::new();
        value.serialize(&mut Serializer::with_formatter(&mut json, VisibleJson::default())).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert!(json.chars().all(|c| c == '\n' || is_visible(c)), "{json}");
        let read: std::collections::BTreeMap<String, Vec<String>> = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&value).unwrap());
        // But for the escapes, it is what serde_json writes.
        let visible = serde_json::json!({"a": [1, {"b": []}], "c": {}});
        let mut json = Vec::new();
        visible.serialize(&mut Serializer::with_formatter(&mut json, VisibleJson::default())).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), serde_json::to_string_pretty(&visible).unwrap());
    }
}
