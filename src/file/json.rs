//! JSON objects in which no key may occur twice. The types of serde_json would keep the last of two equal keys.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::file::escape::Quoted;

/// An object that is read one entry at a time.
pub(crate) trait UniqueObject<'de>: Default {
    /// The value that the entries make up.
    type Value;
    /// The description of the object in the error for JSON of another type.
    const EXPECTED: &'static str;

    /// Reads the value of a key.
    fn read<M: MapAccess<'de>>(&mut self, key: String, object: &mut M) -> Result<(), M::Error>;

    /// Called after the value of a key that the object had before. Returns an error unless overridden.
    fn repeated<E: Error>(&mut self, key: &str) -> Result<(), E> {
        Err(E::custom(format_args!("{} occurs twice", Quoted(key))))
    }

    /// Called after the last entry.
    fn finish<E: Error>(self) -> Result<Self::Value, E>;
}

/// Deserializes an object, for implementations of `Deserialize`.
pub(crate) fn deserialize<'de, O: UniqueObject<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<O::Value, D::Error> {
    deserializer.deserialize_map(ObjectVisitor::<O>(PhantomData))
}

struct ObjectVisitor<O>(PhantomData<O>);

impl<'de, O: UniqueObject<'de>> Visitor<'de> for ObjectVisitor<O> {
    type Value = O::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(O::EXPECTED)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut entries: M) -> Result<O::Value, M::Error> {
        let (mut object, mut seen) = (O::default(), HashSet::new());
        while let Some(key) = entries.next_key::<String>()? {
            object.read(key.clone(), &mut entries)?;
            if let Some(key) = seen.replace(key) {
                object.repeated(&key)?;
            }
        }
        object.finish()
    }
}
