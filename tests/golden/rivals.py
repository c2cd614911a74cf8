"""Wrong implementations, to choose inputs by.

A recording is worth keeping where a plausible mistake would show. Each rival here is such a mistake: another order of
summation, another accumulator, another rounding, another tie rule. more.py searches for inputs on which torch and the
rivals disagree, and stops if one of them is never wrong. No expectation comes from here.
"""

import math
from fractions import Fraction

import numpy as np
import torch

NP = {torch.float32: np.float32, torch.float64: np.float64, torch.float16: np.float32, torch.bfloat16: np.float32}


# ---------------------------------------------------------------- sums: arrays of shape (channels, elements), one sum a row
def one_by_one(s):
    return np.add.accumulate(s, axis=1, dtype=s.dtype)[:, -1]


def backwards(s):
    return one_by_one(s[:, ::-1])


def pairwise(s):
    return np.ascontiguousarray(s).sum(axis=1, dtype=s.dtype)


def in_f64(s):
    return s.astype(np.float64).sum(axis=1)


def in_half(dtype):
    def add(s):
        acc = torch.zeros(len(s), dtype=dtype)
        for column in torch.from_numpy(np.ascontiguousarray(s.T)):
            acc = acc + column.to(dtype)
        return acc.float().numpy()

    return add


def fused(acc, x):
    """acc + x * x with one rounding (f32 only: through f64)."""
    return (acc.astype(np.float64) + x.astype(np.float64) ** 2).astype(np.float32)


def lanes(width, block, tail="groups", tree=False, tail_first=False):
    """Squares summed in `width` lanes over the full blocks; the tail one by one, fused, or in groups of four, then fused."""

    def add(x):
        m = x.shape[1] // block * block
        acc = np.zeros(len(x), x.dtype)
        if m and not tail_first:
            acc = fold(x[:, :m])
        rest = x[:, m:]
        plain = {"plain": rest.shape[1], "fused": 0, "groups": rest.shape[1] // 4 * 4}[tail]
        for j in range(rest.shape[1]):
            column = rest[:, j]
            acc = acc + column * column if j < plain else fused(acc, column)
        return acc + fold(x[:, :m]) if m and tail_first else acc

    def fold(x):
        parts = (x * x).reshape(len(x), -1, width)
        parts = np.add.accumulate(parts, axis=1, dtype=x.dtype)[:, -1]
        while tree and parts.shape[1] > 1:
            half = parts.shape[1] // 2
            parts = parts[:, :half] + parts[:, half:]
        return np.add.accumulate(parts, axis=1, dtype=x.dtype)[:, -1]

    return add


def width(lanes_):
    """A sum in lanes over the full blocks, then one by one."""

    def add(s):
        m = s.shape[1] // lanes_ * lanes_
        parts = np.add.accumulate(s[:, :m].reshape(len(s), -1, lanes_), axis=1, dtype=s.dtype)
        head = parts[:, -1] if m else np.zeros((len(s), 0), s.dtype)
        return one_by_one(np.concatenate([head, s[:, m:]], axis=1))

    return add


def squares(add):
    return lambda x: add(x * x)


def absolute(add):
    return lambda x: add(np.abs(x))


def powers(add, n):
    return lambda x: add(np.power(np.abs(x), x.dtype.type(n)))


def round_to(dtype, sums, n):
    """The norms from the sums, as `dtype` holds them."""
    if n == 2:
        roots = np.sqrt(sums)
    else:
        roots = sums if n == 1 else np.power(sums, sums.dtype.type(1) / sums.dtype.type(n))
    return torch.from_numpy(np.ascontiguousarray(roots)).to(dtype)


def norms(dtype, n, add):
    """A rival of the norm along dim 0 of a (channels, elements) tensor of `dtype`."""

    def norm(x):
        with np.errstate(all="ignore"):
            return round_to(dtype, add(x.to(torch.float64).numpy().astype(NP[dtype])), n)

    return norm


def squares_rivals(dtype, contiguous):
    """Rivals of n = 2: the ways to sum squares that the dtype does not use."""
    rivals = {
        "one by one": squares(one_by_one),
        "backwards": squares(backwards),
        "pairwise": squares(pairwise),
        "in f64": squares(in_f64),
    }
    if not contiguous or dtype == torch.float16:
        del rivals["one by one"]
        rivals["lanes"] = lanes(8, 8, "plain")
        return rivals
    if dtype == torch.float64:
        rivals |= {
            "8 lanes": lanes(8, 8, "plain"),
            "4 lanes, nothing fused": lanes(4, 4, "plain"),
            "2 lanes": lanes(2, 2, "plain"),
        }
        return rivals
    other = 8 if dtype == torch.bfloat16 else 16
    own = 24 - other
    rivals |= {
        "4 lanes": lanes(4, own),
        "16 lanes": lanes(16, 16),
        f"blocks of {other}": lanes(8, other),
        "lanes added as a tree": lanes(8, own, tree=True),
        "tail first": lanes(8, own, tail_first=True),
    }
    if dtype == torch.float32:  # invisible in bf16
        rivals |= {"tail all fused": lanes(8, own, "fused"), "tail never fused": lanes(8, own, "plain")}
    return rivals


# ---------------------------------------------------------------- selection
def before(largest):
    def precedes(x, y):
        if largest:
            return (math.isnan(x) and not math.isnan(y)) or x > y
        return (not math.isnan(x) and math.isnan(y)) or x < y

    return precedes


def lowest_index(keys, k, largest):
    return set(sorted(range(len(keys)), key=lambda i: order(keys[i], largest))[:k])


def highest_index(keys, k, largest):
    return set(sorted(range(len(keys))[::-1], key=lambda i: order(keys[i], largest))[:k])


def order(x, largest):
    nan = math.isnan(x)
    return (not nan if largest else nan, 0.0 if nan else -x if largest else x)


class Selection:
    """The k first of (key, index) pairs by heap or quickselect; every rule can be altered."""

    def __init__(self, ratio=64, depth=lambda n: 2 * (n.bit_length() - 1), median=True, strict=True):
        self.ratio, self.depth, self.median, self.strict = ratio, depth, median, strict

    def __call__(self, keys, k, largest, precedes=None):
        by_key = precedes or before(largest)
        lt = (lambda a, b: by_key(a[0], b[0])) if precedes is None else (lambda a, b: by_key(a[1], b[1]))
        q = [(x, i) for i, x in enumerate(keys)]
        if k * self.ratio <= len(q):
            self.heap_select(q, 0, k, len(q), lt)
        elif k > 0:
            self.quick_select(q, k - 1, lt)
        return {i for _, i in q[:k]}

    def sift(self, q, lo, root, size, v, lt):
        hole = root
        while 2 * hole + 2 < size:
            child = 2 * hole + 2
            if lt(q[lo + child], q[lo + child - 1]):
                child -= 1
            q[lo + hole], hole = q[lo + child], child
        if 2 * hole + 2 == size:
            q[lo + hole], hole = q[lo + size - 1], size - 1
        while hole > root and lt(q[lo + (hole - 1) // 2], v):
            q[lo + hole] = q[lo + (hole - 1) // 2]
            hole = (hole - 1) // 2
        q[lo + hole] = v

    def heap_select(self, q, lo, mid, hi, lt):
        size = mid - lo
        for root in range((size - 2) // 2, -1, -1) if size > 1 else ():
            self.sift(q, lo, root, size, q[lo + root], lt)
        for i in range(mid, hi):
            if lt(q[i], q[lo]) or not self.strict and not lt(q[lo], q[i]):
                v, q[i] = q[i], q[lo]
                self.sift(q, lo, 0, size, v, lt)

    def quick_select(self, q, target, lt):
        lo, hi, budget = 0, len(q), self.depth(len(q))
        while hi - lo > 3:
            if budget == 0:
                self.exhausted(q)
                self.heap_select(q, lo, target + 1, hi, lt)
                q[lo], q[target] = q[target], q[lo]
                return
            budget -= 1
            p = self.pivot(q, lo, hi, lt)
            q[lo], q[p] = q[p], q[lo]
            i = self.partition(q, lo, hi, lt)
            lo, hi = (i, hi) if i <= target else (lo, i)
        for i in range(lo + 1, hi):
            v, j = q[i], i
            while j > lo and lt(v, q[j - 1]):
                q[j] = q[j - 1]
                j -= 1
            q[j] = v

    def exhausted(self, q):
        pass

    def pivot(self, q, lo, hi, lt):
        a, b, c = lo + 1, lo + (hi - lo) // 2, hi - 1
        if not self.median:
            return b
        if lt(q[a], q[b]):
            return b if lt(q[b], q[c]) else c if lt(q[a], q[c]) else a
        return a if lt(q[a], q[c]) else c if lt(q[b], q[c]) else b

    @staticmethod
    def partition(q, lo, hi, lt):
        i, j, pivot = lo + 1, hi, q[lo]
        while True:
            while i < hi and lt(q[i], pivot):
                i += 1
            j -= 1
            while lt(pivot, q[j]):
                j -= 1
            if i >= j:
                return i
            q[i], q[j] = q[j], q[i]
            i += 1


SELECTIONS = {
    "lowest index": lowest_index,
    "highest index": highest_index,
    "never a heap": Selection(ratio=1 << 60),
    "heap one element sooner": lambda keys, k, largest: (
        Selection(ratio=math.ceil(len(keys) / k) if k else 64)(keys, k, largest)
        if len(keys) < k * 64 <= len(keys) + 64
        else Selection()(keys, k, largest)
    ),
    "heap one element later": lambda keys, k, largest: (
        Selection(ratio=1 << 60)(keys, k, largest)
        if len(keys) - 64 < k * 64 <= len(keys)
        else Selection()(keys, k, largest)
    ),
    "middle as the pivot": Selection(median=False),
    "unlimited depth": Selection(depth=lambda n: -1),
    "depth of log2 n": Selection(depth=lambda n: n.bit_length() - 1),
    "depth one more": Selection(depth=lambda n: 2 * (n.bit_length() - 1) + 1),
    "depth rounded up": Selection(depth=lambda n: 2 * (n - 1).bit_length()),
    "equal keys replace the top": Selection(strict=False),
}


class Killer(Selection):
    """An adversary: answers comparisons so that quickselect runs out of depth, then leaves the rest tied."""

    def __call__(self, n, k, ties, rng):
        self.value, self.solid, self.candidate, self.gas = [n] * n, 0, None, n
        self.left = None
        super().__call__([0.0] * n, k, False, self.precedes)
        values = self.left or self.value
        top = max((v for v in values if v != n), default=0) + 1
        return [float(top + rng.integers(0, ties)) if v == n else float(v) for v in values]

    def exhausted(self, q):
        self.left = list(self.value)

    def precedes(self, x, y):
        if self.value[x] == self.gas and self.value[y] == self.gas:
            self.freeze(x if x == self.candidate else y)
        if self.value[x] == self.gas:
            self.candidate = x
        elif self.value[y] == self.gas:
            self.candidate = y
        return self.value[x] < self.value[y]

    def freeze(self, x):
        self.value[x] = self.solid
        self.solid += 1


# ---------------------------------------------------------------- rounding of amounts
COUNTS = {
    "half away from zero": lambda a, n: math.floor(a * n + 0.5),
    "down": lambda a, n: math.floor(a * n),
    "up": lambda a, n: math.ceil(a * n),
    "f32 product": lambda a, n: int(np.rint(np.float32(a) * np.float32(n))),
    "exact product of the f64": lambda a, n: round(Fraction(a) * n),
    "exact product of the decimal": lambda a, n: round(Fraction(str(a)) * n),
    "n minus the count of the rest": lambda a, n: n - round((1 - a) * n),
}


# ---------------------------------------------------------------- uniform numbers of the half dtypes
def words(seed, n):
    """The 24-bit draws behind `n` half-precision numbers."""
    torch.manual_seed(seed)
    return torch.rand(n)


def older_torch(dtype):
    digits = {torch.float16: 11, torch.bfloat16: 8}[dtype]
    return lambda seed, n: ((words(seed, n) * 2**24).long() % 2**digits).double().div(2**digits).to(dtype)


HALF_DRAWS = {
    "1.0 stays": lambda dtype: lambda seed, n: words(seed, n).to(dtype),
    "1.0 becomes the number below": lambda dtype: (
        lambda seed, n: words(seed, n).to(dtype).clamp(max=1 - 2.0 ** -(11 if dtype == torch.float16 else 8))
    ),
    "rounded down": lambda dtype: (
        lambda seed, n: (
            words(seed, n)
            .mul(2.0 ** (11 if dtype == torch.float16 else 8))
            .floor()
            .div(2.0 ** (11 if dtype == torch.float16 else 8))
            .to(dtype)
        )
    ),
    "masked low bits": older_torch,
    "ranked before rounding": lambda dtype: words,
}
