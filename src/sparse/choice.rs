//! The choice of a form, from the break-even densities that `benches/sparse` measures.

use std::fmt;

use crate::element::Element;
use crate::sparse::packed::Packed;
use crate::sparse::prepared::Form;
use crate::sparse::rows::fraction_in_columns;

/// The form of a prepared weight, and the reason for it. Displays as a sentence.
///
/// ```
/// use prune::sparse::Packed;
///
/// let weight = ndarray::Array2::<f32>::eye(1000);
/// let choice = *Packed::from_array(&weight).prepare(32).choice();
/// assert_eq!(choice.to_string(), "rows in panels of 256 columns: at batch 32, a density of 0.001 is below the break-even of 0.7");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// The form.
    pub form: Form,
    /// The fraction of entries that are kept.
    pub density: f64,
    /// The reason.
    pub reason: Reason,
}

/// The reason for a form.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The form was given by the caller.
    Caller,
    /// The density was compared with the highest one at which a sparse product is faster than a dense one.
    Density {
        /// The number of inputs that are multiplied at once.
        batch: usize,
        /// The highest such density, as measured for weights of this type and size.
        break_even: f64,
    },
}

impl Choice {
    pub(super) fn of_caller(form: Form, density: f64) -> Self {
        Self { form, density, reason: Reason::Caller }
    }
}

/// Dense weights up to this size stay in a cache, where a product with one input does not wait for memory.
const CACHED: usize = 1 << 22;

/// The smallest fraction of kept entries in columns of four neighbouring rows for which blocks are chosen.
const MIN_IN_COLUMNS: f64 = 0.9;

/// Chooses the form for elements of `size` bytes.
pub(super) fn choose<A: Element>(size: usize, packed: &Packed<A>, batch: usize) -> Choice {
    let density = packed.density();
    let is_cached = packed.entries() * size <= CACHED;
    // Half precisions are widened in each dense product, so that it takes longer.
    let is_half = size < size_of::<f32>();
    if fraction_in_columns(packed) >= MIN_IN_COLUMNS {
        let break_even = if batch <= 4 && is_cached { 0.55 } else { 0.8 };
        let form = if density > break_even { Form::Dense } else { Form::Blocks };
        return Choice { form, density, reason: Reason::Density { batch, break_even } };
    }
    let break_even = match (batch, is_cached) {
        (0..=4, true) => 0.3,
        (0..=4, false) if is_half => 0.7,
        (0..=4, false) => 0.55,
        (5..=63, _) => 0.7,
        (_, _) if is_half => 0.7,
        (_, _) => 0.6,
    };
    let form = match batch {
        _ if density > break_even => Form::Dense,
        0..=4 => Form::Rows1024,
        5..=15 if density <= 0.15 => Form::Rows1024,
        5..=15 => Form::Rows256,
        _ if density <= 0.1 => Form::Rows256,
        _ => Form::Rows128,
    };
    Choice { form, density, reason: Reason::Density { batch, break_even } }
}

/// The form and the reason: `dense: at batch 1, a density of 0.5 is above the break-even of 0.4`.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { form, density, reason } = self;
        match reason {
            Reason::Caller => write!(f, "{form}: as requested"),
            Reason::Density { batch, break_even } => {
                let side = if density > break_even { "above" } else { "below" };
                // Three digits, without trailing zeros.
                let density = (density * 1e3).round() / 1e3;
                write!(f, "{form}: at batch {batch}, a density of {density} is {side} the break-even of {break_even}")
            }
        }
    }
}
