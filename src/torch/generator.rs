//! PyTorch's random generator, as a handle on its stream.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ndarray::{Array, ArrayD, IntoDimension};
use rand_mt::Mt;

use crate::element::{Element, Uniform};

/// PyTorch's CPU generator: the same seed gives the same numbers, bit for bit.
///
/// Like a [`torch.Generator`] it is a shared handle: a clone refers to the *same* stream, and each draw through any handle takes
/// the numbers that follow. Threads may share a generator; a draw of many values is never interleaved with another.
///
/// ```
/// use ndarray::{ArrayD, array};
/// use prune::torch::Generator;
///
/// let generator = Generator::manual_seed(888);
/// assert_eq!(generator.rand::<f32>(2), array![0.04751575, 0.69347537].into_dyn()); // torch.manual_seed(888); torch.rand(2)
///
/// // The element type may be inferred.
/// let uniform: ArrayD<f64> = generator.uniform((2, 3), -1.0, 1.0);
/// assert_eq!(uniform.shape(), [2, 3]);
/// ```
///
/// The [module](super) lists the versions of PyTorch that this holds for.
///
/// [`torch.Generator`]: https://docs.pytorch.org/docs/stable/generated/torch.Generator.html
#[derive(Clone)]
pub struct Generator {
    words: Arc<Mutex<Mt>>,
}

/// Two handles are equal if they share one stream.
impl PartialEq for Generator {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.words, &other.words)
    }
}

impl Generator {
    /// The address of the shared stream, which tells handles on different streams apart.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.words).addr()
    }

    /// Creates a stream at its start, as after [`torch.manual_seed(seed)`](https://docs.pytorch.org/docs/stable/generated/torch.manual_seed.html).
    ///
    /// As in PyTorch, only the low 32 bits of the seed count. The seed -1 of Python is `-1_i64 as u64`.
    ///
    /// ```
    /// use prune::torch::Generator;
    ///
    /// let first = |seed| Generator::manual_seed(seed).rand::<f32>(4);
    /// assert_eq!(first(5), first((1 << 32) + 5));
    /// assert_ne!(first(5), first(6));
    /// ```
    #[must_use]
    pub fn manual_seed(seed: u64) -> Self {
        Self { words: Arc::new(Mutex::new(Mt::new(seed as u32))) }
    }

    /// Draws values from `[0, 1)` into an array of the given shape, row by row, like [`torch.rand`].
    ///
    /// A value takes one word of the stream, an `f64` takes two, and an empty array takes none.
    ///
    /// ```
    /// use half::bf16;
    /// use prune::torch::Generator;
    ///
    /// let generator = Generator::manual_seed(0);
    /// let x = generator.rand::<bf16>((2, 3)); // torch.rand(2, 3, dtype=torch.bfloat16)
    /// assert_eq!(x[[0, 0]], bf16::from_f32(0.49609375));
    /// ```
    ///
    /// # Panics
    ///
    /// Like every constructor of [`Array`], if the product of the non-zero axis lengths exceeds [`isize::MAX`].
    ///
    /// [`torch.rand`]: https://docs.pytorch.org/docs/stable/generated/torch.rand.html
    pub fn rand<A: Element>(&self, shape: impl IntoDimension) -> ArrayD<A> {
        self.fill(shape, A::unit).into_dyn()
    }

    /// Draws values from `[low, high)` into an array of the given shape, row by row, like
    /// [`torch.empty(shape).uniform_(low, high)`].
    ///
    /// The bounds are first rounded to the element type (to `f32` for half precisions). The draw takes as many words of the
    /// stream as [`rand`](Self::rand).
    ///
    /// PyTorch raises an exception for bounds that are no interval: `low > high`, NaN, or bounds or a width beyond the range of
    /// the element type. This function computes `low + u * (high - low)` for a `u` in `[0, 1)` all the same. For `low > high`
    /// the value lies between the bounds. For bounds that are not finite it may be NaN or infinite.
    ///
    /// ```
    /// use ndarray::array;
    /// use prune::torch::Generator;
    ///
    /// let generator = Generator::manual_seed(888);
    /// assert_eq!(generator.uniform::<f32>(2, -0.5, 0.5), array![-0.45248425, 0.19347537].into_dyn());
    /// ```
    ///
    /// # Panics
    ///
    /// Like every constructor of [`Array`], if the product of the non-zero axis lengths exceeds [`isize::MAX`].
    ///
    /// [`torch.empty(shape).uniform_(low, high)`]: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.uniform_.html
    pub fn uniform<A: Element>(&self, shape: impl IntoDimension, low: f64, high: f64) -> ArrayD<A> {
        self.fill(shape, A::between(low, high)).into_dyn()
    }

    /// Draws the next `n` values of `[0, 1)`.
    pub(crate) fn draw<A: Uniform>(&self, n: usize) -> Vec<A> {
        let mut words = self.lock();
        (0..n).map(|_| A::unit(&mut words)).collect()
    }

    /// Fills an array of the given shape with the next values, row by row.
    pub(super) fn fill<A, Sh: IntoDimension>(&self, shape: Sh, next: impl Fn(&mut Mt) -> A) -> Array<A, Sh::Dim> {
        let mut words = self.lock();
        Array::from_shape_simple_fn(shape.into_dimension(), || next(&mut words))
    }

    /// Locks the stream, also after a panic: a draw that panics stops between two words, so the stream is still valid.
    fn lock(&self) -> MutexGuard<'_, Mt> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Generator {
    /// Omits the state of 624 words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{RefUnwindSafe, UnwindSafe};

    use half::{bf16, f16};

    use super::*;

    #[test]
    fn only_the_low_32_bits_of_a_seed_count() {
        let start = |seed| Generator::manual_seed(seed).draw::<f64>(5);
        assert_eq!(start((1 << 32) + 5), start(5));
        assert_eq!(start(u64::MAX), start(u64::from(u32::MAX)));
        assert_ne!(start(5), start(6));
    }

    #[test]
    fn its_state_is_not_shown() {
        assert_eq!(format!("{:?}", Generator::manual_seed(1)), "Generator { .. }");
    }

    #[test]
    fn clones_share_the_stream() {
        let generator = Generator::manual_seed(1);
        let clone = generator.clone();
        let turns: Vec<f32> = [generator.draw(2), clone.draw(1), generator.draw(1)].concat();
        assert_eq!(turns, Generator::manual_seed(1).draw::<f32>(4));
    }

    #[test]
    fn a_value_takes_one_word_and_an_f64_two() {
        fn words_taken<A: Element>(values: usize) -> Option<usize> {
            let generator = Generator::manual_seed(2);
            generator.rand::<A>(values);
            let next = generator.draw::<f32>(1);
            Generator::manual_seed(2).draw::<f32>(20).iter().position(|&word| word == next[0])
        }
        assert_eq!(words_taken::<f32>(7), Some(7));
        assert_eq!(words_taken::<f64>(7), Some(14));
        assert_eq!(words_taken::<f16>(7), Some(7));
        assert_eq!(words_taken::<bf16>(7), Some(7));
        assert_eq!(words_taken::<f64>(0), Some(0));
    }

    #[test]
    fn an_array_is_filled_row_by_row() {
        let flat = Generator::manual_seed(3).draw::<f32>(6);
        let array = Generator::manual_seed(3).rand::<f32>((2, 3));
        assert_eq!(array.into_raw_vec_and_offset().0, flat);
    }

    #[test]
    fn odd_bounds_do_not_panic() {
        let generator = Generator::manual_seed(4);
        let odd = [(1.0, 0.0), (0.0, f64::NAN), (f64::NEG_INFINITY, f64::INFINITY), (-1e308, 1e308)];
        for (low, high) in odd {
            assert_eq!(generator.uniform::<f32>(3, low, high).len(), 3);
            assert_eq!(generator.uniform::<f16>(3, low, high).len(), 3);
        }
        assert!(generator.uniform::<f64>(9, 1.0, 0.0).iter().all(|&x| 0.0 < x && x <= 1.0));
    }

    #[test]
    fn a_handle_survives_a_panic_elsewhere() {
        let generator = Generator::manual_seed(5);
        let clone = generator.clone();
        let panicked = std::thread::spawn(move || {
            let _held = clone.lock();
            panic!("while the lock is held");
        });
        assert!(panicked.join().is_err());
        assert_eq!(generator.draw::<f32>(2), Generator::manual_seed(5).draw::<f32>(2));
    }

    #[test]
    fn is_send_sync_and_unwind_safe() {
        fn check<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}
        check::<Generator>();
    }
}
