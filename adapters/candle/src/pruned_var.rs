//! One variable with its mask.

use candle_core::{DType, Device, Result, Tensor, Var};
use ndarray::ArrayD;

/// A variable that has a mask. The variable holds the value, `orig * mask`, which the layers of the model see.
pub(crate) struct PrunedVar {
    pub(crate) var: Var,
    /// The mask on the host, where the next method reads it.
    pub(crate) kept: ArrayD<bool>,
    /// The mask as zeros and ones, in the dtype and on the device of the variable.
    pub(crate) mask: Tensor,
    /// The weights under the mask, if they are kept.
    pub(crate) orig: Option<Tensor>,
}

impl PrunedVar {
    /// Returns the variable under a mask, and the value that it will have. Nothing has changed yet.
    ///
    /// `before` is the variable with the mask so far.
    pub(crate) fn plan(
        var: Var,
        kept: ArrayD<bool>,
        before: Option<&Self>,
        keeps_orig: bool,
    ) -> Result<(Self, Tensor)> {
        let bytes: Vec<u8> = kept.iter().map(|&kept| u8::from(kept)).collect();
        let mask =
            Tensor::from_vec(bytes, kept.shape(), &Device::Cpu)?.to_device(var.device())?.to_dtype(var.dtype())?;
        let orig = match before {
            Some(before) => before.current_orig()?,
            None => keeps_orig.then(|| var.as_detached_tensor().copy()).transpose()?,
        };
        let pruned = Self { var, kept, mask, orig };
        let value = pruned.value(pruned.orig.as_ref())?;
        Ok((pruned, value))
    }

    /// Gives the variable the value `orig * mask` again, after anything has changed it.
    pub(crate) fn reapply(&mut self) -> Result<()> {
        let orig = self.current_orig()?;
        self.set(&self.value(orig.as_ref())?)?;
        self.orig = orig;
        Ok(())
    }

    /// Gives the variable a value of [`plan`](Self::plan).
    pub(crate) fn set(&self, value: &Tensor) -> Result<()> {
        // A product of tensors without entries is the first of them itself, to which candle does not set it.
        if self.var.elem_count() == 0 { Ok(()) } else { self.var.set(value) }
    }

    /// The weights under the mask as they are now: what the mask keeps is trained in the variable, and what it prunes is as it
    /// was when it was pruned.
    pub(crate) fn current_orig(&self) -> Result<Option<Tensor>> {
        let Some(orig) = &self.orig else { return Ok(None) };
        self.mask.to_dtype(DType::U8)?.where_cond(&self.var.as_detached_tensor(), orig).map(Some)
    }

    /// The number of pruned entries.
    pub(crate) fn pruned(&self) -> usize {
        self.kept.iter().filter(|kept| !**kept).count()
    }

    fn value(&self, orig: Option<&Tensor>) -> Result<Tensor> {
        match orig {
            Some(orig) => orig * &self.mask,
            None => self.var.as_detached_tensor() * &self.mask,
        }
    }
}
