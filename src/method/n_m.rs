//! N:M patterns.

use crate::amount::Amount;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::built_in::BuiltIn;
use crate::method::registry::{MethodOptions, Named};
use crate::method::request::{GroupRequest, Quota, Request, Score};
use crate::method::violations::Rule;
use crate::method::{Describe, Units, Violations};
use crate::method_option::MethodOption;
use crate::pruning_type::PruningType;
use crate::score::group::GroupScore;
use crate::select::TieBreak;
use crate::tensor::groups::Granularity;

/// An N:M pattern: of every `m` consecutive entries along an axis, at most `n` are kept, those with the highest magnitudes.
///
/// 2:4 is what the sparse tensor cores of NVIDIA GPUs run. They need the pattern along the axis that a product sums over: the
/// last one, `-1`, of a linear weight `[out, in]`, and axis 1 of a convolution `[out, in, height, width]`.
///
/// Groups begin at index 0 of each line along the axis. A group at the end of a line may have fewer than `m` entries; the
/// missing ones count as zeros, so it keeps `n` of those it has. Pruned entries are zeros too: a group that has lost enough
/// already stays as it is.
///
/// # Guarantees
///
/// - **Count:** every group keeps exactly `n` entries, or all of them if it has no more.
/// - **Ties:** the lowest index is pruned first; see [`tie_break`](Self::tie_break) for PyTorch's order.
/// - **NaN** ranks above infinity, so it is pruned last.
/// - **Cost:** one pass; the mask does not depend on the number of threads, and is the same from a file as from memory.
///
/// # Example
///
/// ```
/// use ndarray::arr2;
/// use prune::{Mask, NM, Parameter};
///
/// let mut weight = Parameter::new(arr2(&[[0.1_f32, -0.9, 0.3, 0.2, 5.0, 6.0]]));
/// let pattern = NM::new(2, 4, -1)?;
/// weight.prune(pattern)?; // the last group has two entries, and keeps both
/// assert_eq!(weight.mask(), Some(&Mask::from(arr2(&[[false, true, true, false, true, true]]))));
/// assert!(pattern.violations(weight.mask().unwrap())?.is_empty());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// Pruning returns [`PruneError::AxisOutOfRange`] if the tensor has no axis `dim`, and [`PruneError::AmountTooLarge`] if fewer
/// groups break the pattern than requested.
///
/// # References
///
/// *Accelerating Sparse Deep Neural Networks* (2021), <https://arxiv.org/abs/2104.08378>.
/// [`WeightNormSparsifier`](https://docs.pytorch.org/docs/stable/generated/torch.ao.pruning.WeightNormSparsifier.html) of
/// PyTorch has blocks `(1, m)` and `zeros_per_block`, which is `m - n`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NM {
    n: usize,
    m: usize,
    dim: isize,
    amount: Amount,
    tie_break: TieBreak,
}

impl NM {
    /// Returns the pattern that keeps at most `n` of every `m` entries along the axis `dim`; a negative `dim` counts from the
    /// last axis.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidPattern`] if `m` is 0 or `n` exceeds `m`.
    pub fn new(n: usize, m: usize, dim: isize) -> Result<Self, PruneError> {
        if m == 0 || n > m {
            return Err(PruneError::InvalidPattern { n, m });
        }
        Ok(Self { n, m, dim, amount: Amount::Fraction(1.0), tie_break: TieBreak::default() })
    }

    /// Sets the amount of groups to prune, of those that break the pattern; all by default. Those with the lowest mean square
    /// are pruned first.
    ///
    /// ```
    /// use ndarray::arr2;
    /// use prune::{Mask, NM, Parameter};
    ///
    /// let mut weight = Parameter::new(arr2(&[[1.0_f32, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3, 0.4]]));
    /// weight.prune(NM::new(2, 4, 1)?.amount(1)?)?;
    /// assert_eq!(weight.mask(), Some(&Mask::from(arr2(&[[true; 4], [false, false, true, true]]))));
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if `amount` is a fraction or sparsity that is NaN or outside `0.0..=1.0`.
    pub fn amount(self, amount: impl Into<Amount>) -> Result<Self, PruneError> {
        Ok(Self { amount: amount.into().validated()?, ..self })
    }

    /// Sets the order in which equal magnitudes, and groups of equal means, are pruned.
    pub fn tie_break(self, tie_break: TieBreak) -> Self {
        Self { tie_break, ..self }
    }

    /// Returns the groups of a mask that keep more than `n` entries.
    ///
    /// ```
    /// use ndarray::arr2;
    /// use prune::{Mask, NM, Violation};
    ///
    /// let weight = arr2(&[[0.5_f32, 0.0, 0.0, 2.0], [1.0, 1.0, 1.0, 0.0]]);
    /// let broken = NM::new(2, 4, -1)?.violations(&Mask::from(weight.mapv(|x| x != 0.0)))?;
    /// assert_eq!(broken.count, 1);
    /// assert_eq!(broken.first, [Violation { at: vec![1, 0], kept: 3, allowed: 2 }]);
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::AxisOutOfRange`] if the mask has no axis `dim`.
    pub fn violations(&self, mask: &Mask) -> Result<Violations, PruneError> {
        Ok(self.rule(mask.shape())?.check_mask(mask))
    }

    /// Returns the rule for the groups of a tensor of this shape.
    pub(crate) fn rule(&self, shape: &[usize]) -> Result<Rule, PruneError> {
        Ok(Rule::new(&self.granularity().groups(shape)?, shape, self.n, false))
    }

    /// The numbers of kept and of all entries of a group, and the axis.
    pub(crate) fn pattern(&self) -> (usize, usize, isize) {
        (self.n, self.m, self.dim)
    }

    fn granularity(&self) -> Granularity {
        Granularity::Along { dim: self.dim, size: self.m }
    }
}

impl Describe for NM {
    fn name(&self) -> &str {
        "NM"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Groups
    }
    fn options(&self) -> String {
        format!("pattern={}:{} dim={} amount={} ties={}", self.n, self.m, self.dim, self.amount, self.tie_break)
    }
    fn units(&self, shape: &[usize], mask: Option<&Mask>) -> Result<Units, PruneError> {
        Units::of_groups(&self.granularity().groups(shape)?, self.n, shape, mask)
    }
}

impl BuiltIn for NM {
    fn request(&self, _: &[&str]) -> Result<Request, PruneError> {
        let (granularity, tie_break) = (self.granularity(), self.tie_break);
        if matches!(self.amount, Amount::Fraction(1.0) | Amount::Sparsity(1.0)) {
            // Of all groups, none has to be ranked.
            let quota = Quota::Keep(self.n);
            return Ok(Request::InGroups { granularity, quota, score: Score::Magnitude, tie_break });
        }
        let by = GroupScore::MeanSquare;
        Ok(Request::Groups(GroupRequest {
            granularity,
            amount: self.amount,
            unit: "groups",
            by,
            keep: self.n,
            tie_break,
        }))
    }
}

impl Named for NM {
    const NAMES: &'static [&'static str] = &["nm"];
    const SUMMARY: &'static str = "Keep at most n of every m entries along an axis, such as 2:4";
    const OPTIONS: &'static [MethodOption] =
        &[MethodOption::Pattern, MethodOption::Dim, MethodOption::Amount, MethodOption::TieBreak];
    const RANKS_GLOBALLY: bool = false;

    fn from_options(options: &MethodOptions) -> Result<Self, PruneError> {
        let missing = || PruneError::MissingOption { method: "nm".to_owned(), option: MethodOption::Pattern };
        let (n, m) = options.pattern.ok_or_else(missing)?;
        let method =
            Self::new(n, m, options.dim.unwrap_or(-1))?.amount(options.amount.unwrap_or(Amount::Fraction(1.0)))?;
        Ok(method.tie_break(options.tie_break.unwrap_or_default()))
    }
}
