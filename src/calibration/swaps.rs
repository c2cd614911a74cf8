//! Better masks by swaps: a kept and a pruned entry of a row change places while the error falls.

use ndarray::{Array1, ArrayD, ArrayView1, ArrayView2, ArrayViewD, ArrayViewMut1, ArrayViewMut2, Axis, Zip};

use crate::calibration::Inputs;
use crate::calibration::cholesky::{STRIP, product};
use crate::calibration::layer::{Layer, in_shape, mask_by, method_for, rows, wide};
use crate::element::Element;
use crate::error::PruneError;
use crate::method::{Describe, PruningMethod};
use crate::pruning_type::PruningType;
use crate::tensor::parallel;

const NAME: &str = "Swaps";

/// Improves the mask of another method: as long as the error of the layer falls, the pruned entry of a row whose return lowers it most
/// and the kept entry whose loss raises it least change places.
///
/// The error is `‖X wᵀ - X vᵀ‖` for the row `w` and its pruned form `v`, by the Gram matrix of the inputs. It never rises. The number of
/// pruned entries of a row stays, weights that are kept do not change, and what was pruned before the method stays pruned.
///
/// ```
/// use ndarray::arr2;
/// use prune::Parameter;
/// use prune::calibration::{Moments, Swaps, Wanda};
///
/// // Wanda alone keeps the second weight. The first one makes up for more of what the third contributed.
/// let mut moments = Moments::with_gram(3);
/// moments.push(arr2(&[[1.0_f32, -1.0, 0.5], [2.0, -2.0, 0.4]]).view())?;
/// let moments = std::sync::Arc::new(moments);
/// let mut weight = Parameter::new(arr2(&[[1.0_f32, 1.0, 0.9]]));
/// weight.prune(Swaps::new(Wanda::new(2, moments.clone())?, moments))?;
/// assert_eq!(weight.value(), &arr2(&[[1.0, 0.0, 0.0]]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # References
///
/// The problem is that of *SparseSwaps* (2025), [arXiv 2512.10922](https://arxiv.org/abs/2512.10922); this greedy form is simpler.
#[derive(Debug, Clone, PartialEq)]
pub struct Swaps<M> {
    method: M,
    inputs: Inputs,
    steps: usize,
    within: Option<usize>,
}

impl<M> Swaps<M> {
    /// Returns the method that improves the masks of another one, by at most 100 swaps in each row.
    pub fn new(method: M, inputs: impl Into<Inputs>) -> Self {
        Self { method, inputs: inputs.into(), steps: 100, within: None }
    }

    /// Sets the largest number of swaps in a row.
    pub fn steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// Swaps only within groups of `of` consecutive entries of a row, so that a pattern such as 2:4 is kept. 0 counts as 1.
    pub fn within(self, of: usize) -> Self {
        Self { within: Some(of.max(1)), ..self }
    }

    /// The same with another method and other inputs.
    fn with<N>(&self, method: N, inputs: Inputs) -> Swaps<N> {
        Swaps { method, inputs, steps: self.steps, within: self.within }
    }

    /// Swaps entries of the mask of some rows, among those that remained before the method pruned.
    fn improve(&self, layer: &Layer, gram: ArrayView2<'_, f64>, mut kept: ArrayViewMut2<'_, bool>) {
        let pruned = Zip::from(&layer.weights).and(&kept).map_collect(|&w, &kept| if kept { 0.0 } else { w });
        let mut products = product(pruned.view(), gram);
        let diagonal = gram.diag();
        let rows = kept.axis_iter_mut(Axis(0)).zip(products.axis_iter_mut(Axis(0)));
        let rows = rows.zip(layer.weights.axis_iter(Axis(0))).zip(layer.remaining.axis_iter(Axis(0)));
        let rows: Vec<_> =
            rows.map(|(((kept, products), weights), may)| Row { kept, products, weights, may }).collect();
        let (steps, within) = (self.steps, self.within);
        let work = layer.weights.len().saturating_mul(steps);
        parallel::for_each(rows, work, |mut row| {
            let own: Array1<f64> = Zip::from(row.weights).and(diagonal).map_collect(|w, g| w * w * g);
            for _ in 0..steps {
                if !row.swap(gram, own.view(), within) {
                    break;
                }
            }
        });
    }
}

/// A row, and the products of its pruned entries with the Gram matrix.
struct Row<'r> {
    kept: ArrayViewMut1<'r, bool>,
    products: ArrayViewMut1<'r, f64>,
    weights: ArrayView1<'r, f64>,
    /// The entries that may be kept.
    may: ArrayView1<'r, bool>,
}

impl Row<'_> {
    /// Swaps the best pair, or returns `false` if no pair lowers the error.
    fn swap(&mut self, gram: ArrayView2<'_, f64>, own: ArrayView1<'_, f64>, within: Option<usize>) -> bool {
        let Self { kept, products, weights, may } = self;
        let back = |&column: &usize| !kept[column] && may[column];
        let gain = |column: usize| own[column] - 2.0 * weights[column] * products[column];
        let Some((back, gained)) = lowest((0..kept.len()).filter(back), gain) else { return false };
        let returned = weights[back];
        let from_back = gram.row(back);
        let same = |column: usize| within.is_none_or(|of| column / of == back / of);
        let candidates = (0..kept.len()).filter(|&column| (kept[column] || column == back) && same(column));
        let loss =
            |column: usize| own[column] + 2.0 * weights[column] * (products[column] - returned * from_back[column]);
        let Some((gone, lost)) = lowest(candidates, loss) else { return false };
        // Weights and sums are finite.
        if gone == back || gained + lost >= -1e-12 * lost.abs() {
            return false;
        }
        kept[back] = true;
        kept[gone] = false;
        let lost = weights[gone];
        Zip::from(products).and(from_back).and(gram.row(gone)).for_each(|sum, back, gone| {
            *sum = *sum - returned * back + lost * gone;
        });
        true
    }
}

/// The column of the lowest number, the first among equals.
fn lowest(columns: impl Iterator<Item = usize>, number: impl Fn(usize) -> f64) -> Option<(usize, f64)> {
    columns.map(|column| (column, number(column))).reduce(|best, next| if next.1 < best.1 { next } else { best })
}

impl<M: Describe> Describe for Swaps<M> {
    fn name(&self) -> &str {
        NAME
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Groups
    }
    fn options(&self) -> String {
        let Self { method, inputs, steps, within } = self;
        let within = within.map(|of| format!(" within={of}")).unwrap_or_default();
        format!("of={}({}) steps={steps}{within} {inputs}", method.name(), method.options())
    }
}

impl<A: Element, M: PruningMethod<A> + Clone + 'static> PruningMethod<A> for Swaps<M> {
    fn compute_mask(
        &self,
        scores: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError> {
        Layer::check(NAME, &scores)?;
        let mut kept = rows(&mask_by(&self.method, scores.view(), default_mask.view())?.view());
        let gram = self.inputs.gram(NAME, kept.ncols())?;
        let strips = scores.axis_chunks_iter(Axis(0), STRIP).zip(default_mask.axis_chunks_iter(Axis(0), STRIP));
        let strips: Vec<_> = strips.zip(kept.axis_chunks_iter_mut(Axis(0), STRIP)).collect();
        let work = scores.len().saturating_mul(self.steps);
        parallel::for_each(strips, work, |((scores, remaining), kept)| {
            let layer = Layer { weights: wide(&scores), remaining: rows(&remaining) };
            self.improve(&layer, gram.matrix.view(), kept);
        });
        Ok(in_shape(kept, scores.shape()))
    }
    fn for_tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Box<dyn PruningMethod<A>>>, PruneError> {
        let method = method_for(&self.method, name, shape)?;
        let inputs = self.inputs.for_tensor(NAME, name, shape, true)?.unwrap_or_else(|| self.inputs.clone());
        Ok(Some(Box::new(self.with(method, inputs))))
    }
    fn without_data(&self) -> Option<Box<dyn PruningMethod<A>>> {
        let method = self.method.without_data().unwrap_or_else(|| Box::new(self.method.clone()));
        Some(Box::new(self.with(method, self.inputs.dropped())))
    }
}
