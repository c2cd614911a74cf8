//! Methods chosen at run time: by name, and for whichever element type a tensor turns out to have.

use std::any::Any;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use half::{bf16, f16};
use ndarray::{ArrayD, ArrayViewD};

use crate::amount::Amount;
use crate::element::Element;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::built_in::BuiltIn;
use crate::method::{BUILT_IN, Describe, PruningMethod, RandomSource, Reconstruct, Units};
use crate::method_option::MethodOption;
use crate::pruning_type::PruningType;
use crate::score::Norm;
use crate::select::TieBreak;

/// The options of a method that is chosen [by name](AnyMethod::from_name). Unset options have the method's defaults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MethodOptions {
    pub(crate) amount: Option<Amount>,
    pub(crate) norm: Option<Norm>,
    pub(crate) dim: Option<isize>,
    pub(crate) source: Option<RandomSource>,
    pub(crate) tie_break: Option<TieBreak>,
    pub(crate) mask: Option<Mask>,
    pub(crate) pattern: Option<(usize, usize)>,
    pub(crate) block: Option<Vec<usize>>,
}

impl MethodOptions {
    /// Returns options that are all unset.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how much is pruned.
    pub fn amount(self, amount: impl Into<Amount>) -> Self {
        Self { amount: Some(amount.into()), ..self }
    }

    /// Sets the norm that ranks channels or blocks.
    pub fn norm(self, norm: impl Into<Norm>) -> Self {
        Self { norm: Some(norm.into()), ..self }
    }

    /// Sets the axis of the channels or of the groups of a pattern; negative numbers count from the last axis.
    pub fn dim(self, dim: isize) -> Self {
        Self { dim: Some(dim), ..self }
    }

    /// Sets the seed or generator of random numbers.
    pub fn source(self, source: impl Into<RandomSource>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Sets the order of equal scores.
    pub fn tie_break(self, tie_break: TieBreak) -> Self {
        Self { tie_break: Some(tie_break), ..self }
    }

    /// Sets the mask to apply.
    pub fn mask(self, mask: impl Into<Mask>) -> Self {
        Self { mask: Some(mask.into()), ..self }
    }

    /// Sets an N:M pattern: at most `n` of every `m` entries are kept.
    pub fn pattern(self, n: usize, m: usize) -> Self {
        Self { pattern: Some((n, m)), ..self }
    }

    /// Sets the size of a block along each axis, from the first.
    pub fn block(self, shape: &[usize]) -> Self {
        Self { block: Some(shape.to_vec()), ..self }
    }

    /// Returns whether an option is set.
    fn has(&self, option: MethodOption) -> bool {
        match option {
            MethodOption::Amount => self.amount.is_some(),
            MethodOption::Norm => self.norm.is_some(),
            MethodOption::Dim => self.dim.is_some(),
            MethodOption::Source => self.source.is_some(),
            MethodOption::TieBreak => self.tie_break.is_some(),
            MethodOption::Mask => self.mask.is_some(),
            MethodOption::Pattern => self.pattern.is_some(),
            MethodOption::Block => self.block.is_some(),
        }
    }

    /// The amount, for a method that needs one.
    pub(crate) fn needed_amount(&self, method: &str) -> Result<Amount, PruneError> {
        self.amount.ok_or_else(|| PruneError::MissingOption { method: method.to_owned(), option: MethodOption::Amount })
    }

    /// The axis, or the default one.
    pub(crate) fn dim_or_default(&self) -> isize {
        self.dim.unwrap_or(0)
    }

    /// The source of random numbers, or the default one.
    pub(crate) fn source_or_default(&self) -> RandomSource {
        self.source.clone().unwrap_or(RandomSource::Seed(0))
    }
}

/// A method of this crate that can be chosen by name. Most return requests; one that computes masks itself runs on files too,
/// with each tensor in memory.
pub trait Named:
    PruningMethod<f32> + PruningMethod<f64> + PruningMethod<f16> + PruningMethod<bf16> + Sized + 'static
{
    /// The short name, and PyTorch's name of the function if it is another one.
    const NAMES: &'static [&'static str];
    /// The method in one line.
    const SUMMARY: &'static str;
    /// The options that the method has.
    const OPTIONS: &'static [MethodOption];
    /// `true` if the entries of several tensors can be ranked together.
    const RANKS_GLOBALLY: bool;

    /// Makes the method of its options.
    fn from_options(options: &MethodOptions) -> Result<Self, PruneError>;
}

/// A built-in method, by its names.
#[derive(Debug, Clone, Copy)]
pub struct MethodInfo {
    names: &'static [&'static str],
    summary: &'static str,
    options: &'static [MethodOption],
    ranks_globally: bool,
    make: fn(&MethodOptions) -> Result<AnyMethod, PruneError>,
}

impl MethodInfo {
    pub(crate) const fn of<M: Named>() -> Self {
        Self {
            names: M::NAMES,
            summary: M::SUMMARY,
            options: M::OPTIONS,
            ranks_globally: M::RANKS_GLOBALLY,
            make: |options| Ok(AnyMethod::new(M::from_options(options)?)),
        }
    }

    /// Returns all built-in methods.
    pub fn all() -> &'static [Self] {
        BUILT_IN
    }

    /// Returns the short name, such as `ln`.
    pub fn name(&self) -> &'static str {
        self.names[0]
    }

    /// Returns all names, the short one first: `ln`, `ln_structured`.
    pub fn names(&self) -> &'static [&'static str] {
        self.names
    }

    /// Returns a description of one line.
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// Returns the options that the method has.
    pub fn options(&self) -> &'static [MethodOption] {
        self.options
    }

    /// Returns `true` if the method can rank the entries of several tensors together, as in
    /// [`global_unstructured`](crate::global_unstructured).
    pub fn ranks_globally(&self) -> bool {
        self.ranks_globally
    }
}

/// A method for every element type, built in or custom, that is chosen at run time.
///
/// It is a [`PruningMethod`] for each of the four element types, can be stored beside others, and is equal to another one
/// of the same name and [options](Describe::options).
///
/// ```
/// use prune::{AnyMethod, MethodInfo, MethodOptions, Parameter};
///
/// let method = AnyMethod::from_name("ln_structured", &MethodOptions::new().amount(1).dim(-1))?;
/// let mut single = Parameter::new(ndarray::arr2(&[[1.0_f32, -3.0], [2.0, 4.0]]));
/// let mut double = Parameter::new(ndarray::arr2(&[[1.0_f64, -3.0], [2.0, 4.0]]));
/// single.prune(method.clone())?;
/// double.prune(method)?;
/// assert_eq!(single.mask(), double.mask());
///
/// let names: Vec<&str> = MethodInfo::all().iter().map(|method| method.name()).collect();
/// assert_eq!(names, ["identity", "l1", "random", "ln", "random-structured", "custom-from-mask", "nm", "block", "fpgm"]);
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Clone)]
pub struct AnyMethod {
    f32: Arc<dyn PruningMethod<f32>>,
    f64: Arc<dyn PruningMethod<f64>>,
    f16: Arc<dyn PruningMethod<f16>>,
    bf16: Arc<dyn PruningMethod<bf16>>,
}

impl AnyMethod {
    /// Makes it of a method for all element types, a custom one for example.
    pub fn new<M>(method: M) -> Self
    where
        M: PruningMethod<f32> + PruningMethod<f64> + PruningMethod<f16> + PruningMethod<bf16> + 'static,
    {
        let method = Arc::new(method);
        Self { f32: method.clone(), f64: method.clone(), f16: method.clone(), bf16: method }
    }

    /// Makes a built-in method of a name and options. [`MethodInfo::all`] lists the names.
    ///
    /// # Errors
    ///
    /// [`PruneError::UnknownMethod`] if no method has the name; [`PruneError::MissingOption`] if the method needs an option
    /// that is not set; [`PruneError::UnusedOption`] if an option is set that the method does not have; any error of the
    /// method's `new`.
    pub fn from_name(name: &str, options: &MethodOptions) -> Result<Self, PruneError> {
        let Some(method) = BUILT_IN.iter().find(|method| method.names.contains(&name)) else {
            let known = BUILT_IN.iter().map(|method| method.name().to_owned()).collect();
            return Err(PruneError::UnknownMethod { found: name.to_owned(), known });
        };
        let unused = |option: &MethodOption| options.has(*option) && !method.options.contains(option);
        if let Some(option) = MethodOption::ALL.into_iter().find(unused) {
            return Err(PruneError::UnusedOption { method: name.to_owned(), option });
        }
        (method.make)(options)
    }

    /// The method for one element type.
    pub(crate) fn typed<A: Element>(&self) -> &dyn PruningMethod<A> {
        let all: [&dyn Any; 4] = [&self.f32, &self.f64, &self.f16, &self.bf16];
        let typed = all.into_iter().find_map(|method| method.downcast_ref::<Arc<dyn PruningMethod<A>>>());
        // The trait Element is sealed.
        &**typed.expect("these four are all the element types")
    }
}

impl fmt::Debug for AnyMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.f32.fmt(f)
    }
}

impl PartialEq for AnyMethod {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.options() == other.options()
    }
}

impl Describe for AnyMethod {
    fn name(&self) -> &str {
        self.f32.name()
    }
    fn pruning_type(&self) -> PruningType {
        self.f32.pruning_type()
    }
    fn options(&self) -> String {
        self.f32.options()
    }
    fn units(&self, shape: &[usize], mask: Option<&Mask>) -> Result<Units, PruneError> {
        self.f32.units(shape, mask)
    }
}

impl<A: Element> PruningMethod<A> for AnyMethod {
    fn compute_mask(
        &self,
        scores: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError> {
        self.typed::<A>().compute_mask(scores, default_mask)
    }
    fn built_in(&self) -> Option<&dyn BuiltIn> {
        self.typed::<A>().built_in()
    }
    fn reconstructing(&self) -> Option<&dyn Reconstruct<A>> {
        self.typed::<A>().reconstructing()
    }
    fn for_tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Box<dyn PruningMethod<A>>>, PruneError> {
        self.typed::<A>().for_tensor(name, shape)
    }
    fn without_data(&self) -> Option<Box<dyn PruningMethod<A>>> {
        self.typed::<A>().without_data()
    }
}

// Methods are only called through `&self`, and nothing is committed before they return.
impl UnwindSafe for AnyMethod {}
impl RefUnwindSafe for AnyMethod {}
