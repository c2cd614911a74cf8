//! Couplings: the positions of parameters that are one unit.

use crate::compact::error::CompactError;
use crate::compact::layout::{Layout, Shapes, Sizes};
use crate::module::Module;

/// The relation of a parameter to the units of a dimension. It decides what is ranked and what is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Makes the units: rows of a linear layer, filters of a convolution. Ranked and masked.
    Out,
    /// Has a number for each unit: a bias, the weight and bias of a BatchNorm. Masked.
    Follow,
    /// Reads the units: columns of the next layer. Ranked and masked.
    In,
    /// Has statistics of each unit: the running mean and variance of a BatchNorm. Neither ranked nor masked.
    Buffer,
}

/// A norm that is computed over the units of a dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WidthNorm {
    /// RMSNorm: the weight is multiplied by `sqrt(units / kept)` when it is cut. Outputs are then equal up to the epsilon of
    /// the norm, and also in that if it is multiplied by `units / kept`.
    Rms,
    /// An RMSNorm that multiplies by `1 + weight`, as Gemma has it.
    RmsPlusOne,
    /// LayerNorm or GroupNorm: refused, because its statistics change with the width.
    Layer,
}

/// The place of the units of a dimension on one axis of one parameter.
///
/// Unit `i` of `n` is at the positions `offset + (k * n + i) * block + j` for `k` in `0..repeat` and `j` in `0..block`:
///
/// | coupling | use |
/// |---|---|
/// | rows, bias, BatchNorm vectors, columns, residual additions, depthwise filters | plain |
/// | convolution, flatten, linear | `block(height * width)`; with channels last `repeat(height * width)` |
/// | concatenation | `offset`; a tensor concatenated with itself: `repeat(2)` |
/// | attention heads | `block(head_dim)`; fused q, k and v: `repeat(3)` too |
/// | a key/value head with its query heads | q and output: `block(queries * head_dim)`; k and v: `block(head_dim)` |
/// | fused gate and up projection | `repeat(2)` |
/// | grouped convolution, whole groups | `block(channels / groups)` |
///
/// ```
/// use prune::compact::Use;
///
/// let use_ = Use::input("fc.weight", 1).block(16); // each channel is a 4 x 4 map
/// assert_eq!(use_.positions(2, 8).collect::<Vec<_>>(), (32..48).collect::<Vec<_>>());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Use {
    pub(crate) parameter: String,
    pub(crate) axis: usize,
    pub(crate) role: Role,
    pub(crate) offset: usize,
    pub(crate) repeat: usize,
    pub(crate) block: usize,
    pub(crate) norm: Option<WidthNorm>,
}

impl Use {
    /// Returns a plain use: unit `i` is at position `i` of the axis, counted from 0.
    pub fn new(role: Role, parameter: impl Into<String>, axis: usize) -> Self {
        Self { parameter: parameter.into(), axis, role, offset: 0, repeat: 1, block: 1, norm: None }
    }

    /// Returns a use that makes the units: [`Role::Out`].
    pub fn out(parameter: impl Into<String>, axis: usize) -> Self {
        Self::new(Role::Out, parameter, axis)
    }

    /// Returns a use with a number for each unit: [`Role::Follow`].
    pub fn follow(parameter: impl Into<String>, axis: usize) -> Self {
        Self::new(Role::Follow, parameter, axis)
    }

    /// Returns a use that reads the units: [`Role::In`].
    pub fn input(parameter: impl Into<String>, axis: usize) -> Self {
        Self::new(Role::In, parameter, axis)
    }

    /// Returns a use with statistics of the units: [`Role::Buffer`].
    pub fn buffer(parameter: impl Into<String>, axis: usize) -> Self {
        Self::new(Role::Buffer, parameter, axis)
    }

    /// Sets the position of the first unit, 0 by default.
    pub fn offset(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// Sets how often the sequence of all units is repeated along the axis, once by default.
    pub fn repeat(mut self, repeat: usize) -> Self {
        self.repeat = repeat;
        self
    }

    /// Sets the number of neighbouring positions of one unit, 1 by default.
    pub fn block(mut self, block: usize) -> Self {
        self.block = block;
        self
    }

    /// States that the parameter is the weight of a norm over the units, so that it is adapted to the width or refused.
    ///
    /// ```
    /// use ndarray::{arr1, arr2};
    /// use prune::compact::{Coupling, Use, WidthNorm};
    ///
    /// let mut net = prune::ParameterStore::new();
    /// net.insert("embed", arr2(&[[1.0_f64, 2.0, 3.0, 4.0]]));
    /// net.insert("norm", arr1(&[1.0, 1.0, 1.0, 1.0]));
    /// net.insert("head", arr2(&[[1.0, 1.0, 1.0, 1.0]]));
    /// let norm = Use::follow("norm", 0).norm(WidthNorm::Rms);
    /// let width = Coupling::new().dimension("width", [Use::out("embed", 1), norm, Use::input("head", 1)]);
    /// width.keep(&net, [("width", vec![3])])?.compact(&mut net)?;
    /// assert_eq!(net["norm"].value(), &arr1(&[2.0]).into_dyn()); // sqrt(4 / 1)
    /// # Ok::<(), prune::compact::CompactError>(())
    /// ```
    pub fn norm(mut self, norm: WidthNorm) -> Self {
        self.norm = Some(norm);
        self
    }

    /// Returns the positions of a unit of a dimension of `size` units, in ascending order.
    pub fn positions(&self, unit: usize, size: usize) -> impl Iterator<Item = usize> + use<> {
        let Self { offset, repeat, block, .. } = *self;
        (0..repeat).flat_map(move |k| {
            let start = offset + (k * size + unit) * block;
            start..start + block
        })
    }

    /// The position after the last one of `size` units, or the largest number if there is none.
    pub(crate) fn end(&self, size: usize) -> usize {
        let span = self.repeat.saturating_mul(size).saturating_mul(self.block);
        self.offset.saturating_add(span)
    }
}

/// A set of units that exist or do not exist together, and the places where they lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimension {
    pub(crate) name: String,
    pub(crate) uses: Vec<Use>,
    pub(crate) size: Option<usize>,
    pub(crate) open: bool,
    pub(crate) zero_at_zero: bool,
    /// `true` if no unit is chosen.
    pub(crate) left_out: bool,
}

impl Dimension {
    /// Returns a dimension with these uses. Its size is that of the first use that makes the units.
    pub fn new(name: impl Into<String>, uses: impl IntoIterator<Item = Use>) -> Self {
        let uses = uses.into_iter().collect();
        Self { name: name.into(), uses, size: None, open: false, zero_at_zero: false, left_out: false }
    }

    /// Sets the number of units. It is needed if no use that makes the units has an axis for itself, and it permits uses
    /// that leave a part of their axis unused.
    pub fn size(mut self, units: usize) -> Self {
        self.size = Some(units);
        self
    }

    /// States that the units are an input or an output of the model, so that nothing in it needs to make or to read them:
    /// the vocabulary, for example.
    pub fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// States that a unit whose producers are zero is zero where it is read: nothing between them adds a constant or maps 0
    /// to another number. ReLU, GELU, SiLU and tanh do not; sigmoid does. [`Coupling::dead`] uses it.
    pub fn zero_at_zero(mut self) -> Self {
        self.zero_at_zero = true;
        self
    }
}

/// The dimensions of a model: the positions of its parameters that are pruned together.
///
/// Every parameter is in a dimension or [fixed](Self::fixed), so that none is forgotten. The functions that take a module
/// check the whole coupling against it.
///
/// ```
/// use ndarray::{Array1, Array2};
/// use prune::compact::{Choice, Coupling, Use};
///
/// let mut net = prune::ParameterStore::new();
/// net.insert("fc1.weight", Array2::from_shape_fn((4, 3), |(unit, _)| unit as f32));
/// net.insert("fc1.bias", Array1::zeros(4));
/// net.insert("fc2.weight", Array2::ones((2, 4)));
/// net.insert("fc2.bias", Array1::zeros(2));
///
/// let coupling = Coupling::new()
///     .dimension("hidden", [
///         Use::out("fc1.weight", 0),
///         Use::follow("fc1.bias", 0),
///         Use::input("fc2.weight", 1),
///     ])
///     .fixed("fc2.bias");
/// let plan = coupling.choose(&net, &Choice::new(0.5))?;
/// assert_eq!(plan.kept("hidden"), [2, 3]);
/// plan.compact(&mut net)?;
/// assert_eq!(net["fc2.weight"].value().shape(), [2, 2]);
/// # Ok::<(), prune::compact::CompactError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coupling {
    pub(crate) dimensions: Vec<Dimension>,
    pub(crate) fixed: Vec<String>,
}

impl Coupling {
    /// Returns a coupling without dimensions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a dimension with these uses.
    pub fn dimension(self, name: impl Into<String>, uses: impl IntoIterator<Item = Use>) -> Self {
        self.with(Dimension::new(name, uses))
    }

    /// Adds a dimension.
    pub fn with(mut self, dimension: Dimension) -> Self {
        self.dimensions.push(dimension);
        self
    }

    /// States that the parameters with names like `pattern` are never cut. `*` stands for any characters.
    pub fn fixed(mut self, pattern: impl Into<String>) -> Self {
        self.fixed.push(pattern.into());
        self
    }

    /// Returns a coupling in which units are chosen of these dimensions only: the others keep all units. Unknown names are
    /// reported by the functions that take a module.
    ///
    /// ```
    /// # use prune::compact::{Choice, Coupling, Use};
    /// # let ones = |shape: (usize, usize)| ndarray::Array2::<f32>::ones(shape);
    /// # let net = prune::ParameterStore::from_iter([("a", ones((8, 2))), ("b", ones((4, 8))), ("c", ones((2, 4)))]);
    /// let coupling = Coupling::new()
    ///     .dimension("wide", [Use::out("a", 0), Use::input("b", 1)])
    ///     .dimension("narrow", [Use::out("b", 0), Use::input("c", 1)]);
    /// let wide = coupling.only(["wide"])?.choose(&net, &Choice::new(0.75))?;
    /// let narrow = coupling.only(["narrow"])?.choose(&net, &Choice::new(0.5))?;
    /// let plan = wide.and(&narrow)?;
    /// assert_eq!((plan.kept("wide").len(), plan.kept("narrow").len()), (2, 2));
    /// # Ok::<(), prune::compact::CompactError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CompactError::UnknownDimension`] if there is no dimension of a name.
    pub fn only<N: AsRef<str>>(&self, dimensions: impl IntoIterator<Item = N>) -> Result<Self, CompactError> {
        let mut only = self.clone();
        only.dimensions.iter_mut().for_each(|dimension| dimension.left_out = true);
        for name in dimensions {
            let name = name.as_ref();
            match only.dimensions.iter_mut().find(|dimension| dimension.name == name) {
                Some(dimension) => dimension.left_out = false,
                None => return Err(self.unknown(name)),
            }
        }
        Ok(only)
    }

    /// Checks the coupling against a module, and returns the number of units of each dimension.
    ///
    /// # Errors
    ///
    /// - [`CompactError::RepeatedDimension`] if two dimensions have one name;
    ///   [`CompactError::NoProducer`] or [`CompactError::NoConsumer`] if one that is not open has no use of that role;
    ///   [`CompactError::NoUnits`] and [`CompactError::EmptyUse`] for sizes of 0.
    /// - [`CompactError::UnknownParameter`], [`CompactError::NoEntries`] and [`CompactError::AxisOutOfRange`] if the module
    ///   lacks a parameter, its entries or an axis.
    /// - [`CompactError::Indivisible`], [`CompactError::SizesDisagree`], [`CompactError::SpanTooLong`] and
    ///   [`CompactError::Uncovered`] if the units do not fit an axis; [`CompactError::Overlap`] if two uses claim one
    ///   position.
    /// - [`CompactError::Undeclared`] if a parameter is neither used nor fixed, [`CompactError::FixedAndUsed`] if it is
    ///   both, [`CompactError::UnmatchedFixed`] if a pattern matches no parameter.
    /// - [`CompactError::LayerNorm`] if a layer norm is computed over a dimension.
    pub fn check<M: Module + ?Sized>(&self, module: &M) -> Result<Sizes, CompactError> {
        Ok(Layout::new(self, shapes_of(module))?.sizes())
    }

    pub(crate) fn unknown(&self, found: &str) -> CompactError {
        let known = self.dimensions.iter().map(|dimension| dimension.name.clone()).collect();
        CompactError::UnknownDimension { found: found.to_owned(), known }
    }
}

/// The shapes of all parameters of a module.
pub(crate) fn shapes_of<M: Module + ?Sized>(module: &M) -> Shapes {
    let parameters = module.named_parameters().into_iter();
    parameters.map(|(name, parameter)| (name, parameter.value().shape().to_vec())).collect()
}
