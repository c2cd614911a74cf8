//! Loops that run on all cores, if they are long enough and the feature `rayon` is on. The results are the same without.

/// The smallest number of entries for which other threads are woken. For fewer, waking them takes longer than the work.
#[cfg(feature = "rayon")]
const MIN_PARALLEL: usize = 1 << 17;

/// Returns whether other threads should help with `entries`. A pool of one thread would only add a hand-over.
#[cfg(feature = "rayon")]
fn is_worthwhile(entries: usize) -> bool {
    entries >= MIN_PARALLEL && rayon::current_num_threads() > 1
}

/// Drops a value of about `bytes` bytes on another thread, if it is large.
///
/// Returning the pages of a large array to the operating system takes a seventh of the time of cloning it, and `remove` has
/// nothing else to do.
pub(crate) fn drop_in_background<T: Send + 'static>(value: T, bytes: usize) {
    const LARGE: usize = 1 << 22;
    if bytes >= LARGE {
        // If no thread can be started, the closure is dropped here, and the value with it.
        let _ = std::thread::Builder::new().spawn(move || drop(value));
    }
}

/// Calls `f` with every item, in no particular order. `entries` is the size of the work.
pub(crate) fn for_each<T: Send>(items: Vec<T>, entries: usize, f: impl Fn(T) + Send + Sync) {
    #[cfg(feature = "rayon")]
    if is_worthwhile(entries) {
        use rayon::prelude::*;
        return items.into_par_iter().for_each(f);
    }
    let _ = entries;
    items.into_iter().for_each(f);
}

/// Calls `f` with the offset and the two parts of every stretch of `size` entries of two slices, in no particular order.
pub(crate) fn for_each_chunk<T: Send, U: Sync>(
    first: &mut [T],
    second: &[U],
    size: usize,
    f: impl Fn(usize, &mut [T], &[U]) + Send + Sync,
) {
    #[cfg(feature = "rayon")]
    if is_worthwhile(first.len()) {
        use rayon::prelude::*;
        let pairs = first.par_chunks_mut(size).zip(second.par_chunks(size)).enumerate();
        return pairs.for_each(|(i, (first, second))| f(i * size, first, second));
    }
    let pairs = first.chunks_mut(size).zip(second.chunks(size)).enumerate();
    pairs.for_each(|(i, (first, second))| f(i * size, first, second));
}

/// Returns the results of `f`, in the order of the items.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], entries: usize, f: impl Fn(&T) -> R + Send + Sync) -> Vec<R> {
    #[cfg(feature = "rayon")]
    if is_worthwhile(entries) {
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
    if is_worthwhile(entries) {
        use rayon::prelude::*;
        return items.par_iter().fold(&zero, add).reduce(&zero, merge);
    }
    let _ = (entries, merge);
    items.iter().fold(zero(), add)
}

/// The largest number of threads that read from a file. More are no faster, and each needs a buffer.
#[cfg(feature = "rayon")]
const MAX_READERS: usize = 16;

/// Calls `f` with the numbers below `count`.
///
/// Cores take the numbers in order, so that a file is read from its beginning to its end. After an error no call begins. Of
/// several errors, the one of the lowest number is returned.
pub(crate) fn try_each<E: Send>(
    count: usize,
    entries: usize,
    f: impl Fn(usize) -> Result<(), E> + Send + Sync,
) -> Result<(), E> {
    #[cfg(feature = "rayon")]
    if is_worthwhile(entries) && count > 1 {
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
        let workers = rayon::current_num_threads().min(count).min(MAX_READERS);
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

/// Returns the results of `f` for the numbers below `count`, in order; see [`try_each`].
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

/// Adds the numbers below `count` to one accumulator per thread and merges these; see [`try_each`].
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

/// Locks a mutex, also after a panic: the code under these locks leaves nothing half-done.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
#[cfg(feature = "rayon")]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::thread::ThreadId;

    use super::*;

    fn in_a_pool<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started").install(f)
    }

    #[test]
    fn other_threads_help_with_much_where_there_are_any() {
        assert!(in_a_pool(2, || is_worthwhile(MIN_PARALLEL) && !is_worthwhile(MIN_PARALLEL - 1) && !is_worthwhile(0)));
        assert!(in_a_pool(1, || !is_worthwhile(MIN_PARALLEL) && !is_worthwhile(usize::MAX)));
    }

    /// Returns whether two jobs run at the same time: one waits for the other.
    fn meet(count: usize, entries: usize) -> bool {
        let (sender, receiver) = std::sync::mpsc::channel();
        let receiver = Mutex::new(receiver);
        let run = |number: usize| match number {
            0 => lock(&receiver).recv_timeout(std::time::Duration::from_secs(60)).map_err(drop),
            _ => sender.send(()).map_err(drop),
        };
        in_a_pool(2, || try_each(count, entries, run)).is_ok()
    }

    #[test]
    fn jobs_of_much_work_run_side_by_side() {
        assert!(meet(2, MIN_PARALLEL));
        assert!(meet(9, usize::MAX));
    }

    #[test]
    fn jobs_of_little_work_run_one_after_the_other() {
        let order = Mutex::new(Vec::new());
        let run = |number| -> Result<(), ()> {
            lock(&order).push((number, std::thread::current().id()));
            Ok(())
        };
        assert_eq!(try_each(100, MIN_PARALLEL - 1, run), Ok(()));
        let here = std::thread::current().id();
        assert!(lock(&order).iter().copied().eq((0..100).map(|number| (number, here))));
    }

    #[test]
    fn of_several_errors_the_first_one_counts_and_nothing_begins_after_it() {
        for entries in [0, usize::MAX] {
            let begun = Mutex::new(Vec::new());
            let run = |number: usize| {
                lock(&begun).push(number);
                if number < 3 { Ok(()) } else { Err(number) }
            };
            assert_eq!(in_a_pool(2, || try_each(1000, entries, run)), Err(3));
            // The other thread may be at work already.
            assert!(lock(&begun).iter().all(|&number| number <= 4));
        }
    }

    #[test]
    fn results_come_in_order_and_sums_are_complete() {
        for entries in [0, usize::MAX] {
            let squares: Result<Vec<usize>, ()> = in_a_pool(2, || try_map(1000, entries, |number| Ok(number * number)));
            assert_eq!(squares, Ok((0..1000).map(|number| number * number).collect()));
            let sum: Result<usize, ()> =
                in_a_pool(2, || try_fold(1000, entries, || 0, |sum, number| Ok(sum + number), |a, b| a + b));
            assert_eq!(sum, Ok(499_500));
        }
    }

    /// Remembers which thread dropped it.
    struct Dropped(Arc<Mutex<Option<ThreadId>>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            *lock(&self.0) = Some(std::thread::current().id());
        }
    }

    #[test]
    fn only_what_is_large_is_dropped_elsewhere() {
        for (bytes, elsewhere) in [(0, false), ((1 << 22) - 1, false), (1 << 22, true), (usize::MAX, true)] {
            let dropped = Arc::new(Mutex::new(None));
            drop_in_background(Dropped(Arc::clone(&dropped)), bytes);
            let thread = loop {
                if let Some(thread) = *lock(&dropped) {
                    break thread;
                }
                std::thread::yield_now();
            };
            assert_eq!(thread != std::thread::current().id(), elsewhere, "{bytes} bytes");
        }
    }
}
