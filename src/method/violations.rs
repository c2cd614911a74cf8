//! The places where a mask breaks a pattern.

use std::ops::Range;

use crate::mask::Mask;
use crate::tensor::groups::Groups;
use crate::tensor::numbered::NumberedGroups;

/// The groups of a tensor that break a pattern; made by [`NM::violations`](crate::NM::violations) and
/// [`Block::violations`](crate::Block::violations).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Violations {
    /// The number of groups that break the pattern.
    pub count: usize,
    /// The number of all groups.
    pub groups: usize,
    /// The first of those that break it, at most [`Violations::LISTED`].
    pub first: Vec<Violation>,
}

/// A group that breaks a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The index of the group's first entry.
    pub at: Vec<usize>,
    /// The number of entries that the group keeps.
    pub kept: usize,
    /// The largest number that it may keep. A block may keep all of its entries too.
    pub allowed: usize,
}

/// A rule for the groups of a tensor.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub groups: NumberedGroups,
    /// The largest number of entries that a group may keep.
    pub allowed: usize,
    /// `true` if a group may also keep all entries.
    pub or_all: bool,
    shape: Vec<usize>,
}

impl Violations {
    /// The number of groups that are listed.
    pub const LISTED: usize = 16;

    /// Returns `true` if no group breaks the pattern.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds the violations of a later part of the tensor.
    pub(crate) fn merge(mut self, later: Self) -> Self {
        self.count += later.count;
        self.groups += later.groups;
        self.first.extend(later.first);
        self.first.truncate(Self::LISTED);
        self
    }
}

impl Rule {
    pub fn new(groups: &Groups, shape: &[usize], allowed: usize, or_all: bool) -> Self {
        Self { groups: NumberedGroups::new(groups), allowed, or_all, shape: shape.to_vec() }
    }

    /// The violations in a [part](NumberedGroups::parts) of a tensor.
    pub fn check(&self, part: Range<usize>, kept: &[bool]) -> Violations {
        let numbers = self.groups.numbers(part.clone());
        let counts = self.groups.remaining(part.clone(), Some(kept));
        let sizes = if self.or_all { self.groups.sizes(numbers.clone()) } else { Vec::new() };
        let breaks = |&(at, kept): &(usize, usize)| kept > self.allowed && sizes.get(at) != Some(&kept);
        let groups = counts.len();
        let mut broken = counts.into_iter().enumerate().filter(breaks);
        let violation = |(at, kept)| self.violation(numbers.start + at, kept);
        let first: Vec<Violation> = broken.by_ref().take(Violations::LISTED).map(violation).collect();
        Violations { count: first.len() + broken.count(), groups, first }
    }

    /// The violations of a whole mask, which has the shape.
    pub fn check_mask(&self, mask: &Mask) -> Violations {
        let check = |part: Range<usize>| self.check(part.clone(), &mask.as_slice()[part]);
        self.groups.chunks().into_iter().map(check).fold(Violations::default(), Violations::merge)
    }

    fn violation(&self, number: usize, kept: usize) -> Violation {
        let mut entry = self.groups.first_entry(number);
        let mut at = vec![0; self.shape.len()];
        for (at, &size) in at.iter_mut().zip(&self.shape).rev() {
            *at = entry % size;
            entry /= size;
        }
        Violation { at, kept, allowed: self.allowed }
    }
}
