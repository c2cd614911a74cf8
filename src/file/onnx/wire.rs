//! The fields of protobuf messages in a file, found without reading what lies between them.
//!
//! A model may be larger than memory, nearly all of it data of tensors. Fields are therefore walked by positional reads of a
//! small window, and whatever is not asked for is skipped by its length.

use std::fs::File;

use crate::file::onnx::error::{Failure, OnnxError};
use crate::file::positional::read_at;

/// The bytes that are read at a time.
const WINDOW: usize = 8 << 10;
/// The bytes of the longest number.
const LONGEST: u32 = 10;
/// The bytes of the longest text that is read: a name, or an operator.
const LONGEST_TEXT: u64 = 1 << 20;

/// A part of a file in memory.
pub(super) struct Window<'f> {
    file: &'f File,
    bytes: Vec<u8>,
    start: u64,
}

/// A range of the file: a message whose fields are still to be read, or text, or data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start: u64,
    pub end: u64,
}

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub number: u64,
    pub value: Value,
}

/// The value of a field, by its wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    Bits32,
    Bits64,
    /// A message, text, bytes, or numbers one after the other.
    Span(Span),
}

impl<'f> Window<'f> {
    pub fn new(file: &'f File) -> Self {
        Self { file, bytes: Vec::new(), start: 0 }
    }

    /// Returns the byte at an offset. What follows it up to `end`, the end of the file or of something in it, is read with it.
    fn byte(&mut self, at: u64, end: u64) -> Result<u8, Failure> {
        let inside = at.checked_sub(self.start).and_then(|index| self.bytes.get(usize::try_from(index).ok()?));
        if let Some(&byte) = inside {
            return Ok(byte);
        }
        let len = usize::try_from(end - at).unwrap_or(WINDOW).min(WINDOW);
        self.bytes.resize(len, 0);
        self.start = at;
        if let Err(error) = read_at(self.file, &mut self.bytes, at) {
            self.bytes.clear();
            return Err(error.into());
        }
        Ok(self.bytes[0])
    }

    /// Reads a number, which begins at `span.start`, and moves the start behind it.
    fn number(&mut self, span: &mut Span) -> Result<u64, Failure> {
        let offset = span.start;
        let mut number = 0;
        for place in 0..LONGEST {
            if span.start == span.end {
                return Err(OnnxError::Truncated { offset }.into());
            }
            let byte = self.byte(span.start, span.end)?;
            span.start += 1;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if place == LONGEST - 1 && byte > 1 {
                break;
            }
            number |= bits << (7 * place);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(OnnxError::Varint { offset }.into())
    }

    /// Reads the next field of a message, and moves its start behind it. Returns `None` at the end.
    pub fn field(&mut self, message: &mut Span) -> Result<Option<Field>, Failure> {
        let offset = message.start;
        if message.is_empty() {
            return Ok(None);
        }
        let key = self.number(message)?;
        let number = key >> 3;
        if number == 0 {
            return Err(OnnxError::Key { offset, key }.into());
        }
        let value = match key & 7 {
            0 => Value::Number(self.number(message)?),
            1 => message.take(8, offset).map(|_| Value::Bits64)?,
            2 => {
                let len = self.number(message)?;
                Value::Span(message.take(len, offset)?)
            }
            5 => message.take(4, offset).map(|_| Value::Bits32)?,
            // Groups, which protobuf has given up, and what it never had.
            _ => return Err(OnnxError::Key { offset, key }.into()),
        };
        Ok(Some(Field { number, value }))
    }

    /// Reads numbers one after the other, at most `limit`. Returns `None` if there are more.
    pub fn numbers(&mut self, mut span: Span, limit: usize) -> Result<Option<Vec<u64>>, Failure> {
        let mut numbers = Vec::new();
        while !span.is_empty() {
            if numbers.len() == limit {
                return Ok(None);
            }
            numbers.push(self.number(&mut span)?);
        }
        Ok(Some(numbers))
    }

    /// Reads text.
    pub fn text(&mut self, span: Span) -> Result<String, Failure> {
        if span.len() > LONGEST_TEXT {
            return Err(OnnxError::TextLength { offset: span.start, limit: LONGEST_TEXT, found: span.len() }.into());
        }
        let mut bytes = vec![0; span.len() as usize];
        let inside = span.start.checked_sub(self.start).and_then(|index| {
            let index = usize::try_from(index).ok()?;
            self.bytes.get(index..index.checked_add(bytes.len())?)
        });
        match inside {
            Some(inside) => bytes.copy_from_slice(inside),
            None => read_at(self.file, &mut bytes, span.start)?,
        }
        String::from_utf8(bytes).map_err(|_| OnnxError::Text { offset: span.start }.into())
    }
}

impl Span {
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub fn len(self) -> u64 {
        self.end - self.start
    }

    /// Takes `len` bytes from the beginning, for the field at `offset`.
    fn take(&mut self, len: u64, offset: u64) -> Result<Self, OnnxError> {
        let end = self.start.checked_add(len).filter(|&end| end <= self.end);
        let end = end.ok_or(OnnxError::Truncated { offset })?;
        let start = std::mem::replace(&mut self.start, end);
        Ok(Self { start, end })
    }
}
