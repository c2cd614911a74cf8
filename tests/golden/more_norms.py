"""Channel norms: order of summation, accumulator, rounding; and the masks that their last bits decide."""

import itertools
import math

import numpy as np
import torch
from torch.nn.utils import prune as P

import rivals
from recorder import DT

INF = math.inf
HALF = ("f16", "bf16")


def rows(r, dtype, count, length, n):
    """Random rows; in half precision of very different magnitudes, or sums of so few digits would mostly be exact."""
    x = r.standard_normal((count, length))
    if dtype in HALF:
        span = 9 if n == 1 else 5
        x *= 2.0 ** r.integers(-span, span, x.shape)
    return torch.from_numpy(x).to(DT[dtype])


def differs(a, b):
    """Where two vectors of norms are not the same, NaN being NaN."""
    return ((a != b) & ~(a.isnan() & b.isnan())).numpy()


def telling(r, dtype, n, length, others, per_rival=2, most=6):
    """A few random rows such that most rivals are wrong on `per_rival` of them, if those can be found."""
    need, kept = np.full(len(others), per_rival), []
    for _ in range(25 if dtype in HALF else 1):
        x = rows(r, dtype, 40_000 if dtype in HALF else 500, length, n)
        truth = P._compute_norm(x, n, 0)
        wrong = np.stack([differs(truth, other(x)) for other in others.values()])
        while len(kept) < most and (gain := ((need > 0)[:, None] & wrong).sum(axis=0)).any():
            best = int(gain.argmax())
            kept.append(x[best])
            need -= wrong[:, best]
            wrong[:, best] = False
        if len(kept) == most or not (need > 0).any():
            break
    return torch.stack(kept or [x[0]])


def record(book, r, dtype, n, lengths, others, contiguous=True):
    """Rows of each length, as contiguous channels (dim 0) or as strided ones (dim 1)."""
    for length in lengths:
        x = telling(r, dtype, n, length, others)
        norm = book.norm(x, n, 0) if contiguous else book.norm(x.T.contiguous(), n, 1)
        for name, other in others.items():
            book.rival(f"{dtype}: {name}", differs(norm, other(x)).sum())


def squares(book, r):
    book.family(
        "norm-squares",
        "n = 2 over one contiguous run: 8 lanes (f64: 4; bf16: two rounds of 8), then the tail, fused in part; f16 one by one",
    )
    lengths = {
        "f32": [*range(1, 42), 100, 1003],
        "f64": [*range(1, 21), 50, 203],
        "f16": [3, 9, 20, 41],
        "bf16": [7, 8, 15, 16, 19, 23, 37, 48, 61],
    }
    for dtype, some in lengths.items():
        others = rivals.squares_rivals(DT[dtype], contiguous=True)
        others = {name: rivals.norms(DT[dtype], 2, add) for name, add in others.items()}
        record(book, r, dtype, 2, some, others)
    book.family("norm-squares-strided", "n = 2 otherwise: one by one, every product rounded")
    for dtype in DT:
        others = rivals.squares_rivals(DT[dtype], contiguous=False)
        others = {name: rivals.norms(DT[dtype], 2, add) for name, add in others.items()}
        record(book, r, dtype, 2, [3, 9, 37] if dtype in HALF else [3, 9, 16, 37, 100], others, contiguous=False)


def sums(book, r):
    book.family("norm-absolute", "n = 1: magnitudes one by one, in f32 for the half dtypes, then rounded")
    for dtype in DT:
        adds = {
            "backwards": rivals.backwards,
            "pairwise": rivals.pairwise,
            "in f64": rivals.in_f64,
            "lanes": rivals.width(8),
        }
        if dtype == "f64":
            del adds["in f64"]
        if dtype in HALF:
            adds["in the half dtype"] = rivals.in_half(DT[dtype])
        others = {name: rivals.norms(DT[dtype], 1, rivals.absolute(add)) for name, add in adds.items()}
        for contiguous in (True, False):
            record(book, r, dtype, 1, [17, 40] if dtype in HALF else [3, 8, 17, 40, 100], others, contiguous)
    book.family("norm-powers", "any other n: pow(x, n) one by one, then pow(sum, 1 / n), in the accumulator")
    for dtype in DT:
        for n in (3, 0.5, 1.5, 2.7, -1, -2, 1.1, 0.3):
            adds = {"backwards": rivals.powers(rivals.backwards, n), "pairwise": rivals.powers(rivals.pairwise, n)}
            if dtype != "f64":
                adds["in f64"] = lambda x, n=n: rivals.powers(rivals.one_by_one, n)(x.astype(np.float64))
            others = {name: rivals.norms(DT[dtype], n, add) for name, add in adds.items()}
            record(book, r, dtype, n, [5, 21] if dtype in HALF else [2, 5, 9, 33], others)


# (shape, dim, whether a channel's entries are one run of unit stride)
LAYOUTS = [
    ([3, 40], 0, True), ([3, 40], -1, False), ([3, 4, 20], 0, True), ([3, 4, 20], 1, False), ([20, 4, 3], 2, False), ([1, 4, 37], 1, True),
    ([4, 1, 37], 0, True), ([4, 37, 1], 0, True), ([37, 4, 1], 1, False), ([37, 1], 1, True), ([5, 1, 7], 1, True), ([5, 1, 7], -3, True),
    ([1, 40], 1, False), ([5, 4, 3, 3], 0, True), ([5, 4, 3, 3], 1, False), ([5, 4, 3, 3], 2, False), ([5, 4, 3, 3], 3, False), ([1, 1, 4, 45], 2, True),
    ([4, 3, 2, 2, 3], 0, True), ([4, 3, 2, 2, 3], -2, False), ([3, 2, 3, 2, 2, 2], 0, True), ([3, 2, 3, 2, 2, 2], 2, False), ([3, 2, 3, 2, 2, 2], 5, False),
]  # fmt: skip


def layouts(book, r):
    book.family(
        "norm-layouts",
        "which channels are one run of unit stride (dims of size 1 aside), and row-major order where they are not",
    )
    for shape, dim, run in LAYOUTS:
        for dtype in ("f32", "f64"):
            for _ in range(2):
                x = torch.from_numpy(r.standard_normal(shape)).to(DT[dtype])
                norm = book.norm(x, 2, dim)
                channels = x.movedim(dim, 0).reshape(shape[dim], -1)
                axes = [d for d in range(len(shape)) if d != dim % len(shape)]
                backwards = x.permute(dim % len(shape), *axes[::-1]).reshape(shape[dim], -1)
                vector = rivals.lanes(8, 8) if dtype == "f32" else rivals.lanes(4, 4, "plain")
                other = rivals.squares(rivals.one_by_one) if run else vector
                if shape[dim] > 1 or run:
                    book.rival(
                        "one by one in a run" if run else "lanes without a run",
                        differs(norm, rivals.norms(DT[dtype], 2, other)(channels)).sum(),
                    )
                if not run:
                    one = rivals.norms(DT[dtype], 2, rivals.squares(rivals.one_by_one))
                    book.rival("column-major", differs(norm, one(backwards)).sum())
        book.norm(torch.from_numpy(r.standard_normal(shape)).to(DT["bf16"]), 2, dim)
        book.norm(torch.from_numpy(r.standard_normal(shape)).to(DT["f16"]), 1, dim)


def special(book, r):
    nan = math.nan
    book.family(
        "norm-special",
        "NaN, infinities, zeros, overflow and underflow; a channel of one element is its magnitude for every n but 0",
    )
    for dtype in DT.values():
        big, tiny = torch.finfo(dtype).max, torch.finfo(dtype).smallest_normal
        pairs = [
            [nan, 1],
            [1, nan],
            [INF, 1],
            [-INF, nan],
            [0, 0],
            [-0.0, 0],
            [-0.0, 1],
            [1e30, 0],
            [1e-30, 1e-30],
            [big, big],
            [tiny, tiny],
            [tiny / 4, 0],
            [3, -4],
            [-5, 1],
        ]
        x = torch.tensor(pairs, dtype=torch.float64).to(dtype)
        single = (
            torch.tensor([nan, INF, -INF, -0.0, 0, 1e-30, -1e30, big, tiny / 4, -3], dtype=torch.float64)
            .to(dtype)
            .reshape(-1, 1)
        )
        for n in (0, 1, 2, 3, 0.5, 1.5, -1, -2.5, INF, -INF, "fro"):
            book.norm(x, n, 0)
            book.norm(single, n, 0)
            book.norm(torch.from_numpy(r.standard_normal((4, 7))).to(dtype), n, 1)
    book.family(
        "norm-count", "n = 0 counts by adding 1.0 in the accumulator: f16 overflows, bf16 rounds, f32 stops at 2^24"
    )
    for dtype, length in (
        ("bf16", 257),
        ("bf16", 259),
        ("f16", 2049),
        ("f16", 2051),
        ("f16", 65519),
        ("f16", 65520),
        ("f16", 70000),
        ("f32", 2**24 + 3),
        ("bf16", 2**24 + 2**18),
    ):
        norm = P._compute_norm(torch.ones([1, length], dtype=DT[dtype]), 0, 0)
        book.primitive("norms", seed=None, shape=[1, length], dtype=dtype, n={"num": 0}, dim=0, norm=norm)
    book.family("norm-empty", "channels without entries have norm 0, no channels have no norm")
    for shape, dim in (
        ([3, 0], 0),
        ([0, 3], 0),
        ([2, 0, 3], 0),
        ([2, 0, 3], -1),
        ([0, 0], 1),
        ([0, 2, 3], 0),
        ([2, 3, 0], 2),
    ):
        for n in (0, 1, 2, 3, 0.5, "fro"):
            book.norm(torch.zeros(shape), n, dim)
    book.family("norm-wide", "random tensors of every rank, dtype and n")
    for i in range(160):
        ndim = 2 + i % 5
        shape = r.integers(1, {2: 40, 3: 12, 4: 7, 5: 5, 6: 4}[ndim], ndim).tolist()
        x = torch.from_numpy(r.standard_normal(shape) * 10.0 ** r.integers(-3, 3)).to(DT[list(DT)[i % 4]])
        n = [2, 1, 2, 3, 2, 0.5, "fro", -1, INF, -INF, 0, 1.5][int(r.integers(0, 12))]
        book.norm(x, n, int(r.integers(-ndim, ndim)))
    book.family("norm-large", "many or long channels: the order of summation does not depend on how many there are")
    for shape, dims in (
        ([300, 1500], (0, 1)),
        ([1500, 300], (0, 1)),
        ([64, 48, 7, 7], (0, 1, 3)),
        ([2, 600_000], (0,)),
        ([600_000, 2], (1,)),
    ):
        for dim, (dtype, n) in itertools.product(
            dims, (("f32", 2), ("f64", 2), ("f16", 2), ("bf16", 2), ("f32", 1), ("bf16", 1), ("f32", 3))
        ):
            book.seeded_norm(int(r.integers(0, 2**31)), shape, dtype, n, dim)
    book.family("norm-nuclear", "the nuclear norm of each matrix of a 3-D tensor (compared to within rounding)")
    for dtype in ("f32", "f64"):
        for shape in ([3, 4, 5], [4, 3, 3], [2, 6, 1]):
            for dim in (0, 1, 2, -1):
                book.norm(torch.from_numpy(r.standard_normal(shape)).to(DT[dtype]), "nuc", dim)


def kept(norms, count):
    """The channels that remain; equal norms by the lowest index."""
    return rivals.lowest_index(norms.double().tolist(), count, largest=True)


def last_bits(book, r):
    book.family(
        "norm-last-bits",
        "channels with the same entries in another order: the order of summation alone decides the mask",
    )
    for dtype in ("f32", "f64"):
        for n in (1, 2, 3, 0.5):
            for contiguous in (True, False):
                if n == 2:
                    adds = rivals.squares_rivals(DT[dtype], contiguous)
                else:
                    wrap = rivals.absolute if n == 1 else lambda add, n=n: rivals.powers(add, n)
                    adds = {"backwards": wrap(rivals.backwards), "pairwise": wrap(rivals.pairwise)}
                if dtype == "f64":
                    adds.pop("in f64", None)
                adds["exactly"] = exact(n)
                others = {name: rivals.norms(DT[dtype], n, add) for name, add in adds.items()}
                search_masks(book, r, dtype, n, contiguous, others)


def exact(n):
    return lambda x: np.array([math.fsum(abs(float(v)) ** n for v in row) for row in x]).astype(x.dtype)


def search_masks(book, r, dtype, n, contiguous, others, channels=6, wanted=4):
    """Keeps tensors on which a rival that was not wrong yet prunes other channels."""
    missing, found, length = dict(others), 0, 0
    while (missing or found < wanted) and length < 4000:
        length += 1
        base = r.standard_normal(9 + length % 60)
        x = torch.from_numpy(np.stack([r.permutation(base) for _ in range(channels)])).to(DT[dtype])
        w = x if contiguous else x.T.contiguous()
        dim = 0 if contiguous else 1
        norm = P._compute_norm(w, n, dim)
        boundary = norm.sort().values[2:4]
        if boundary[0] == boundary[1]:
            continue  # a tie
        truth = kept(norm, 3)
        wrong = [name for name, other in others.items() if kept(other(x), 3) != truth]
        if not set(wrong) & set(missing) and (missing or len(wrong) < len(others) - 2):
            continue
        found += 1
        book.case(
            w,
            ("ln_structured", {"amount": 3, "n": n, "dim": dim}),
            ("ln_structured", {"amount": 1, "n": n, "dim": dim}),
        )
        if found % 2:  # a stranger's scores, and the slices of a container
            zeros = torch.zeros_like(w)
            book.case(zeros, ("ln_structured", {"amount": 3, "n": n, "dim": dim, "importance_scores": w}))
            book.case(w, ("identity", {}), ("ln_structured", {"amount": 3, "n": n, "dim": dim}))
        for name in others:
            book.rival(f"{dtype}, n = {n}{'' if contiguous else ', strided'}: {name}", name in wrong)
        missing = {name: other for name, other in missing.items() if name not in wrong}


def half_rounding(book, r):
    book.family("norm-half-rounding", "half-precision norms are rounded before the selection, which makes ties")
    for dtype in HALF:
        for n in (1, 2, 3, 0.5):
            found = 0
            while found < 3:
                x = torch.from_numpy(r.standard_normal((10, 12))).to(DT[dtype])
                if kept(P._compute_norm(x.double(), n, 0), 5) == set(P._compute_norm(x, n, 0).topk(5).indices.tolist()):
                    continue
                found += 1
                book.rival(f"{dtype}, n = {n}: norms that are not rounded", 1)
                book.case(x, ("ln_structured", {"amount": 5, "n": n, "dim": 0}))


def fill(book):
    r = np.random.default_rng(20)
    for part in (squares, sums, layouts, special, last_bits, half_rounding):
        part(book, r)
