//! The units that the amount of a method counts.

use std::ops::Range;

use crate::error::PruneError;
use crate::mask::Mask;
use crate::pruning_type::PruningType;
use crate::tensor::channels::Channels;
use crate::tensor::groups::Groups;
use crate::tensor::numbered::NumberedGroups;

/// The units of a tensor that the [`Amount`](crate::Amount) of a method counts: entries, channels, blocks or groups.
///
/// ```
/// use prune::{Block, Describe, L1Unstructured, Mask, Units};
///
/// let mask = Mask::from(ndarray::arr2(&[[true, false], [false, true], [false, false], [false, false]]));
/// assert_eq!(L1Unstructured::new(0.5)?.units(&[4, 2], Some(&mask))?, Units { all: 8, left: 2 });
/// assert_eq!(Block::new(0.5, &[2, 1], 1)?.units(&[4, 2], Some(&mask))?, Units { all: 4, left: 2 });
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units {
    /// The number of units, pruned or not.
    pub all: usize,
    /// The number of units that the method could prune.
    pub left: usize,
}

impl Units {
    /// The units of a method that has no other than those of its pruning type.
    pub(crate) fn of(unit: PruningType, shape: &[usize], mask: Option<&Mask>) -> Result<Self, PruneError> {
        check(shape, mask)?;
        match unit {
            PruningType::Structured { dim } => {
                let channels = Channels::of(shape, dim)?;
                Ok(Self { all: channels.len, left: channels.remaining(mask.map(Mask::as_slice)).len() })
            }
            PruningType::Unstructured | PruningType::Groups | PruningType::Global => {
                let all = shape.iter().product();
                Ok(Self { all, left: mask.map_or(all, Mask::kept) })
            }
        }
    }

    /// The groups, of which those are left that have more than `keep` remaining entries.
    pub(crate) fn of_groups(
        groups: &Groups,
        keep: usize,
        shape: &[usize],
        mask: Option<&Mask>,
    ) -> Result<Self, PruneError> {
        check(shape, mask)?;
        let groups = NumberedGroups::new(groups);
        let open = |part: Range<usize>| groups.count_open(part.clone(), mask.map(|mask| &mask.as_slice()[part]), keep);
        Ok(Self { all: groups.count(), left: groups.chunks().into_iter().map(open).sum() })
    }
}

fn check(shape: &[usize], mask: Option<&Mask>) -> Result<(), PruneError> {
    mask.map_or(Ok(()), |mask| PruneError::check_shape("mask", shape, mask.shape()))
}
