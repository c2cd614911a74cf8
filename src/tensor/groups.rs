//! A tensor cut into groups of one shape, within each of which entries are ranked: rows, N:M groups, blocks, channels.

use std::ops::Range;

use crate::error::PruneError;
use crate::key::Key;
use crate::tensor::chunk::CHUNK;

/// The entries that one ranking covers, for a tensor of any shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granularity {
    /// The lines along the last axis: the rows of a matrix.
    Rows,
    /// Groups of `size` consecutive entries along an axis, as N:M patterns have them.
    Along {
        /// The axis; negative numbers count from the last one.
        dim: isize,
        /// The number of entries of a group; the last group of a line may have fewer.
        size: usize,
    },
    /// Blocks with these sizes, one for each axis from the first. Axes without a size are whole. Blocks at an edge may be
    /// smaller.
    Blocks(Vec<usize>),
    /// The channels along an axis.
    Channels {
        /// The axis; negative numbers count from the last one.
        dim: isize,
    },
}

/// A tensor in standard layout cut into tiles: each tile is a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    shape: Vec<usize>,
    /// The size of a tile along each axis, at least 1.
    tile: Vec<usize>,
    /// The first axis along which a tile has more than one entry, and its geometry.
    lead: Lead,
}

/// The outermost axis of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lead {
    axis: usize,
    /// The product of the sizes before the axis.
    outer: usize,
    /// The product of the sizes after the axis.
    inner: usize,
}

impl Granularity {
    /// Cuts a tensor of this shape, whose size fits in memory, into groups.
    pub fn groups(&self, shape: &[usize]) -> Result<Groups, PruneError> {
        let mut tile = vec![1; shape.len()];
        match self {
            Self::Rows => tile.last_mut().into_iter().zip(shape.last()).for_each(|(tile, &size)| *tile = size),
            Self::Along { dim, size } => tile[axis(*dim, shape)?] = *size,
            Self::Blocks(sizes) if sizes.len() > shape.len() => {
                let found = sizes.len() as isize - 1;
                return Err(PruneError::AxisOutOfRange { found, ndim: shape.len() });
            }
            Self::Blocks(sizes) => {
                tile.copy_from_slice(shape);
                tile[..sizes.len()].copy_from_slice(sizes);
            }
            Self::Channels { dim } => {
                let axis = axis(*dim, shape)?;
                tile.copy_from_slice(shape);
                tile[axis] = 1;
            }
        }
        Ok(Groups::new(shape, tile))
    }
}

/// The number of the axis that `dim` stands for.
pub(crate) fn axis(dim: isize, shape: &[usize]) -> Result<usize, PruneError> {
    let ndim = shape.len();
    let axis = if dim < 0 { dim.checked_add_unsigned(ndim) } else { Some(dim) };
    axis.and_then(|axis| usize::try_from(axis).ok())
        .filter(|&axis| axis < ndim)
        .ok_or(PruneError::AxisOutOfRange { found: dim, ndim })
}

impl Groups {
    fn new(shape: &[usize], mut tile: Vec<usize>) -> Self {
        tile.iter_mut().zip(shape).for_each(|(tile, &size)| *tile = (*tile).min(size).max(1));
        let axis = tile.iter().position(|&size| size > 1).unwrap_or(shape.len().saturating_sub(1));
        let product = |sizes: &[usize]| sizes.iter().product();
        let after = shape.get(axis + 1..).unwrap_or_default();
        let lead = Lead { axis, outer: product(&shape[..axis.min(shape.len())]), inner: product(after) };
        Self { shape: shape.to_vec(), tile, lead }
    }

    /// The size of the leading axis.
    fn len(&self) -> usize {
        self.shape.get(self.lead.axis).copied().unwrap_or(1)
    }

    /// The number of entries from one tile to the next along the leading axis.
    fn step(&self) -> usize {
        self.tile.get(self.lead.axis).copied().unwrap_or(1) * self.lead.inner
    }

    /// The number of entries of the largest group.
    pub fn largest(&self) -> usize {
        self.tile.iter().product()
    }

    /// The length of the shortest stretches of neighbouring entries that are whole groups: chunks and blocks of files are
    /// cut at multiples of it. At least 1.
    pub fn stretch(&self) -> usize {
        let is_ragged = self.len() % self.tile.get(self.lead.axis).copied().unwrap_or(1) != 0;
        // The last tile of a line is shorter, so only whole lines repeat.
        let stretch = if is_ragged && self.lead.outer > 1 { self.len() * self.lead.inner } else { self.step() };
        stretch.max(1)
    }

    /// The ranges of all groups, if they are longer than a chunk and the entries of each are neighbours. There are few then.
    pub fn long_ranges(&self) -> Option<Vec<Range<usize>>> {
        let tile = self.tile.get(self.lead.axis + 1..).unwrap_or_default();
        let is_contiguous =
            tile.iter().zip(self.shape.iter().skip(self.lead.axis + 1)).all(|(tile, size)| tile == size);
        if !is_contiguous || self.step() <= CHUNK {
            return None;
        }
        let line = self.len() * self.lead.inner;
        let starts = (0..self.lead.outer).flat_map(|outer| (0..line).step_by(self.step()).map(move |at| (outer, at)));
        Some(starts.map(|(outer, at)| outer * line + at..outer * line + (at + self.step()).min(line)).collect())
    }

    /// Clears the lowest remaining entries of every group in a part of a mask, which starts at a multiple of the
    /// [stretch](Self::stretch) and ends at one or at the end of the tensor.
    ///
    /// `count` gives the number of entries to clear in a group from its number of entries and of remaining ones; `key` ranks
    /// an entry of the part. Of equal keys, that of the lowest index is cleared first.
    pub fn clear_lowest<K: Key>(
        &self,
        offset: usize,
        mask: &mut [bool],
        count: impl Fn(usize, usize) -> usize,
        key: impl Fn(usize) -> K,
    ) {
        let mut ranked: Vec<(K, usize)> = Vec::new();
        self.for_each(offset, mask.len(), |start, group| {
            ranked.clear();
            let remaining = group.iter().map(|at| start + at).filter(|&at| mask[at]);
            ranked.extend(remaining.map(|at| (key(at), at)));
            let count = count(group.len(), ranked.len()).min(ranked.len());
            if 0 < count && count < ranked.len() {
                ranked.select_nth_unstable(count - 1);
            }
            ranked[..count].iter().for_each(|&(_, at)| mask[at] = false);
        });
    }

    /// Calls `f` with every group of a part of the tensor: the place of its first entry in the part, and the distances of
    /// all its entries from there, in increasing order.
    fn for_each(&self, offset: usize, len: usize, mut f: impl FnMut(usize, &[usize])) {
        let (lead, lines) = (&self.lead, self.len());
        if self.shape.contains(&0) {
            return;
        }
        let inner_shape = self.shape.get(lead.axis + 1..).unwrap_or_default();
        let inner_tile = self.tile.get(lead.axis + 1..).unwrap_or_default();
        let strides = strides(inner_shape);
        let lead_tile = self.tile.get(lead.axis).copied().unwrap_or(1);
        // The distances within a tile are the same but at the edges.
        let (mut extents, mut distances) = (Vec::new(), Vec::new());
        let mut start = 0;
        while start < len {
            let line = (offset + start) / lead.inner % lines;
            let height = lead_tile.min(lines - line);
            let mut corner = vec![0; inner_shape.len()];
            loop {
                let sizes =
                    corner.iter().zip(inner_tile).zip(inner_shape).map(|((&at, &tile), &size)| tile.min(size - at));
                let sizes: Vec<usize> = std::iter::once(height).chain(sizes).collect();
                if sizes != extents {
                    distances = distances_within(&sizes, lead.inner, &strides);
                    extents = sizes;
                }
                let first: usize = corner.iter().zip(&strides).map(|(at, stride)| at * stride).sum();
                f(start + first, &distances);
                if !advance(&mut corner, inner_tile, inner_shape) {
                    break;
                }
            }
            start += height * lead.inner;
        }
    }
}

/// The distance of neighbours along each axis.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// The distances of all entries of a tile from its first one, in increasing order.
fn distances_within(sizes: &[usize], lead_stride: usize, strides: &[usize]) -> Vec<usize> {
    let strides = std::iter::once(&lead_stride).chain(strides);
    sizes.iter().zip(strides).fold(vec![0], |distances, (&size, stride)| {
        distances.iter().flat_map(|from| (0..size).map(move |i| from + i * stride)).collect()
    })
}

/// Moves a corner to the next tile in row-major order; `false` after the last one.
fn advance(corner: &mut [usize], tile: &[usize], shape: &[usize]) -> bool {
    for axis in (0..corner.len()).rev() {
        corner[axis] += tile[axis];
        if corner[axis] < shape[axis] {
            return true;
        }
        corner[axis] = 0;
    }
    false
}
