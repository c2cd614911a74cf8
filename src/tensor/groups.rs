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
    lead: Lead,
    /// The sizes of the tensor and of a tile along the axes after the leading one.
    inner: Vec<Extent>,
    is_empty: bool,
}

/// The leading axis: the first one along which a tile has more than one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lead {
    extent: Extent,
    /// The product of the sizes before the axis.
    outer: usize,
    /// The product of the sizes after the axis.
    stride: usize,
}

/// The size of a tensor along an axis, and that of a tile, which is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub len: usize,
    pub tile: usize,
}

impl Extent {
    /// The number of tiles along the axis.
    pub fn tiles(&self) -> usize {
        self.len.div_ceil(self.tile)
    }
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
    fn new(shape: &[usize], tile: Vec<usize>) -> Self {
        let extent = |(&len, tile): (&usize, usize)| Extent { len, tile: tile.min(len).max(1) };
        let extents: Vec<Extent> = shape.iter().zip(tile).map(extent).collect();
        let product = |extents: &[Extent]| extents.iter().map(|extent| extent.len).product();
        let axis = extents.iter().position(|extent| extent.tile > 1).unwrap_or(extents.len().saturating_sub(1));
        let (outer, rest) = extents.split_at(axis.min(extents.len()));
        // A single number is a group of its own.
        let (lead, inner) = rest.split_first().unwrap_or((&Extent { len: 1, tile: 1 }, &[]));
        let lead = Lead { extent: *lead, outer: product(outer), stride: product(inner) };
        Self { lead, inner: inner.to_vec(), is_empty: shape.contains(&0) }
    }

    /// The axes of the tensor, those before the leading one as a single axis.
    pub fn extents(&self) -> impl Iterator<Item = Extent> {
        let outer = Extent { len: self.lead.outer, tile: 1 };
        [outer, self.lead.extent].into_iter().chain(self.inner.iter().copied())
    }

    /// The number of entries of the largest group.
    pub fn largest(&self) -> usize {
        std::iter::once(&self.lead.extent).chain(&self.inner).map(|extent| extent.tile).product()
    }

    /// The length of the shortest stretches of neighbouring entries that are whole groups: chunks and blocks of files are
    /// cut at multiples of it. At least 1.
    pub fn stretch(&self) -> usize {
        let Lead { extent: Extent { len, tile }, outer, stride } = self.lead;
        // If the last tile of a line is shorter, only whole lines repeat.
        let repeats = if outer == 1 || len.is_multiple_of(tile) { tile } else { len };
        (repeats * stride).max(1)
    }

    /// The ranges of all groups, if they are longer than a chunk and the entries of each are neighbours. There are few then.
    pub fn long_ranges(&self) -> Option<Vec<Range<usize>>> {
        let Lead { extent: Extent { len, tile }, outer, stride } = self.lead;
        let step = tile * stride;
        if step <= CHUNK || self.inner.iter().any(|extent| extent.tile < extent.len) {
            return None;
        }
        let line = len * stride;
        let starts = (0..outer).flat_map(|number| (0..line).step_by(step).map(move |at| (number * line, at)));
        Some(starts.map(|(start, at)| start + at..start + (at + step).min(line)).collect())
    }

    /// The lengths of a line and of a group in it, if the entries of each group are neighbours. The tensor is one line after
    /// the other, and the last group of a line may be shorter.
    pub fn neighbours(&self) -> Option<(usize, usize)> {
        let Lead { extent: Extent { len, tile }, stride, .. } = self.lead;
        self.inner.iter().all(|extent| extent.tile == extent.len).then_some((len * stride, tile * stride))
    }

    /// The shape of groups that lie side by side: the number of them, which is the distance of neighbours in a group, and the
    /// lengths of a line and of a group along it.
    pub fn side_by_side(&self) -> Option<(usize, usize, usize)> {
        let Lead { extent: Extent { len, tile }, stride, .. } = self.lead;
        self.inner.iter().all(|extent| extent.tile == 1).then_some((stride, len, tile))
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
    pub fn for_each(&self, offset: usize, len: usize, mut f: impl FnMut(usize, &[usize])) {
        if self.is_empty {
            return;
        }
        let Lead { extent, stride, .. } = self.lead;
        let strides = strides(&self.inner);
        // The distances within a tile are the same but at the edges.
        let (mut sizes, mut distances) = (Vec::new(), Vec::new());
        let mut start = 0;
        while start < len {
            let height = extent.tile.min(extent.len - (offset + start) / stride % extent.len);
            let mut corner = vec![0; self.inner.len()];
            loop {
                let inner = corner.iter().zip(&self.inner).map(|(&at, extent)| extent.tile.min(extent.len - at));
                let found: Vec<usize> = std::iter::once(height).chain(inner).collect();
                if found != sizes {
                    distances = distances_within(&found, stride, &strides);
                    sizes = found;
                }
                let first: usize = corner.iter().zip(&strides).map(|(at, stride)| at * stride).sum();
                f(start + first, &distances);
                if !advance(&mut corner, &self.inner) {
                    break;
                }
            }
            start += height * stride;
        }
    }
}

/// The distance of neighbours along each axis.
fn strides(extents: &[Extent]) -> Vec<usize> {
    let mut strides = vec![1; extents.len()];
    for axis in (1..extents.len()).rev() {
        strides[axis - 1] = strides[axis] * extents[axis].len;
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
fn advance(corner: &mut [usize], extents: &[Extent]) -> bool {
    for (corner, extent) in corner.iter_mut().zip(extents).rev() {
        *corner += extent.tile;
        if *corner < extent.len {
            return true;
        }
        *corner = 0;
    }
    false
}
