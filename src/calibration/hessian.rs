//! The damped Hessian of a layer's error, and its failure.

use ndarray::{Array1, Array2};

use crate::calibration::cholesky::{NotPositiveDefinite, invert_factor, rank};
use crate::error::PruneError;

/// A Gram matrix, and the number of tokens that it is a sum over.
pub(crate) struct Gram {
    pub matrix: Array2<f64>,
    pub count: u64,
}

/// The number that is added to the diagonal of the Hessian, as a share of its mean.
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
    /// The number that was added to the diagonal.
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

    /// The largest eigenvalue divided by the smallest; infinite if the matrix is not positive definite.
    pub fn condition(self) -> f64 {
        let h = self.matrix.view();
        let largest = largest_eigenvalue(h.nrows(), |x| h.dot(x));
        match self.into_inverse_factor() {
            Ok(upper) => largest * largest_eigenvalue(upper.nrows(), |x| upper.t().dot(&upper.dot(x))),
            Err(NotPositiveDefinite) => f64::INFINITY,
        }
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

/// The largest eigenvalue of a positive definite matrix by power iteration, to about a hundredth; 1 without rows.
fn largest_eigenvalue(size: usize, times: impl Fn(&Array1<f64>) -> Array1<f64>) -> f64 {
    /// The most steps. Where the next eigenvalue is close, fewer do, because either is the answer.
    const STEPS: usize = 200;
    if size == 0 {
        return 1.0;
    }
    // No eigenvector of a matrix that occurs is orthogonal to this one.
    let mut x = Array1::from_shape_fn(size, |i| 1.0 + (i as f64).sin());
    let mut eigenvalue = 0.0;
    for _ in 0..STEPS {
        x /= x.dot(&x).sqrt();
        x = times(&x);
        let before = std::mem::replace(&mut eigenvalue, x.dot(&x).sqrt());
        if (eigenvalue - before).abs() <= 1e-6 * eigenvalue {
            break;
        }
    }
    eigenvalue
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    /// The matrix is `2 / 2` times the Gram matrix, with eigenvalues 3 and 1, and the damping adds a half of their mean.
    #[test]
    fn the_condition_is_that_after_damping() {
        let condition = |gram: [[f64; 2]; 2], share| {
            let gram = Gram { matrix: arr2(&gram), count: 2 };
            Hessian::new(gram, Dampening { share, of: DampeningOf::All }).condition()
        };
        assert!((condition([[2.0, 1.0], [1.0, 2.0]], 0.0) - 3.0).abs() < 1e-3);
        assert!((condition([[2.0, 1.0], [1.0, 2.0]], 0.5) - 2.0).abs() < 1e-3);
        assert_eq!(condition([[1.0, 1.0], [1.0, 1.0]], 0.0), f64::INFINITY);
        assert_eq!(condition([[0.0, 0.0], [0.0, 0.0]], 0.0), 1.0); // the diagonal of dead channels is 1

        // The first step multiplies the length of (1, 1 + sin 1) by 1, without having converged.
        let second = 1.0 + 1_f64.sin();
        let first = (1.0 + second * second * 0.75).sqrt();
        assert!((condition([[first, 0.0], [0.0, 0.5]], 0.0) - 2.0 * first).abs() < 1e-3);
    }

    /// Eigenvalues 3 and -1, as of a damaged file: above 1 is enough, 0.5 is not, and does not count towards it.
    #[test]
    fn the_damping_that_would_do_is_given() {
        let gram = Gram { matrix: arr2(&[[1.0, 2.0], [2.0, 1.0]]), count: 2 };
        let hessian = Hessian::new(gram, Dampening { share: 0.5, of: DampeningOf::All });
        let error = hessian.not_positive_definite();
        assert!(matches!(error, PruneError::NotPositiveDefinite { works: Some(10.0), .. }), "{error:?}");
    }
}
