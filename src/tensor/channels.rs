//! A tensor seen along one axis: the geometry of structured pruning.

use crate::error::PruneError;
use crate::tensor::groups::axis;

/// The largest number of channels without entries. Each takes some bytes, though the tensor takes none.
const MAX_EMPTY: usize = 1 << 20;

/// A row-major tensor as `outer` x `len` x `inner`, with `len` channels along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// The product of the sizes before the axis.
    pub outer: usize,
    /// The number of channels.
    pub len: usize,
    /// The product of the sizes after the axis.
    pub inner: usize,
    /// The axis, from 0.
    pub axis: usize,
}

impl Channels {
    /// Returns the channels along `dim` of a tensor of this shape. A negative `dim` counts from the last axis.
    ///
    /// # Errors
    ///
    /// `TooFewDimensions` for fewer than two axes, `AxisOutOfRange` if there is no axis `dim`, `TooManyChannels` for a tensor
    /// without entries that has more than [`MAX_EMPTY`] channels.
    pub fn of(shape: &[usize], dim: isize) -> Result<Self, PruneError> {
        let ndim = shape.len();
        if ndim < 2 {
            return Err(PruneError::TooFewDimensions { shape: shape.to_vec() });
        }
        let channels = Self::along(shape, axis(dim, shape)?);
        if channels.size() == 0 && channels.len > MAX_EMPTY {
            return Err(PruneError::TooManyChannels { limit: MAX_EMPTY, shape: shape.to_vec() });
        }
        Ok(channels)
    }

    /// Returns the channels along an axis that the shape has.
    pub fn along(shape: &[usize], axis: usize) -> Self {
        let product = |sizes: &[usize]| sizes.iter().product();
        Self { outer: product(&shape[..axis]), len: shape[axis], inner: product(&shape[axis + 1..]), axis }
    }

    /// Returns the number of entries of one channel.
    pub fn size(&self) -> usize {
        self.outer * self.inner
    }

    /// Returns whether the entries of each channel lie next to each other.
    pub fn are_contiguous(&self) -> bool {
        self.outer == 1 || self.len == 1
    }

    /// Returns the channels with a remaining entry. Without a mask, these are all channels.
    pub fn remaining(&self, remaining: Option<&[bool]>) -> Vec<usize> {
        let Some(remaining) = remaining else { return (0..self.len).collect() };
        let mut any = vec![false; self.len];
        if self.inner == 1 {
            for row in remaining.chunks_exact(self.len.max(1)) {
                any.iter_mut().zip(row).for_each(|(any, &remaining)| *any |= remaining);
            }
        } else {
            for (run, remaining) in remaining.chunks_exact(self.inner.max(1)).enumerate() {
                let any = &mut any[run % self.len];
                *any = *any || remaining.contains(&true);
            }
        }
        (0..self.len).filter(|&channel| any[channel]).collect()
    }

    /// A choice for some channels, spread over all of them: the others are not chosen.
    pub fn expand(&self, some: &[usize], chosen: &[bool]) -> Vec<bool> {
        let mut all = vec![false; self.len];
        some.iter().zip(chosen).for_each(|(&channel, &chosen)| all[channel] = chosen);
        all
    }

    /// Clears the entries of pruned channels in a part of the mask, which starts at `offset`.
    pub fn clear(&self, pruned: &[bool], offset: usize, mask: &mut [bool]) {
        let mut at = offset;
        let mut rest = mask;
        while !rest.is_empty() {
            let channel = at / self.inner % self.len;
            // One run of a channel or, if runs have one entry, one run of all channels that follow.
            let run = if self.inner == 1 { self.len - channel } else { self.inner - at % self.inner }.min(rest.len());
            let (run, others) = rest.split_at_mut(run);
            if self.inner == 1 {
                run.iter_mut().zip(&pruned[channel..]).for_each(|(kept, pruned)| *kept &= !pruned);
            } else if pruned[channel] {
                run.fill(false);
            }
            at += run.len();
            rest = others;
        }
    }
}
