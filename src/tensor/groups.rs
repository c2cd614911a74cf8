//! A tensor in groups of neighbours along an axis, within each of which entries are ranked.

use crate::error::PruneError;
use crate::key::Key;
use crate::tensor::channels::Channels;

/// Groups of `size` entries that follow one another along an axis: `inner` entries apart.
///
/// The rows of a matrix are groups too: along the last axis, of its whole length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    size: usize,
    inner: usize,
}

impl Groups {
    /// Groups of `size` along `dim`, whose length must be a multiple of it.
    /// The rows of a matrix.
    pub fn rows(shape: &[usize]) -> Result<Self, PruneError> {
        Self::along(shape, -1, shape.last().copied().unwrap_or_default())
    }

    pub fn along(shape: &[usize], dim: isize, size: usize) -> Result<Self, PruneError> {
        let Channels { len, inner, .. } = Channels::of(shape, dim)?;
        if size == 0 || len % size != 0 {
            return Err(PruneError::method(
                "groups",
                format!("{len} entries along axis {dim} are not groups of {size}"),
            ));
        }
        Ok(Self { size, inner })
    }

    /// The number of entries of a group.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The shortest stretch of neighbouring entries that are whole groups: where chunks and blocks may be cut.
    pub fn stretch(&self) -> usize {
        (self.size * self.inner).max(1)
    }

    /// Clears all but the `keep` living entries of highest magnitude in every group of a part of the mask, which begins and
    /// ends with whole groups. Among equals the first goes first.
    pub fn keep_highest<K: Key>(&self, keep: usize, key: impl Fn(usize) -> K, mask: &mut [bool]) {
        let mut group: Vec<(K, usize)> = Vec::with_capacity(self.size);
        for start in (0..mask.len()).step_by(self.stretch()) {
            for first in start..start + self.inner {
                group.clear();
                let entries = (first..start + self.stretch()).step_by(self.inner);
                group.extend(entries.filter(|&i| mask[i]).map(|i| (key(i), i)));
                let excess = group.len().saturating_sub(keep);
                group.sort_unstable();
                group[..excess].iter().for_each(|&(_, i)| mask[i] = false);
            }
        }
    }
}
