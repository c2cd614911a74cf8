//! The damped Hessian of a layer's error, and its failure.

use ndarray::Array2;

use crate::calibration::cholesky::{NotPositiveDefinite, invert_factor, rank};
use crate::error::PruneError;

/// A Gram matrix, and the number of tokens that it is a sum over.
pub(crate) struct Gram {
    pub matrix: Array2<f64>,
    pub count: u64,
}

/// What is added to the diagonal of the Hessian: a share of its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dampening {
    pub share: f64,
    pub of: DampeningOf,
}

/// The channels over which the mean of the diagonal is taken, of which a share is added to the diagonal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DampeningOf {
    /// All channels. A dead one counts as one, as in the published SparseGPT: with small inputs, a few dead channels make the
    /// damping too large.
    #[default]
    All,
    /// The channels that are not dead.
    Live,
}

impl Dampening {
    pub const DEFAULT: Self = Self { share: 0.01, of: DampeningOf::All };

    /// Rejects a share that is negative, infinite or NaN.
    pub fn validated(self, method: &str) -> Result<Self, PruneError> {
        if self.share >= 0.0 && self.share.is_finite() {
            return Ok(self);
        }
        Err(PruneError::method(method, format!("dampening {:?} is not a number of at least 0", self.share)))
    }
}

/// The damped Hessian `2 / count * G`.
pub(crate) struct Hessian {
    pub matrix: Array2<f64>,
    /// `true` for each channel that is zero in all inputs.
    pub dead: Vec<bool>,
    /// What was added to the diagonal.
    pub dampening: f64,
    /// The share of the mean that this is.
    share: f64,
    /// The mean of which it is a share.
    mean: f64,
}

impl Hessian {
    pub fn new(gram: Gram, dampening: Dampening) -> Self {
        let Gram { mut matrix, count } = gram;
        matrix *= 2.0 / (count as f64).max(1.0);
        let dead: Vec<bool> = matrix.diag().iter().map(|&entry| entry == 0.0).collect();
        let live = dead.iter().filter(|dead| !**dead).count();
        for (channel, _) in dead.iter().enumerate().filter(|(_, dead)| **dead) {
            matrix[[channel, channel]] = 1.0;
        }
        let of_all = dampening.of == DampeningOf::All || live == 0;
        let counted = |channel: &usize| of_all || !dead[*channel];
        let sum: f64 = (0..dead.len()).filter(counted).map(|channel| matrix[[channel, channel]]).sum();
        let mean = sum / if of_all { dead.len() } else { live }.max(1) as f64;
        let added = dampening.share * mean;
        matrix.diag_mut().iter_mut().for_each(|entry| *entry += added);
        Self { matrix, dead, dampening: added, share: dampening.share, mean }
    }

    /// The number of dead channels.
    pub fn dead_channels(&self) -> usize {
        self.dead.iter().filter(|dead| **dead).count()
    }

    /// `U` with `H⁻¹ = Uᵀ U`, in the memory of `H`.
    pub fn into_inverse_factor(mut self) -> Result<Array2<f64>, NotPositiveDefinite> {
        invert_factor(&mut self.matrix)?;
        Ok(self.matrix)
    }

    /// The error, with the rank and the least damping, by powers of ten, that does.
    pub fn not_positive_definite(&self) -> PruneError {
        let channels = self.dead.len();
        let mut undamped = self.matrix.clone();
        undamped.diag_mut().iter_mut().for_each(|entry| *entry -= self.dampening);
        let works = (-10..=2).map(|power| 10_f64.powi(power)).filter(|&share| share > self.share).find(|share| {
            let mut damped = undamped.clone();
            damped.diag_mut().iter_mut().for_each(|entry| *entry += share * self.mean);
            invert_factor(&mut damped).is_ok()
        });
        let rank = rank(&undamped);
        PruneError::NotPositiveDefinite { tensor: None, channels, rank, dampening: self.share, works }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    /// Eigenvalues 3 and -1, as of a damaged file: above 1 is enough, 0.5 is not, and does not count towards it.
    #[test]
    fn the_damping_that_would_do_is_given() {
        let gram = Gram { matrix: arr2(&[[1.0, 2.0], [2.0, 1.0]]), count: 2 };
        let hessian = Hessian::new(gram, Dampening { share: 0.5, of: DampeningOf::All });
        let error = hessian.not_positive_definite();
        assert!(matches!(error, PruneError::NotPositiveDefinite { works: Some(10.0), .. }), "{error:?}");
    }
}
