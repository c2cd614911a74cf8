//! PyTorch's choice among equal keys.
//!
//! `torch.topk` promises no order among equal values, yet on one platform its choice is deterministic, and so are the masks
//! made with it. The choice follows from the moves that the standard library of GCC makes with equal keys. Only the same moves
//! reproduce it: a heap for a small k, otherwise a quickselect that falls back to a heap if its pivots are bad.
//! Both are known algorithms that select the k first; only their moves for equal keys are special.

use num_traits::AsPrimitive;

/// A key in the selection, with its original index.
#[derive(Clone, Copy)]
struct Entry<K, I> {
    key: K,
    index: I,
}

impl<K: Ord, I> Entry<K, I> {
    /// Compares keys only. Ties are never broken, which is why the moves matter.
    fn before(&self, other: &Self) -> bool {
        self.key < other.key
    }
}

/// Marks the `k` first of `keys` in ascending order; of equal keys, those that PyTorch 2.15 selects on x86-64 Linux.
///
/// Takes linear time on average, `O(n log n)` at worst. A `k` beyond `keys.len()` marks all.
pub(crate) fn first_k<K: Ord + Copy>(keys: &[K], k: usize) -> Vec<bool> {
    // An entry of a narrow key and a u32 is half as large as one with a usize, and almost every tensor can have it.
    match u32::try_from(keys.len()) {
        Ok(n) => mark_first(keys, 0..n, k),
        Err(_) => mark_first(keys, 0..keys.len(), k),
    }
}

fn mark_first<K, I>(keys: &[K], indices: impl Iterator<Item = I>, k: usize) -> Vec<bool>
where
    K: Ord + Copy,
    I: AsPrimitive<usize>,
{
    let n = keys.len();
    if k == 0 || k >= n {
        return vec![k != 0; n];
    }

    let mut entries = keys.iter().zip(indices).map(|(&key, index)| Entry { key, index });
    let selected = if k <= n / 64 {
        let mut heap: Vec<_> = entries.by_ref().take(k).collect();
        heap_select(&mut heap, entries);
        heap
    } else {
        let mut all: Vec<_> = entries.collect();
        quickselect(&mut all, k - 1);
        all.truncate(k);
        all
    };

    let mut first = vec![false; n];
    for entry in selected {
        first[entry.index.as_()] = true;
    }
    first
}

/// Moves entries until `entries[..=target]` are the first ones. Entries behind `target` are in no order.
fn quickselect<K: Ord + Copy, I: Copy>(entries: &mut [Entry<K, I>], mut target: usize) {
    let mut rounds_left = 2 * entries.len().ilog2();
    let mut window = entries;
    while window.len() > 3 {
        if rounds_left == 0 {
            let (heap, rest) = window.split_at_mut(target + 1);
            return heap_select(heap, rest.iter().copied());
        }
        rounds_left -= 1;

        let middle = partition(window);
        if middle <= target {
            window = &mut window[middle..];
            target -= middle;
        } else {
            window = &mut window[..middle];
        }
    }
    // The sort is stable, so equal keys keep their order.
    window.sort_by_key(|entry| entry.key);
}

/// The number of entries that [`swap_blocks`] compares at once: an index in a block fits in a byte.
const BLOCK: usize = 128;

/// Splits a window of more than three entries: none from the returned index on comes before one in front of it.
///
/// Both scans stop at keys equal to the pivot, and equal keys are swapped. Neither scan can leave the window, since the
/// median of three has an entry on either side of it that is not beyond it.
fn partition<K: Ord + Copy, I: Copy>(window: &mut [Entry<K, I>]) -> usize {
    window.swap(0, median_of_three(window));
    let pivot = window[0];
    let (mut left, mut right) = (1, window.len());
    while right - left >= 2 * BLOCK {
        let (from_left, from_right) = swap_blocks(&mut window[left..right], pivot);
        (left, right) = (left + from_left, right - from_right);
    }
    loop {
        while window[left].before(&pivot) {
            left += 1;
        }
        right -= 1;
        while pivot.before(&window[right]) {
            right -= 1;
        }
        if left >= right {
            return left;
        }
        window.swap(left, right);
        left += 1;
    }
}

/// Makes the swaps of both scans as far as a block at each end of the window allows, and returns how far the scans have come.
///
/// The n-th entry at which the left scan stops is swapped with the n-th of the right one. So the stops can be listed before
/// anything is swapped, without a branch that depends on a key. Such branches, which no processor can foresee, take most of the
/// time of the scans. *BlockQuicksort* (2016), <https://arxiv.org/abs/1604.06697>.
fn swap_blocks<K: Ord + Copy, I: Copy>(window: &mut [Entry<K, I>], pivot: Entry<K, I>) -> (usize, usize) {
    let last = window.len() - 1;
    let (lefts, left_count) = stops(|i| !window[i].before(&pivot));
    let (rights, right_count) = stops(|i| !pivot.before(&window[last - i]));
    let swaps = left_count.min(right_count);
    for (&left, &right) in lefts[..swaps].iter().zip(&rights[..swaps]) {
        window.swap(usize::from(left), last - usize::from(right));
    }
    // A scan stands in front of its next stop or, after the last one, behind the block.
    let come = |stops: [u8; BLOCK], count| if swaps < count { usize::from(stops[swaps]) } else { BLOCK };
    (come(lefts, left_count), come(rights, right_count))
}

/// Lists the entries of a block at which a scan stops, and counts them.
#[inline(always)]
fn stops(is_stop: impl Fn(usize) -> bool) -> ([u8; BLOCK], usize) {
    let (mut stops, mut count) = ([0; BLOCK], 0);
    for i in 0..BLOCK {
        stops[count] = i as u8;
        count += usize::from(is_stop(i));
    }
    (stops, count)
}

/// Returns the index of the median of the second entry, the middle one and the last. The first is left for the pivot.
fn median_of_three<K: Ord, I>(window: &[Entry<K, I>]) -> usize {
    let (a, b, c) = (1, window.len() / 2, window.len() - 1);
    let before = |x: usize, y: usize| window[x].before(&window[y]);
    // Spelled out, because with equal keys more than one of the three is a median.
    if before(a, b) {
        if before(b, c) {
            b
        } else if before(a, c) {
            c
        } else {
            a
        }
    } else if before(a, c) {
        a
    } else if before(b, c) {
        c
    } else {
        b
    }
}

/// Keeps in `heap` the first entries among its own and those of `rest`.
fn heap_select<K: Ord + Copy, I: Copy>(heap: &mut [Entry<K, I>], rest: impl Iterator<Item = Entry<K, I>>) {
    for root in (0..heap.len() / 2).rev() {
        sift(heap, root, heap[root]);
    }
    for entry in rest {
        // The last of the kept entries is on top.
        if entry.before(&heap[0]) {
            sift(heap, 0, entry);
        }
    }
}

/// Puts `entry` into the heap under `root`, replacing the entry at `root`.
///
/// The hole goes down to a leaf first, whatever the entry, and the entry then rises from there. The usual way, which stops
/// going down where the entry fits, would put equal keys elsewhere.
fn sift<K: Ord + Copy, I: Copy>(heap: &mut [Entry<K, I>], root: usize, entry: Entry<K, I>) {
    let mut hole = root;
    loop {
        let (left, right) = (2 * hole + 1, 2 * hole + 2);
        let child = if right < heap.len() {
            if heap[right].before(&heap[left]) { left } else { right }
        } else if left < heap.len() {
            left
        } else {
            break;
        };
        heap[hole] = heap[child];
        hole = child;
    }
    while hole > root {
        let parent = (hole - 1) / 2;
        if !heap[parent].before(&entry) {
            break;
        }
        heap[hole] = heap[parent];
        hole = parent;
    }
    heap[hole] = entry;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(keys: &[u16], k: usize) -> Vec<usize> {
        let first = first_k(keys, k);
        (0..keys.len()).filter(|&i| first[i]).collect()
    }

    /// Observed in PyTorch 2.15.
    #[test]
    fn all_keys_equal() {
        assert_eq!(selected(&[7; 4], 1), [2]);
        assert_eq!(selected(&[7; 4], 2), [2, 3]);
        assert_eq!(selected(&[7; 4], 3), [0, 2, 3]);
        assert_eq!(selected(&[7; 10], 3), [6, 7, 8]);
        // Few enough for the heap.
        assert_eq!(selected(&[7; 64], 1), [0]);
        assert_eq!(selected(&[7; 128], 2), [0, 1]);
    }

    #[test]
    fn none_and_all() {
        assert!(selected(&[], 0).is_empty());
        assert!(selected(&[], 1).is_empty());
        assert!(selected(&[7; 3], 0).is_empty());
        assert_eq!(selected(&[7; 3], 3), [0, 1, 2]);
        assert_eq!(selected(&[7; 3], usize::MAX), [0, 1, 2]);
    }

    /// The splits and the moves of blocks are those of two scans, for any number of ties.
    #[test]
    fn blocks_move_as_single_entries_do() {
        fn by_single_entries(window: &mut [Entry<u32, usize>]) -> usize {
            window.swap(0, median_of_three(window));
            let pivot = window[0];
            let (mut left, mut right) = (1, window.len());
            loop {
                left += window[left..].iter().position(|entry| !entry.before(&pivot)).unwrap();
                right = window[..right].iter().rposition(|entry| !pivot.before(entry)).unwrap();
                if left >= right {
                    return left;
                }
                window.swap(left, right);
                left += 1;
            }
        }
        for n in [4, 200, 255, 256, 257, 258, 259, 500, 1000, 3001] {
            for distinct in [1, 2, 3, 10, 1000, 100_000] {
                for step in [1, 7919, 7907] {
                    let key = |i: usize| (i * step % 100_003 * i % 100_019 % distinct) as u32;
                    let entries: Vec<_> = (0..n).map(|index| Entry { key: key(index), index }).collect();
                    let (mut single, mut blocks) = (entries.clone(), entries);
                    assert_eq!(by_single_entries(&mut single), partition(&mut blocks), "{n}, {distinct}, {step}");
                    let order =
                        |entries: &[Entry<u32, usize>]| entries.iter().map(|entry| entry.index).collect::<Vec<_>>();
                    assert_eq!(order(&single), order(&blocks), "{n}, {distinct}, {step}");
                }
            }
        }
    }

    /// With any ties, the k lowest keys are selected, for indices of any width.
    #[test]
    fn selects_the_lowest_keys() {
        for n in [1, 2, 3, 4, 5, 63, 64, 65, 128, 500] {
            for distinct in [1, 2, 7, 1000] {
                let keys: Vec<u64> = (0..n as u64).map(|i| i * i * 7919 % 10_007 % distinct).collect();
                let mut sorted = keys.clone();
                sorted.sort_unstable();
                for k in 0..=n {
                    let first = first_k(&keys, k);
                    assert_eq!(first, mark_first(&keys, 0..n, k));
                    let mut least: Vec<_> = keys.iter().zip(&first).filter(|(_, f)| **f).map(|(key, _)| *key).collect();
                    least.sort_unstable();
                    assert_eq!(least, sorted[..k], "n = {n}, k = {k}, {distinct} distinct keys");
                }
            }
        }
    }
}
