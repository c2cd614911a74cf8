//! `*.safetensors.index.json`: a map from tensors to shards.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error, MapAccess};
use serde_json::{Map, Value, json};

use crate::checkpoint::CheckpointError;
use crate::file::error::StateDictError;
use crate::file::escape::escaped;
use crate::file::json::{self, UniqueObject};
use crate::file::open;
use crate::file::recognise::{BEGINNING, FileFormat};

/// The length of the longest index that is read: that of the longest header.
const LIMIT: u64 = 100_000_000;
const WEIGHT_MAP: &str = "weight_map";
const TOTAL_SIZE: &str = "total_size";

/// An index that names only shards below its own directory.
#[derive(Debug)]
pub(crate) struct Index {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// The JSON object without the map.
    rest: Map<String, Value>,
    /// The map from tensors to shards.
    pub weight_map: BTreeMap<String, String>,
}

impl Index {
    /// Reads an index. The errors are those of [`Checkpoint::open`](crate::checkpoint::Checkpoint::open) for one.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let read = |source| CheckpointError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let (file, metadata) = open::open(path).map_err(read)?;
        let found = metadata.len();
        if found > LIMIT {
            return Err(CheckpointError::IndexTooLarge { path: path.to_owned(), limit: LIMIT, found });
        }
        file.take(LIMIT).read_to_end(&mut bytes).map_err(read)?;

        let Parsed(rest, weight_map) =
            serde_json::from_slice(&bytes).map_err(|error| CheckpointError::InvalidIndex {
                path: path.to_owned(),
                source: match FileFormat::of(&bytes[..bytes.len().min(BEGINNING)]) {
                    Some(found) => StateDictError::OtherFormat { found }.into(),
                    None => escaped(error),
                },
            })?;
        if let Some(shard) = weight_map.values().find(|shard| !is_below_directory(shard)) {
            return Err(CheckpointError::ShardOutsideFolder { path: path.to_owned(), shard: shard.clone() });
        }
        Ok(Self { path: path.to_owned(), bytes, rest, weight_map })
    }

    /// Returns the names of the shards, in alphabetical order.
    pub fn shards(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }

    /// Returns the usual name of an index for shards: theirs without the numbers, such as those of
    /// `model-00001-of-00002.safetensors`, or that of a model.
    pub fn name_for(shards: &[String]) -> String {
        let stem = |shard: &String| {
            let (stem, number) = shard.strip_suffix(".safetensors")?.split_once("-of-")?.0.rsplit_once('-')?;
            let is_name = !stem.is_empty() && !stem.contains('/') && number.bytes().all(|byte| byte.is_ascii_digit());
            is_name.then(|| stem.to_owned())
        };
        let stems: BTreeSet<Option<String>> = shards.iter().map(stem).collect();
        let common = stems.first().cloned().flatten().filter(|_| stems.len() == 1);
        format!("{}.safetensors.index.json", common.as_deref().unwrap_or("model"))
    }

    /// Encodes a new index.
    pub fn encode(weight_map: BTreeMap<String, String>, total_size: u64) -> Vec<u8> {
        let mut bytes = format!("{:#}", json!({ "metadata": { TOTAL_SIZE: total_size }, WEIGHT_MAP: weight_map }));
        bytes.push('\n');
        bytes.into_bytes()
    }

    /// Encodes the index for other tensors. It has a total size only if this one has.
    pub fn rewritten(&self, weight_map: BTreeMap<String, String>, total_size: u64) -> Vec<u8> {
        let mut json = self.rest.clone();
        if let Some(Value::Object(metadata)) = json.get_mut("metadata") {
            metadata.entry(TOTAL_SIZE).and_modify(|size| *size = total_size.into());
        }
        json.insert(WEIGHT_MAP.into(), weight_map.into_iter().collect());
        let mut bytes = format!("{:#}", Value::Object(json)).into_bytes();
        bytes.push(b'\n');
        bytes
    }
}

/// The JSON object of an index.
#[derive(Default)]
struct Entries {
    rest: Map<String, Value>,
    weight_map: Option<BTreeMap<String, String>>,
}

/// An index that was parsed: everything but the map, and the map.
struct Parsed(Map<String, Value>, BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        json::deserialize::<Entries, D>(deserializer)
    }
}

impl<'de> UniqueObject<'de> for Entries {
    type Value = Parsed;
    const EXPECTED: &'static str = "an object with a `weight_map`";

    fn read<M: MapAccess<'de>>(&mut self, key: String, object: &mut M) -> Result<(), M::Error> {
        if key == WEIGHT_MAP {
            self.weight_map = Some(object.next_value::<WeightMap>()?.0);
        } else {
            self.rest.insert(key, object.next_value()?);
        }
        Ok(())
    }

    fn finish<E: Error>(self) -> Result<Parsed, E> {
        let weight_map = self.weight_map.ok_or_else(|| E::missing_field(WEIGHT_MAP))?;
        Ok(Parsed(self.rest, weight_map))
    }
}

/// The map of an index, from tensors to shards.
#[derive(Default)]
struct WeightMap(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        json::deserialize::<Self, D>(deserializer)
    }
}

impl<'de> UniqueObject<'de> for WeightMap {
    type Value = Self;
    const EXPECTED: &'static str = "an object with a shard for each tensor";

    fn read<M: MapAccess<'de>>(&mut self, tensor: String, object: &mut M) -> Result<(), M::Error> {
        self.0.insert(tensor, object.next_value()?);
        Ok(())
    }

    fn finish<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }
}

/// Returns `true` for a path to a file below the directory that it starts from, by its components alone. The file may be a
/// symbolic link, as in the cache of Hugging Face: the owner of the directory made it.
pub(crate) fn is_below_directory(shard: &str) -> bool {
    let mut components = Path::new(shard).components().peekable();
    components.peek().is_some()
        && components.all(|component| matches!(component, Component::Normal(_)))
        && !shard.contains(['\0', '\\'])
}

#[cfg(test)]
mod tests {
    use super::{Index, is_below_directory};

    #[test]
    fn an_index_is_named_after_its_shards() {
        for (shards, expected) in [
            (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], "model"),
            (["unet-1-of-2.safetensors", "unet-2-of-2.safetensors"], "unet"),
            (["a-1-of-2.safetensors", "b-2-of-2.safetensors"], "model"),
            (["a.safetensors", "b.safetensors"], "model"),
            (["x-a-of-2.safetensors", "x-b-of-2.safetensors"], "model"),
            (["-1-of-2.safetensors", "-2-of-2.safetensors"], "model"),
        ] {
            let found = Index::name_for(&shards.map(str::to_owned));
            assert_eq!(found, format!("{expected}.safetensors.index.json"), "{shards:?}");
        }
    }

    #[test]
    fn only_names_below_the_directory() {
        for name in ["a.safetensors", "sub/a.safetensors", "..a", "a..b/c"] {
            assert!(is_below_directory(name), "{name}");
        }
        for name in ["", ".", "..", "/a", "../a", "a/../../b", "a/..", "./a", "a\0b", "..\\a", "C:\\a"] {
            assert!(!is_below_directory(name), "{name:?}");
        }
    }
}
