//! The header of a file: eight bytes with its length, and JSON that tells name, dtype, shape and place of each tensor.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

use ::safetensors::Dtype;
use ::safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::file::error::{StateDictError, escaped};
use crate::file::names;

/// The length of what stands before the header: its own length, as a little-endian `u64`.
pub(crate) const PREFIX: usize = size_of::<u64>();
/// The longest header that the format allows.
const LIMIT: u64 = 100_000_000;

/// A header that was found to be valid: every tensor has its own name and place, and together they fill the data.
#[derive(Debug)]
pub(crate) struct Header {
    /// The tensors in the order of their data.
    pub(crate) tensors: Vec<(String, TensorInfo)>,
    /// What stands under the name that the format keeps for itself.
    pub(crate) metadata: Option<Notes>,
}

/// Free text, by keys in the order of the alphabet.
pub(crate) type Notes = BTreeMap<String, String>;

impl Header {
    /// The length of the header of a file, from the beginning of the file and its length.
    pub(crate) fn length(beginning: &[u8], file_len: u64) -> Result<u64, StateDictError> {
        let Some((prefix, _)) = beginning.split_first_chunk::<PREFIX>() else {
            return Err(StateDictError::Truncated { expected: PREFIX as u64, found: file_len });
        };
        let length = u64::from_le_bytes(*prefix);
        if length > LIMIT {
            return Err(StateDictError::HeaderTooLarge { limit: LIMIT, found: length });
        }
        let expected = PREFIX as u64 + length;
        if expected > file_len {
            return Err(StateDictError::Truncated { expected, found: file_len });
        }
        Ok(length)
    }

    /// The header of a file of a certain length.
    pub(crate) fn parse(json: &[u8], file_len: u64) -> Result<Self, StateDictError> {
        // Of what it passes over, the parser would not look at the characters.
        let json =
            std::str::from_utf8(json).map_err(|source| StateDictError::InvalidHeader { source: source.into() })?;
        let Entries { mut tensors, metadata, repeated } =
            serde_json::from_str(json).map_err(|source| StateDictError::InvalidHeader { source: escaped(source) })?;
        if let Some(name) = repeated {
            return Err(StateDictError::DuplicateName { name });
        }
        // Stable, so that tensors without data keep the order of the header.
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        let layout = Metadata::new(None, tensors.clone())
            .map_err(|source| StateDictError::InvalidLayout { source: escaped(source) })?;
        // Offsets go up to the largest number there is, so the sum may not fit.
        let expected = (layout.data_len() as u64).saturating_add(PREFIX as u64 + json.len() as u64);
        match expected.cmp(&file_len) {
            Ordering::Greater => Err(StateDictError::Truncated { expected, found: file_len }),
            Ordering::Less => Err(StateDictError::TrailingBytes { expected, found: file_len }),
            Ordering::Equal => Ok(Self { tensors, metadata }),
        }
    }

    /// The header of a file to be written, with its prefix. The data follows in the order of the tensors.
    ///
    /// Unlike `safetensors::serialize`, this keeps the order in which a module has its parameters.
    pub(crate) fn encode<'a>(
        tensors: impl IntoIterator<Item = (&'a str, Dtype, impl AsRef<[usize]>)>,
    ) -> Result<Vec<u8>, StateDictError> {
        Self::encode_with(None, tensors)
    }

    /// [`encode`](Self::encode) with metadata, which comes first.
    pub(crate) fn encode_with<'a>(
        metadata: Option<&Notes>,
        tensors: impl IntoIterator<Item = (&'a str, Dtype, impl AsRef<[usize]>)>,
    ) -> Result<Vec<u8>, StateDictError> {
        let mut end = 0;
        let tensors = tensors.into_iter().map(|(name, dtype, shape)| {
            let (start, shape) = (end, shape.as_ref());
            end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (name.to_owned(), TensorInfo { dtype, shape: shape.to_vec(), data_offsets: (start, end) })
        });
        let layout = Metadata::new(None, tensors.collect())
            .map_err(|source| StateDictError::InvalidLayout { source: escaped(source) })?;
        let invalid = |source: serde_json::Error| StateDictError::InvalidHeader { source: escaped(source) };
        let mut json = serde_json::to_vec(&layout).map_err(invalid)?;
        if let Some(metadata) = metadata {
            // The `safetensors` crate would write the keys in another order every time.
            let mut first = format!("{{\"{}\":", names::RESERVED).into_bytes();
            first.extend(serde_json::to_vec(metadata).map_err(invalid)?);
            first.push(if json.len() > 2 { b',' } else { b'}' });
            json.splice(..if json.len() > 2 { 1 } else { 2 }, first);
        }
        // Padded with spaces, so that the data is aligned in memory that is.
        json.resize(json.len().next_multiple_of(PREFIX), b' ');
        let found = json.len() as u64;
        if found > LIMIT {
            return Err(StateDictError::HeaderTooLarge { limit: LIMIT, found });
        }
        Ok([&found.to_le_bytes(), json.as_slice()].concat())
    }
}

/// The JSON object of a header. The types of the `safetensors` crate would let the last of two equal names win.
struct Entries {
    tensors: Vec<(String, TensorInfo)>,
    metadata: Option<Notes>,
    repeated: Option<String>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a tensor for each name")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut object: M) -> Result<Entries, M::Error> {
                let mut entries = Entries { tensors: Vec::new(), metadata: None, repeated: None };
                let mut seen = HashSet::new();
                while let Some(name) = object.next_key::<String>()? {
                    if !seen.insert(name.clone()) {
                        entries.repeated.get_or_insert(name.clone());
                    }
                    if name == names::RESERVED {
                        entries.metadata = object.next_value()?;
                    } else {
                        entries.tensors.push((name, object.next_value()?));
                    }
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_comes_first_before_any_number_of_tensors() {
        let notes = Notes::from([("format".to_owned(), "pt".to_owned())]);
        for count in 0..3 {
            let names: Vec<String> = (0..count).map(|i| i.to_string()).collect();
            let tensors = || names.iter().map(|name| (name.as_str(), Dtype::U8, [1_usize]));
            for metadata in [None, Some(&notes)] {
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
