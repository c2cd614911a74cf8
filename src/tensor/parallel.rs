//! Loops that run on all cores, if they are long enough and the feature `rayon` is on. The results are the same without.
//!
//! A loop is known as a `dyn Fn` where threads are started, so that this code is compiled once. Generic, it was compiled for some
//! two hundred loops, and took a fifth of the time of a build. A call of a loop is for a chunk, and so costs nothing.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The smallest number of entries for which other threads are woken. For fewer, waking them takes longer than the work.
const MIN_PARALLEL: usize = 1 << 18;

/// The largest number of threads that read from a file. More are no faster, and each needs a buffer.
const MAX_READERS: usize = 16;

/// The number of threads that there are.
pub(crate) fn threads() -> usize {
    #[cfg(feature = "rayon")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "rayon"))]
    1
}

/// The number of threads for a loop of `count` calls, of which the work is `entries`.
fn threads_for(count: usize, entries: usize) -> usize {
    if entries >= MIN_PARALLEL && count > 1 { threads().min(count) } else { 1 }
}

/// Calls `f` with the numbers below `count` until it breaks. Threads take the numbers in order. One of them is the caller's,
/// which begins before the others are awake.
fn run(count: usize, threads: usize, f: &(dyn Fn(usize) -> ControlFlow<()> + Sync)) {
    #[cfg(feature = "rayon")]
    if threads > 1 {
        use std::sync::atomic::{AtomicUsize, Ordering};

        let next = AtomicUsize::new(0);
        let worker = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    break;
                }
                if f(number).is_break() {
                    next.store(count, Ordering::Relaxed);
                }
            }
        };
        return rayon::in_place_scope(|scope| {
            (1..threads).for_each(|_| scope.spawn(|_| worker()));
            worker();
        });
    }
    let _ = threads;
    let _ = (0..count).try_for_each(f);
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
pub(crate) fn for_each<T: Send>(items: Vec<T>, entries: usize, f: impl Fn(T) + Sync) {
    share(items.into_iter(), entries, &f);
}

/// Calls `f` with the offset and the two parts of every stretch of `size` entries of two slices, in no particular order.
pub(crate) fn for_each_chunk<T: Send, U: Sync>(
    first: &mut [T],
    second: &[U],
    size: usize,
    f: impl Fn(usize, &mut [T], &[U]) + Sync,
) {
    let entries = first.len();
    let parts = first.chunks_mut(size).zip(second.chunks(size)).enumerate();
    share(parts, entries, &|(i, (first, second))| f(i * size, first, second));
}

/// Threads take one item after the other.
fn share<I: ExactSizeIterator + Send>(items: I, entries: usize, f: &(dyn Fn(I::Item) + Sync)) {
    let count = items.len();
    let threads = threads_for(count, entries);
    if threads == 1 {
        return items.for_each(f);
    }
    let items = Mutex::new(items);
    run(count, threads, &|_| {
        // The lock is not held while `f` runs.
        let item = lock(&items).next();
        item.into_iter().for_each(f);
        ControlFlow::Continue(())
    });
}

/// Returns the results of `f`, in the order of the items.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], entries: usize, f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let f: &(dyn Fn(&T) -> R + Sync) = &f;
    let threads = threads_for(items.len(), entries);
    if threads == 1 {
        return items.iter().map(f).collect();
    }
    let results = Results::new(items.len());
    run(items.len(), threads, &|number| {
        results.set(number, f(&items[number]));
        ControlFlow::Continue(())
    });
    results.in_order()
}

/// Adds every item to an accumulator for each thread; `merge` joins these, in no particular order.
pub(crate) fn fold<T: Sync, R: Send>(
    items: &[T],
    entries: usize,
    zero: impl Fn() -> R + Sync,
    add: impl Fn(R, &T) -> R + Sync,
    merge: impl Fn(R, R) -> R,
) -> R {
    let threads = threads_for(items.len(), entries);
    match fold_on(items.len(), threads, &zero, &|sum, number| Ok::<R, Infallible>(add(sum, &items[number])), &merge) {
        Ok(sum) => sum,
        Err(never) => match never {},
    }
}

/// Calls `f` with the numbers below `count`.
///
/// Cores take the numbers in order, so that a file is read from its beginning to its end. After an error no call begins. Of
/// several errors, the one of the lowest number is returned.
pub(crate) fn try_each<E: Send>(
    count: usize,
    entries: usize,
    f: impl Fn(usize) -> Result<(), E> + Sync,
) -> Result<(), E> {
    try_each_on(count, threads_for(count, entries).min(MAX_READERS), &f)
}

fn try_each_on<E: Send>(count: usize, threads: usize, f: &(dyn Fn(usize) -> Result<(), E> + Sync)) -> Result<(), E> {
    let first = Mutex::new(None);
    run(count, threads, &|number| match f(number) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            let mut first = lock(&first);
            if first.as_ref().is_none_or(|&(other, _)| number < other) {
                *first = Some((number, error));
            }
            ControlFlow::Break(())
        }
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), |(_, error)| Err(error))
}

/// Returns the results of `f` for the numbers below `count`, in order; see [`try_each`].
pub(crate) fn try_map<R: Send, E: Send>(
    count: usize,
    entries: usize,
    f: impl Fn(usize) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let results = Results::new(count);
    try_each(count, entries, |number| {
        results.set(number, f(number)?);
        Ok(())
    })?;
    Ok(results.in_order())
}

/// Adds the numbers below `count` to one accumulator per thread and merges these; see [`try_each`].
pub(crate) fn try_fold<R: Send, E: Send>(
    count: usize,
    entries: usize,
    zero: impl Fn() -> R + Sync,
    add: impl Fn(R, usize) -> Result<R, E> + Sync,
    merge: impl Fn(R, R) -> R,
) -> Result<R, E> {
    fold_on(count, threads_for(count, entries).min(MAX_READERS), &zero, &add, &merge)
}

fn fold_on<R: Send, E: Send>(
    count: usize,
    threads: usize,
    zero: &(dyn Fn() -> R + Sync),
    add: &(dyn Fn(R, usize) -> Result<R, E> + Sync),
    merge: &dyn Fn(R, R) -> R,
) -> Result<R, E> {
    let sums = Mutex::new(Vec::new());
    try_each_on(count, threads, &|number| {
        let sum = lock(&sums).pop();
        let sum = add(sum.unwrap_or_else(zero), number)?;
        lock(&sums).push(sum);
        Ok(())
    })?;
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(sums.into_iter().reduce(merge).unwrap_or_else(zero))
}

/// The results of the calls of a loop, by their numbers.
struct Results<R>(Mutex<Vec<Option<R>>>);

impl<R> Results<R> {
    fn new(count: usize) -> Self {
        Self(Mutex::new((0..count).map(|_| None).collect()))
    }

    fn set(&self, number: usize, result: R) {
        lock(&self.0)[number] = Some(result);
    }

    /// Every call has returned by now, so none is missing.
    fn in_order(self) -> Vec<R> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect()
    }
}

/// Locks a mutex, also after a panic: the code under these locks leaves nothing half-done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[cfg(feature = "rayon")]
mod tests {
    use std::sync::Arc;
    use std::thread::ThreadId;

    use super::*;

    fn in_a_pool<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started").install(f)
    }

    #[test]
    fn other_threads_help_with_much_where_there_are_any() {
        let found = |threads, count, entries| in_a_pool(threads, || threads_for(count, entries));
        assert_eq!([MIN_PARALLEL, MIN_PARALLEL - 1, 0].map(|entries| found(3, 9, entries)), [3, 1, 1]);
        assert_eq!([2, 1, 0].map(|count| found(3, count, MIN_PARALLEL)), [2, 1, 1]);
        assert_eq!([MIN_PARALLEL, usize::MAX].map(|entries| found(1, 9, entries)), [1, 1]);
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
