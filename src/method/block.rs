//! Pruning blocks.

use crate::amount::Amount;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::built_in::BuiltIn;
use crate::method::registry::{MethodOptions, Named};
use crate::method::request::{GroupRequest, Request};
use crate::method::violations::Rule;
use crate::method::{Describe, Units, Violations};
use crate::method_option::MethodOption;
use crate::pruning_type::PruningType;
use crate::score::Norm;
use crate::score::group::GroupScore;
use crate::select::TieBreak;
use crate::tensor::groups::Granularity;

/// Prunes whole blocks of entries, those with the lowest norms.
///
/// A block has one size for each axis, from the first. Axes left out are whole: `[4, 4]` of a matrix are squares, `[16, 1]`
/// are columns of sixteen rows, `[1, 1]` of a convolution `[out, in, height, width]` are its kernels, and `[1]` are its filters.
/// Blocks begin at index 0, so that those at the far edges may be smaller.
///
/// Blocks are ranked by a mean over the entries that they have, in which pruned entries are zeros: of the magnitudes for the
/// norm 1, of their squares for the norm 2; or by the largest magnitude for the norm infinity. A mean, unlike a norm, compares
/// blocks of different sizes. It is added in row-major order in `f32` (`f64` for `f64`), and not rounded to a half-precision
/// type.
///
/// Products with weights that are pruned in blocks of 4, 8 or 16 rows are up to twice as fast as with single zeros: see
/// [`Form::Blocks`](crate::sparse::Form::Blocks).
///
/// # Guarantees
///
/// - **Count:** exactly the requested number of blocks is pruned, among those with a remaining entry.
/// - **Ties:** blocks are ordered by their first entries; of equal ones, the first is pruned first. See
///   [`tie_break`](Self::tie_break) for PyTorch's order.
/// - **NaN** ranks above infinity, so that a block that has one is pruned last.
/// - **Cost:** linear; it holds one number for each block.
///
/// # Example
///
/// ```
/// use ndarray::arr2;
/// use prune::{Block, Parameter};
///
/// let mut weight = Parameter::new(arr2(&[[1.0_f32, 9.0, 2.0], [3.0, 0.0, 2.0]]));
/// weight.prune(Block::new(1, &[2, 1], 1)?)?; // the means are 2, 4.5 and 2
/// assert_eq!(weight.value(), &arr2(&[[0.0, 9.0, 2.0], [0.0, 0.0, 2.0]]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// Pruning returns [`PruneError::AmountTooLarge`] if fewer blocks remain than requested, and [`PruneError::AxisOutOfRange`] if
/// the block has more axes than the tensor.
///
/// # References
///
/// *Block-Sparse Recurrent Neural Networks* (2017), <https://arxiv.org/abs/1711.02782>;
/// [`WeightNormSparsifier`](https://docs.pytorch.org/docs/stable/generated/torch.ao.pruning.WeightNormSparsifier.html) of
/// PyTorch, which prunes all entries of a block by default.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    amount: Amount,
    shape: Vec<usize>,
    norm: Norm,
    by: GroupScore,
    tie_break: TieBreak,
}

impl Block {
    /// Returns the method that prunes this amount of the remaining blocks of a shape, ranked by a norm of order 1, 2 or
    /// infinity.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if `amount` is a fraction or sparsity that is NaN or outside `0.0..=1.0`;
    /// [`PruneError::EmptyBlock`] if a size is 0; [`PruneError::InvalidNorm`] if the order of the norm is NaN, and
    /// [`PruneError::BlockNorm`] for every other norm.
    pub fn new(amount: impl Into<Amount>, shape: &[usize], norm: impl Into<Norm>) -> Result<Self, PruneError> {
        let (amount, norm) = (amount.into().validated()?, norm.into().validated()?);
        if shape.contains(&0) {
            return Err(PruneError::EmptyBlock { shape: shape.to_vec() });
        }
        Ok(Self { amount, shape: shape.to_vec(), norm, by: GroupScore::of(norm)?, tie_break: TieBreak::default() })
    }

    /// Sets the order in which blocks of equal means are pruned.
    pub fn tie_break(self, tie_break: TieBreak) -> Self {
        Self { tie_break, ..self }
    }

    /// Returns the blocks of a mask that keep some of their entries, but not all of them.
    ///
    /// ```
    /// use ndarray::arr2;
    /// use prune::{Block, Mask, Violation};
    ///
    /// let mask = Mask::from(arr2(&[[true, true, false], [true, false, false]]));
    /// let broken = Block::new(0.5, &[2, 1], 2)?.violations(&mask)?;
    /// assert_eq!(broken.first, [Violation { at: vec![0, 1], kept: 1, allowed: 0 }]);
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::AxisOutOfRange`] if the block has more axes than the mask.
    pub fn violations(&self, mask: &Mask) -> Result<Violations, PruneError> {
        Ok(self.rule(mask.shape())?.check_mask(mask))
    }

    /// Returns the rule for the blocks of a tensor of this shape.
    pub(crate) fn rule(&self, shape: &[usize]) -> Result<Rule, PruneError> {
        Ok(Rule::new(&self.granularity().groups(shape)?, shape, 0, true))
    }

    fn granularity(&self) -> Granularity {
        Granularity::Blocks(self.shape.clone())
    }
}

impl Describe for Block {
    fn name(&self) -> &str {
        "Block"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Groups
    }
    fn options(&self) -> String {
        format!("amount={} block={:?} norm={} ties={}", self.amount, self.shape, self.norm, self.tie_break)
    }
    fn units(&self, shape: &[usize], mask: Option<&Mask>) -> Result<Units, PruneError> {
        Units::of_groups(&self.granularity().groups(shape)?, 0, shape, mask)
    }
}

impl BuiltIn for Block {
    fn request(&self, _: &[&str]) -> Result<Request, PruneError> {
        Ok(Request::Groups(GroupRequest {
            granularity: self.granularity(),
            amount: self.amount,
            unit: "blocks",
            by: self.by,
            keep: 0,
            tie_break: self.tie_break,
        }))
    }
}

impl Named for Block {
    const NAMES: &'static [&'static str] = &["block"];
    const SUMMARY: &'static str = "Prune the blocks of entries with the lowest norms, such as 16x1";
    const OPTIONS: &'static [MethodOption] =
        &[MethodOption::Amount, MethodOption::Block, MethodOption::Norm, MethodOption::TieBreak];
    const RANKS_GLOBALLY: bool = false;

    fn from_options(options: &MethodOptions) -> Result<Self, PruneError> {
        let missing = || PruneError::MissingOption { method: "block".to_owned(), option: MethodOption::Block };
        let shape = options.block.as_ref().ok_or_else(missing)?;
        let method = Self::new(options.needed_amount("block")?, shape, options.norm.unwrap_or(Norm::L(2.0)))?;
        Ok(method.tie_break(options.tie_break.unwrap_or_default()))
    }
}
