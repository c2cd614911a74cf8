//! On all cores when it pays and the feature `rayon` is on, else in a plain loop. The results are the same.

/// From how many entries on other threads are woken: below, waking them takes longer than the work.
const FROM: usize = 1 << 17;

/// Calls `f` on every item, in no particular order. `entries` is the size of the work.
pub(crate) fn for_each<T: Send>(items: Vec<T>, entries: usize, f: impl Fn(T) + Send + Sync) {
    #[cfg(feature = "rayon")]
    if entries >= FROM {
        use rayon::prelude::*;
        return items.into_par_iter().for_each(f);
    }
    let _ = entries;
    items.into_iter().for_each(f);
}

/// The results of `f`, in the order of the items.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], entries: usize, f: impl Fn(&T) -> R + Send + Sync) -> Vec<R> {
    #[cfg(feature = "rayon")]
    if entries >= FROM {
        use rayon::prelude::*;
        return items.par_iter().map(f).collect();
    }
    let _ = entries;
    items.iter().map(f).collect()
}

/// Adds every item to an accumulator; `merge` joins the accumulators of two threads.
pub(crate) fn fold<T: Sync, R: Send>(
    items: &[T],
    entries: usize,
    zero: impl Fn() -> R + Send + Sync,
    add: impl Fn(R, &T) -> R + Send + Sync,
    merge: impl Fn(R, R) -> R + Send + Sync,
) -> R {
    #[cfg(feature = "rayon")]
    if entries >= FROM {
        use rayon::prelude::*;
        return items.par_iter().fold(&zero, add).reduce(&zero, merge);
    }
    let _ = (entries, merge);
    items.iter().fold(zero(), add)
}
