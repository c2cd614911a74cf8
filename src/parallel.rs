//! On all cores when it pays and the feature `rayon` is on, else in a plain loop. The results are the same.

/// From how many entries on other threads are woken: below, waking them takes longer than the work.
#[cfg(feature = "rayon")]
const FROM: usize = 1 << 17;

/// Whether other threads should help with so many entries. A pool of one thread would only add the handing over.
#[cfg(feature = "rayon")]
fn pays(entries: usize) -> bool {
    entries >= FROM && rayon::current_num_threads() > 1
}

/// Drops something that holds about so many bytes without waiting for it.
///
/// Giving the pages of a large array back to the operating system takes a seventh of the time that cloning it takes, and
/// `remove` has nothing else to do.
pub(crate) fn drop_in_background<T: Send + 'static>(value: T, bytes: usize) {
    const LARGE: usize = 1 << 22;
    if bytes >= LARGE {
        // Where no thread can be started, the closure is dropped here and now, and the value with it.
        let _ = std::thread::Builder::new().spawn(move || drop(value));
    }
}

/// Calls `f` on every item, in no particular order. `entries` is the size of the work.
pub(crate) fn for_each<T: Send>(items: Vec<T>, entries: usize, f: impl Fn(T) + Send + Sync) {
    #[cfg(feature = "rayon")]
    if pays(entries) {
        use rayon::prelude::*;
        return items.into_par_iter().for_each(f);
    }
    let _ = entries;
    items.into_iter().for_each(f);
}

/// Calls `f` on stretches of `size` entries of two slices and on the offset of each, in no particular order.
pub(crate) fn for_each_chunk<T: Send, U: Sync>(
    left: &mut [T],
    right: &[U],
    size: usize,
    f: impl Fn(usize, &mut [T], &[U]) + Send + Sync,
) {
    #[cfg(feature = "rayon")]
    if pays(left.len()) {
        use rayon::prelude::*;
        let pairs = left.par_chunks_mut(size).zip(right.par_chunks(size)).enumerate();
        return pairs.for_each(|(i, (left, right))| f(i * size, left, right));
    }
    let pairs = left.chunks_mut(size).zip(right.chunks(size)).enumerate();
    pairs.for_each(|(i, (left, right))| f(i * size, left, right));
}

/// The results of `f`, in the order of the items.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], entries: usize, f: impl Fn(&T) -> R + Send + Sync) -> Vec<R> {
    #[cfg(feature = "rayon")]
    if pays(entries) {
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
    if pays(entries) {
        use rayon::prelude::*;
        return items.par_iter().fold(&zero, add).reduce(&zero, merge);
    }
    let _ = (entries, merge);
    items.iter().fold(zero(), add)
}

/// The most threads that read from a file at a time: more are no faster, and each needs memory for what it reads.
#[cfg(feature = "rayon")]
const READERS: usize = 16;

/// Calls `f` on the numbers below `count`: on many cores, but handed out in order, so that a file is read from its beginning
/// to its end. Of several errors the one of the lowest number is returned, and nothing is begun after an error.
pub(crate) fn try_each<E: Send>(
    count: usize,
    entries: usize,
    f: impl Fn(usize) -> Result<(), E> + Send + Sync,
) -> Result<(), E> {
    #[cfg(feature = "rayon")]
    if pays(entries) && count > 1 {
        use std::sync::Mutex;
        use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let errors = Mutex::new(Vec::new());
        let worker = || {
            while !failed.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    break;
                }
                if let Err(error) = f(number) {
                    failed.store(true, Ordering::Relaxed);
                    lock(&errors).push((number, error));
                }
            }
        };
        let workers = rayon::current_num_threads().min(count).min(READERS);
        rayon::scope(|scope| (0..workers).for_each(|_| scope.spawn(|_| worker())));
        let errors = errors.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        return match errors.into_iter().min_by_key(|&(number, _)| number) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        };
    }
    let _ = entries;
    (0..count).try_for_each(f)
}

/// The results of `f` on the numbers below `count`, in their order; see [`try_each`].
pub(crate) fn try_map<R: Send, E: Send>(
    count: usize,
    entries: usize,
    f: impl Fn(usize) -> Result<R, E> + Send + Sync,
) -> Result<Vec<R>, E> {
    let results = std::sync::Mutex::new(Vec::with_capacity(count));
    try_each(count, entries, |number| {
        let result = f(number)?;
        lock(&results).push((number, result));
        Ok(())
    })?;
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_unstable_by_key(|&(number, _)| number);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// Adds the numbers below `count` to accumulators, of which there are as many as threads; see [`try_each`].
pub(crate) fn try_fold<R: Send, E: Send>(
    count: usize,
    entries: usize,
    zero: impl Fn() -> R + Send + Sync,
    add: impl Fn(R, usize) -> Result<R, E> + Send + Sync,
    merge: impl Fn(R, R) -> R,
) -> Result<R, E> {
    let sums = std::sync::Mutex::new(Vec::new());
    try_each(count, entries, |number| {
        let sum = lock(&sums).pop();
        let sum = add(sum.unwrap_or_else(&zero), number)?;
        lock(&sums).push(sum);
        Ok(())
    })?;
    let sums = sums.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(sums.into_iter().reduce(merge).unwrap_or_else(zero))
}

/// A panic elsewhere leaves nothing half-done behind these locks.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
