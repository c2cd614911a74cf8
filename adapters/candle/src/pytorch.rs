//! The functions of `torch.nn.utils.prune`, by their names.

use candle_core::{DType, Tensor};
use ndarray::ArrayD;
use prune::training::Due;
use prune::{
    Amount, CustomFromMask, Identity, IntoMask, L1Unstructured, LnStructured, Mask, Norm, RandomSource,
    RandomStructured, RandomUnstructured,
};

use crate::error::Error;
use crate::vars::PrunedVars;

/// The functions of [`torch.nn.utils.prune`](https://docs.pytorch.org/docs/stable/nn.html#utilities). An amount is a fraction of
/// the units that remain (`0.5`), a count (`3`), or the sparsity to end with ([`Amount::sparsity`]).
impl PrunedVars {
    /// Gives variables a mask that keeps every entry, like
    /// [`identity`](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.identity.html).
    ///
    /// # Errors
    ///
    /// Those of [`prune`](Self::prune).
    pub fn identity(&self, pattern: &str) -> Result<(), Error> {
        self.prune(pattern, Identity)
    }

    /// Prunes the entries with the lowest magnitudes, like
    /// [`l1_unstructured`](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.l1_unstructured.html).
    ///
    /// # Errors
    ///
    /// Those of [`prune`](Self::prune). In [`Error::Prune`],
    /// [`InvalidFraction`](prune::PruneError::InvalidFraction) if a fraction or sparsity is NaN or outside `0.0..=1.0`, and
    /// [`AmountTooLarge`](prune::PruneError::AmountTooLarge) if fewer entries remain than requested.
    pub fn l1_unstructured(&self, pattern: &str, amount: impl Into<Amount>) -> Result<(), Error> {
        let amount = amount.into();
        self.prune_each(pattern, |_| L1Unstructured::new(amount))
    }

    /// Prunes entries at random, like
    /// [`random_unstructured`](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.random_unstructured.html).
    ///
    /// The source is a seed, or a [generator of PyTorch](prune::torch::Generator). A seed gives a variable that is named the mask
    /// that `nn-prune` gives; each variable that a pattern matches has a seed of its own, made of the seed and its name, so
    /// that their masks differ.
    ///
    /// ```
    /// # use candle_core::{DType, Device};
    /// # use candle_nn::VarMap;
    /// # use prune_candle::PrunedVars;
    /// # let vars = VarMap::new();
    /// # for name in ["fc1.weight", "fc2.weight"] {
    /// #     vars.get((10, 10), name, candle_nn::Init::Const(1.0), DType::F32, &Device::Cpu)?;
    /// # }
    /// let pruned = PrunedVars::new(&vars);
    /// pruned.random_unstructured("*.weight", 0.5, 42)?;
    /// assert_ne!(pruned.mask("fc1.weight"), pruned.mask("fc2.weight"));
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`l1_unstructured`](Self::l1_unstructured). A generator may have drawn numbers then.
    pub fn random_unstructured(
        &self,
        pattern: &str,
        amount: impl Into<Amount>,
        source: impl Into<RandomSource>,
    ) -> Result<(), Error> {
        let (amount, source) = (amount.into(), source.into());
        self.prune_each(pattern, |name| RandomUnstructured::new(amount, source_for(&source, pattern, name, amount)))
    }

    /// Prunes whole channels along `dim` at random, like
    /// [`random_structured`](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.random_structured.html).
    ///
    /// The source is that of [`random_unstructured`](Self::random_unstructured).
    ///
    /// # Errors
    ///
    /// Those of [`ln_structured`](Self::ln_structured). A generator may have drawn numbers then.
    pub fn random_structured(
        &self,
        pattern: &str,
        amount: impl Into<Amount>,
        dim: isize,
        source: impl Into<RandomSource>,
    ) -> Result<(), Error> {
        let (amount, source) = (amount.into(), source.into());
        self.prune_each(pattern, |name| RandomStructured::new(amount, dim, source_for(&source, pattern, name, amount)))
    }

    /// Prunes the channels along `dim` with the lowest `n`-norms, like
    /// [`ln_structured`](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.ln_structured.html).
    ///
    /// # Errors
    ///
    /// Those of [`l1_unstructured`](Self::l1_unstructured); in [`Error::Prune`] also what [`prune::ln_structured`] lists, such as
    /// [`TooFewDimensions`](prune::PruneError::TooFewDimensions) for a bias.
    pub fn ln_structured(
        &self,
        pattern: &str,
        amount: impl Into<Amount>,
        n: impl Into<Norm>,
        dim: isize,
    ) -> Result<(), Error> {
        let (amount, n) = (amount.into(), n.into());
        self.prune_each(pattern, |_| LnStructured::new(amount, n, dim))
    }

    /// Prunes the entries that a mask does not keep, like
    /// [`custom_from_mask`](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.custom_from_mask.html).
    ///
    /// The mask is a [`Mask`], or an array of `bool` or of zeros and ones; [`mask_from_tensor`] makes one of a tensor.
    ///
    /// ```
    /// # use candle_core::{DType, Device};
    /// # use candle_nn::VarMap;
    /// # use prune_candle::PrunedVars;
    /// # let vars = VarMap::new();
    /// # let weight = vars.get(3, "weight", candle_nn::Init::Const(1.0), DType::F32, &Device::Cpu)?;
    /// let pruned = PrunedVars::new(&vars);
    /// pruned.custom_from_mask("weight", ndarray::arr1(&[1, 0, 1]))?;
    /// pruned.custom_from_mask("weight", prune_candle::mask_from_tensor(&weight.gt(0.0)?)?)?;
    /// assert_eq!(weight.to_vec1::<f32>()?, [1.0, 0.0, 1.0]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`prune`](Self::prune). In [`Error::Prune`], [`MaskValue`](prune::PruneError::MaskValue) if the mask holds a number
    /// other than 0 and 1, and [`ShapeMismatch`](prune::PruneError::ShapeMismatch) if it has another shape than a variable.
    pub fn custom_from_mask(&self, pattern: &str, mask: impl IntoMask) -> Result<(), Error> {
        let mask = mask.into_mask();
        self.prune_each(pattern, |_| mask.clone().map(CustomFromMask::new))
    }
}

/// Returns a tensor of zeros and ones, of any dtype and layout and on any device, as a mask.
///
/// # Errors
///
/// [`Error::NotAMask`] if an entry is neither 0 nor 1; [`Error::Candle`] if candle does not convert the dtype.
pub fn mask_from_tensor(tensor: &Tensor) -> Result<Mask, Error> {
    let entries = tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let array = ArrayD::from_shape_vec(tensor.dims(), entries).map_err(candle_core::Error::wrap)?;
    array.into_mask().map_err(|source| Error::NotAMask { source })
}

/// The source for one variable: a seed of its own if a pattern matches it.
fn source_for(source: &RandomSource, pattern: &str, name: &str, amount: Amount) -> RandomSource {
    match source {
        RandomSource::Seed(seed) if name != pattern => RandomSource::Seed(Due { name, step: 0, amount }.seed(*seed)),
        // A generator goes on from one variable to the next.
        source => source.clone(),
    }
}
