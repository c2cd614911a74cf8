//! The header of a file: its length in eight bytes, then JSON with the name, dtype, shape and offsets of each tensor.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ::safetensors::Dtype;
use ::safetensors::tensor::{Metadata as Layout, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error, MapAccess};

use crate::file::error::StateDictError;
use crate::file::escape::escaped;
use crate::file::json::{self, UniqueObject};
use crate::file::names;
use crate::file::recognise::FileFormat;

/// The length of the prefix of a file: the length of its header, as a little-endian `u64`.
pub(crate) const PREFIX: usize = size_of::<u64>();
/// The longest header that the format allows.
const LIMIT: u64 = 100_000_000;

/// A valid header: tensor names are unique, and the tensors together fill the data without overlaps.
#[derive(Debug)]
pub(crate) struct Header {
    /// The tensors in the order of their data.
    pub(crate) tensors: Vec<(String, TensorInfo)>,
    /// The value of the reserved name.
    pub(crate) metadata: Option<Metadata>,
}

/// Free text by alphabetically ordered keys.
pub(crate) type Metadata = BTreeMap<String, String>;

impl Header {
    /// Returns the length of the header, from the first [`BEGINNING`](crate::file::recognise::BEGINNING) bytes of a file and
    /// the length of the file.
    pub(crate) fn length(beginning: &[u8], file_len: u64) -> Result<u64, StateDictError> {
        // The files of all other formats are shorter than a prefix, or begin with bytes that would be a huge length.
        let no_length = |error| match FileFormat::of(beginning) {
            Some(found) => StateDictError::OtherFormat { found },
            None => error,
        };
        let Some((prefix, _)) = beginning.split_first_chunk::<PREFIX>() else {
            return Err(no_length(StateDictError::Truncated { expected: PREFIX as u64, found: file_len }));
        };
        let length = u64::from_le_bytes(*prefix);
        if length > LIMIT {
            return Err(no_length(StateDictError::HeaderTooLarge { limit: LIMIT, found: length }));
        }
        let expected = PREFIX as u64 + length;
        if expected > file_len {
            return Err(StateDictError::Truncated { expected, found: file_len });
        }
        Ok(length)
    }

    /// Parses the header of a file of a given length.
    pub(crate) fn parse(json: &[u8], file_len: u64) -> Result<Self, StateDictError> {
        // serde_json does not validate UTF-8 in values that it skips.
        let json =
            std::str::from_utf8(json).map_err(|source| StateDictError::InvalidHeader { source: source.into() })?;
        let Entries { mut tensors, metadata, repeated } =
            serde_json::from_str(json).map_err(|source| StateDictError::InvalidHeader { source: escaped(source) })?;
        if let Some(name) = repeated {
            return Err(StateDictError::DuplicateName { name });
        }
        // Stable, so that tensors without data keep the order of the header.
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        // Names are unique, and of no matter for the layout. Left out, they take no memory a second time; an error needs them.
        let nameless = tensors.iter().map(|(_, info)| (String::new(), info.clone())).collect();
        let layout = Layout::new(None, nameless)
            .or_else(|_| Layout::new(None, tensors.clone()))
            .map_err(|source| StateDictError::InvalidLayout { source: escaped(source) })?;
        // Offsets may be as large as u64::MAX, so the sum may overflow.
        let expected = (layout.data_len() as u64).saturating_add(PREFIX as u64 + json.len() as u64);
        match expected.cmp(&file_len) {
            Ordering::Greater => Err(StateDictError::Truncated { expected, found: file_len }),
            Ordering::Less => Err(StateDictError::TrailingBytes { expected, found: file_len }),
            Ordering::Equal => Ok(Self { tensors, metadata }),
        }
    }

    /// Encodes the header of a file, with its prefix. The data follows in the order of the tensors.
    ///
    /// Unlike `safetensors::serialize`, this keeps the order in which a module has its parameters.
    pub(crate) fn encode<'a>(
        tensors: impl IntoIterator<Item = (&'a str, Dtype, impl AsRef<[usize]>)>,
    ) -> Result<Vec<u8>, StateDictError> {
        Self::encode_with(None, tensors)
    }

    /// Encodes a header that begins with metadata, if there is any.
    pub(crate) fn encode_with<'a>(
        metadata: Option<&Metadata>,
        tensors: impl IntoIterator<Item = (&'a str, Dtype, impl AsRef<[usize]>)>,
    ) -> Result<Vec<u8>, StateDictError> {
        let mut end = 0;
        let tensors = tensors.into_iter().map(|(name, dtype, shape)| {
            let (start, shape) = (end, shape.as_ref());
            end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (name.to_owned(), TensorInfo { dtype, shape: shape.to_vec(), data_offsets: (start, end) })
        });
        let layout = Layout::new(None, tensors.collect())
            .map_err(|source| StateDictError::InvalidLayout { source: escaped(source) })?;
        let invalid = |source: serde_json::Error| StateDictError::InvalidHeader { source: escaped(source) };
        let mut json = serde_json::to_vec(&layout).map_err(invalid)?;
        if let Some(metadata) = metadata {
            // The `safetensors` crate would write the keys in a random order.
            let mut first = format!("{{\"{}\":", names::RESERVED).into_bytes();
            first.extend(serde_json::to_vec(metadata).map_err(invalid)?);
            first.push(if json.len() > 2 { b',' } else { b'}' });
            json.splice(..if json.len() > 2 { 1 } else { 2 }, first);
        }
        // Padded with spaces, so that the data is aligned to eight bytes.
        json.resize(json.len().next_multiple_of(PREFIX), b' ');
        let found = json.len() as u64;
        if found > LIMIT {
            return Err(StateDictError::HeaderTooLarge { limit: LIMIT, found });
        }
        Ok([&found.to_le_bytes(), json.as_slice()].concat())
    }
}

/// The JSON object of a header.
#[derive(Default)]
struct Entries {
    tensors: Vec<(String, TensorInfo)>,
    metadata: Option<Metadata>,
    repeated: Option<String>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        json::deserialize::<Self, D>(deserializer)
    }
}

impl<'de> UniqueObject<'de> for Entries {
    type Value = Self;
    const EXPECTED: &'static str = "an object with a tensor for each name";

    fn read<M: MapAccess<'de>>(&mut self, name: String, object: &mut M) -> Result<(), M::Error> {
        if name == names::RESERVED {
            self.metadata = object.next_value()?;
        } else {
            self.tensors.push((name, object.next_value()?));
        }
        Ok(())
    }

    /// A name that occurs twice has a variant of its own, which comes after the errors of the JSON that follows.
    fn repeated<E: Error>(&mut self, name: &str) -> Result<(), E> {
        self.repeated.get_or_insert(name.to_owned());
        Ok(())
    }

    fn finish<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_comes_first_before_any_number_of_tensors() {
        let pytorch = Metadata::from([("format".to_owned(), "pt".to_owned())]);
        for count in 0..3 {
            let names: Vec<String> = (0..count).map(|i| i.to_string()).collect();
            let tensors = || names.iter().map(|name| (name.as_str(), Dtype::U8, [1_usize]));
            for metadata in [None, Some(&pytorch)] {
                let header = Header::encode_with(metadata, tensors()).unwrap();
                let (prefix, json) = header.split_at(PREFIX);
                assert_eq!(prefix, (json.len() as u64).to_le_bytes());
                assert_eq!(json.len() % PREFIX, 0);
                assert_eq!(json.starts_with(br#"{"__metadata__":{"format":"pt"}"#), metadata.is_some());
                let parsed = Header::parse(json, (header.len() + count) as u64).unwrap();
                assert_eq!(parsed.metadata.as_ref(), metadata);
                assert!(parsed.tensors.iter().map(|(name, _)| name).eq(&names));
            }
        }
    }

    #[test]
    fn the_longest_header_is_written() {
        let rest = r#"{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#.len();
        let encode = |len: usize| Header::encode([("x".repeat(len - rest).as_str(), Dtype::U8, [1_usize])]);
        assert_eq!(encode(LIMIT as usize).unwrap().len(), PREFIX + LIMIT as usize);
        let longer = encode(LIMIT as usize + 1).unwrap_err();
        assert!(matches!(longer, StateDictError::HeaderTooLarge { limit: LIMIT, found } if found == LIMIT + 8));
    }
}
