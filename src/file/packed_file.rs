//! The layout of packed tensors: `sparse-bitmask` of compressed-tensors 0.14. `docs/PACKED.md` describes it.

use std::collections::{BTreeMap, HashMap};

use ::safetensors::Dtype as Stored;

use crate::file::dtype::Dtype;
use crate::file::elements::decode;
use crate::file::error::StateDictError;
use crate::file::header::Metadata;
use crate::sparse::bits::row_bytes;
use crate::sparse::packed::matrix;

/// The kept values, row by row.
pub(crate) const COMPRESSED: &str = ".compressed";
/// One bit per entry; rows begin with a byte.
pub(crate) const BITMASK: &str = ".bitmask";
/// The index of the first value of each row.
pub(crate) const ROW_OFFSETS: &str = ".row_offsets";
/// The sizes of the dense tensor.
pub(crate) const SHAPE: &str = ".shape";
/// In the layout of the bits: the zeros that are -0.0. Not part of the layout of compressed-tensors.
pub(crate) const SIGNS: &str = ".signs";
/// The ending that names of packed tensors lose.
const WEIGHT: &str = ".weight";
/// The suffixes of all parts.
pub(crate) const PARTS: [&str; 5] = [COMPRESSED, BITMASK, ROW_OFFSETS, SHAPE, SIGNS];
/// The key of the metadata that lists, as JSON, the packed tensors whose names did not end in `.weight`.
pub(crate) const WHOLE_NAMES: &str = "nn_prune.packed_names";

/// Returns what the names of the packed parts of a tensor begin with.
pub(crate) fn stem(name: &str) -> &str {
    match name.strip_suffix(WEIGHT) {
        Some(module) if !module.is_empty() => module,
        Some(_) | None => name,
    }
}

/// Returns `true` if the names of the packed parts begin with the whole name of the tensor.
pub(crate) fn is_whole_name(name: &str) -> bool {
    stem(name).len() == name.len()
}

/// Returns the metadata of a file with these whole names, in alphabetical order, in place of others.
pub(crate) fn with_whole_names(metadata: Option<&Metadata>, mut names: Vec<&str>) -> Option<Metadata> {
    names.sort_unstable();
    let mut metadata = metadata.cloned().unwrap_or_default();
    metadata.remove(WHOLE_NAMES);
    if !names.is_empty() {
        metadata.insert(WHOLE_NAMES.to_owned(), serde_json::Value::from(names).to_string());
    }
    (!metadata.is_empty()).then_some(metadata)
}

/// Returns the whole names that the metadata of a file lists. Anything else under the key is ignored.
fn whole_names(metadata: Option<&Metadata>) -> Vec<String> {
    let list = metadata.and_then(|metadata| metadata.get(WHOLE_NAMES));
    list.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default()
}

/// The parts of a packed tensor, as indices into the tensors of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedParts {
    pub compressed: usize,
    pub bitmask: usize,
    pub row_offsets: usize,
    pub shape: usize,
    pub signs: Option<usize>,
}

impl PackedParts {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = usize> {
        [self.compressed, self.bitmask, self.row_offsets, self.shape].into_iter().chain(self.signs)
    }
}

/// Returns the packed tensors among tensors of these names, in the order of their values: the name of each dense tensor, and its
/// parts. Only a complete set of four names is one.
pub(crate) fn find<'n>(
    names: impl IntoIterator<Item = &'n str>,
    metadata: &[Option<&Metadata>],
) -> Vec<(String, PackedParts)> {
    let is_part = |name: &str| PARTS.iter().any(|part| name.ends_with(part));
    let numbers = names.into_iter().enumerate().filter(|(_, name)| is_part(name));
    let numbers: HashMap<&str, usize> = numbers.map(|(number, name)| (name, number)).collect();
    let whole: Vec<String> = metadata.iter().flat_map(|metadata| whole_names(*metadata)).collect();
    let mut found = BTreeMap::new();
    for (name, &compressed) in &numbers {
        let Some(stem) = name.strip_suffix(COMPRESSED) else { continue };
        let part = |suffix| numbers.get(format!("{stem}{suffix}").as_str()).copied();
        let (Some(bitmask), Some(row_offsets), Some(shape)) = (part(BITMASK), part(ROW_OFFSETS), part(SHAPE)) else {
            continue;
        };
        let is_whole = whole.iter().any(|name| name == stem);
        let name = if is_whole { stem.to_owned() } else { format!("{stem}{WEIGHT}") };
        found.insert(compressed, (name, PackedParts { compressed, bitmask, row_offsets, shape, signs: part(SIGNS) }));
    }
    found.into_values().collect()
}

/// A tensor of a file: its name, dtype and shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartInfo<'f> {
    pub name: &'f str,
    pub dtype: Dtype,
    pub shape: &'f [usize],
}

/// The dense form of a packed tensor, checked against the sizes of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DenseShape {
    pub shape: Vec<usize>,
    pub rows: usize,
    pub columns: usize,
}

impl DenseShape {
    /// Checks the parts of a packed tensor. `sizes` are the bytes of its shape.
    ///
    /// # Errors
    ///
    /// [`StateDictError::PackedLayout`] if a part has another dtype or shape than the layout says, and
    /// [`StateDictError::ImpossibleShape`] if a size is negative or there are too many entries.
    pub fn new<'f>(
        parts: &PackedParts,
        info: impl Fn(usize) -> PartInfo<'f>,
        sizes: &[u8],
    ) -> Result<Self, StateDictError> {
        let expect = |part: PartInfo<'_>, dtype: Stored, shape: &[usize]| {
            if part.dtype.0 == dtype && part.shape == shape { Ok(()) } else { Err(wrong(part, dtype, shape)) }
        };
        let (compressed, shape_part) = (info(parts.compressed), info(parts.shape));
        if !compressed.dtype.can_be_pruned() || compressed.shape.len() != 1 {
            let found = format!("{} of shape {:?}", compressed.dtype, compressed.shape);
            let expected = "a vector of F32, F64, F16 or BF16".to_owned();
            return Err(StateDictError::PackedLayout { tensor: compressed.name.to_owned(), expected, found });
        }
        expect(shape_part, Stored::I64, &[sizes.len() / size_of::<i64>()])?;
        let sizes: Vec<i64> = decode(sizes).collect();
        let shape: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
        let product = |shape: &[usize]| shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        // The columns alone may overflow if there are no rows, and the dense tensor must fit a file.
        let dense = |shape: &Vec<usize>| {
            let rest = product(shape.get(1..).unwrap_or_default())?;
            product(shape)?.max(rest).checked_mul(size_of::<u64>())
        };
        let Some(shape) = shape.filter(|shape| dense(shape).is_some()) else {
            let found = format!("{sizes:?}");
            return Err(StateDictError::ImpossibleShape { tensor: shape_part.name.to_owned(), found });
        };
        let (rows, columns) = matrix(&shape);
        if compressed.shape[0] > rows * columns {
            let found = format!("{} of shape {:?}", compressed.dtype, compressed.shape);
            let expected = format!("a vector of at most {} entries", rows * columns);
            return Err(StateDictError::PackedLayout { tensor: compressed.name.to_owned(), expected, found });
        }
        let bits = [rows, row_bytes(columns)];
        expect(info(parts.bitmask), Stored::U8, &bits)?;
        expect(info(parts.row_offsets), Stored::I64, &[rows])?;
        parts.signs.map_or(Ok(()), |signs| expect(info(signs), Stored::U8, &bits))?;
        Ok(Self { shape, rows, columns })
    }

    /// The number of entries of the dense tensor.
    pub fn entries(&self) -> usize {
        self.rows * self.columns
    }
}

fn wrong(part: PartInfo<'_>, dtype: Stored, shape: &[usize]) -> StateDictError {
    StateDictError::PackedLayout {
        tensor: part.name.to_owned(),
        expected: format!("{dtype} of shape {shape:?}"),
        found: format!("{} of shape {:?}", part.dtype, part.shape),
    }
}

/// Returns the bytes that a tensor takes if it is packed, without the header; `None` if that is not less than dense.
pub(crate) fn packed_bytes(shape: &[usize], kept: usize, size: usize, signs: bool) -> Option<u64> {
    let (rows, columns) = matrix(shape);
    let dense = (rows * columns) as u64 * size as u64;
    // Without entries there may be any number of rows.
    let rows = if dense == 0 { return None } else { rows as u64 };
    let bits = rows * row_bytes(columns) as u64;
    let bytes = kept as u64 * size as u64 + bits * if signs { 2 } else { 1 } + 8 * rows + size_of_val(shape) as u64;
    (bytes < dense).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_ending_and_get_it_back() {
        assert_eq!((stem("a.weight"), stem(".weight"), stem("weight"), stem("a")), ("a", ".weight", "weight", "a"));
        assert!(is_whole_name("weight") && !is_whole_name("a.weight"));
        let metadata = with_whole_names(None, vec!["e"]).unwrap();
        let names: Vec<String> = ["a", "b", "e"]
            .iter()
            .flat_map(|stem| [SHAPE, COMPRESSED, BITMASK, ROW_OFFSETS].map(|suffix| format!("{stem}{suffix}")))
            .filter(|name| name != "b.shape")
            .collect();
        let found = find(names.iter().map(String::as_str), &[None, Some(&metadata)]);
        let found: Vec<_> = found.iter().map(|(name, parts)| (name.as_str(), parts.compressed, parts.shape)).collect();
        assert_eq!(found, [("a.weight", 1, 0), ("e", 8, 7)]);
        assert_eq!(with_whole_names(Some(&metadata), Vec::new()), None);
    }

    #[test]
    fn small_and_dense_tensors_are_not_packed() {
        assert_eq!(packed_bytes(&[64, 64], 1024, 4, false), Some(4096 + 512 + 512 + 16));
        assert_eq!(packed_bytes(&[64, 64], 1024, 4, true), Some(4096 + 2 * 512 + 512 + 16));
        assert_eq!(packed_bytes(&[64, 64], 4096, 4, false), None);
        assert_eq!(packed_bytes(&[64, 1], 0, 2, false), None);
        assert_eq!(packed_bytes(&[], 0, 8, false), None);
        assert_eq!(packed_bytes(&[usize::MAX, 0], 0, 4, false), None);
    }
}
