"""Which of several equal keys goes: heap, quickselect, its depth, the median of three, and the boundary between them."""

import itertools
import math

import numpy as np
import torch

import rivals
from book import made
from recorder import DT

RIGHT = rivals.Selection()


def topk(book, x, k, largest):
    """Records a selection and counts the rivals that are wrong on it."""
    selected = torch.topk(x, k, largest=largest).indices.tolist()
    book.primitive("topk", input=x, k=k, largest=largest, selected_sorted=sorted(selected))
    keys = x.double().tolist()
    for name, other in rivals.SELECTIONS.items():
        if ("heap" if book.now == "select-depth" else "depth") in name:
            continue  # of the other family
        book.rival(name, other(keys, k, largest) != set(selected))
    if RIGHT(keys, k, largest) != set(selected):
        raise SystemExit(f"torch.topk does not follow the rules: n = {len(keys)}, k = {k}")


def tied(r, n, levels, dtype, nans=0.0):
    x = torch.from_numpy(r.integers(0, levels, n).astype(float)).to(DT[dtype])
    nan = torch.from_numpy(r.random(n) < nans)
    x[nan] = math.nan
    bits = x.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()])
    bits[nan] ^= torch.from_numpy(r.integers(0, 64, n)).to(bits.dtype)[nan]  # a NaN is a NaN whatever its payload
    return x


def ties(book, r):
    book.family(
        "select-ties", "equal keys at the boundary: quickselect with the median of three, heap where k * 64 <= n"
    )
    for n in range(1, 11):
        for k in {1, n // 2 or 1, n}:
            topk(book, torch.ones(n), k, bool(k % 2))
    for n, k in (
        (64, 1),
        (65, 1),
        (63, 1),
        (128, 2),
        (127, 2),
        (129, 2),
        (640, 10),
        (639, 10),
        (641, 10),
        (700, 10),
        (1000, 15),
        (1000, 16),
        (2000, 31),
        (2000, 32),
    ):
        for largest in (False, True):
            topk(book, tied(r, n, int(r.choice([2, 4, 30])), "bf16"), k, largest)
    for i in range(48):
        n = int(r.choice([5, 11, 33, 100, 257, 512, 900]))
        dtype, levels = list(DT)[i % 4], int(r.choice([2, 3, 9, 40]))
        topk(book, tied(r, n, levels, dtype, nans=(0, 0, 0.2, 0.7)[i // 4 % 4]), int(r.integers(1, n + 1)), i % 2 == 0)
    book.family("select-depth", "quickselect that runs out of depth (2 floor(log2 n) rounds) goes on with a heap")
    for n in (20, 60, 200, 513, 900, 1500):
        for share in (0.3, 0.5, 0.8):
            k = max(int(n * share), n // 64 + 1)
            for number in (1, 2, 3):
                x = torch.tensor(rivals.Killer()(n, k, number, r))
                topk(book, x.to(DT["f64" if n == 200 else "f32"]), k, False)
                topk(book, (x.max() - x).to(DT["f32"]), k, True)


def large(book, r):
    book.family("select-large", "boundary ties among 1e3 to 1e6 entries, in every dtype and both regimes")
    for n in (1000, 10_000, 100_000):
        for dtype, levels in (("f32", 64), ("f64", 1024), ("f16", None), ("bf16", None)):
            for amount in (0.2, 0.5, n // 64, n // 64 + 1):
                if n == 100_000 and (amount == 0.5 or dtype == "f64"):
                    continue
                weights = {"seed": seed(r), "levels": levels}
                (mask,) = book.large_case(dtype, [[n]], weights, ("L1Unstructured", amount, {}))
                (w,), count = made(weights, dtype, [[n]]), int((~mask).sum())
                lowest = np.argsort(w.double().numpy(), kind="stable")[:count]
                book.rival("lowest index", set(lowest.tolist()) != set(np.flatnonzero(~mask.numpy()).tolist()))
    for dtype in ("f16", "bf16"):
        shapes = [[40, 30], [], [5000], [0, 3], [7, 3, 11, 2]]
        book.large_case(dtype, shapes, {"seed": seed(r)}, ("L1Unstructured", 0.3, {}), ("L1Unstructured", 100, {}))
    for dtype, amount in itertools.product(("f32", "bf16"), (0.3, 10_000)):
        book.large_case(dtype, [[1000, 1000]], {"seed": seed(r)}, ("L1Unstructured", amount, {}))
        book.large_case(dtype, [[1000, 1000]], {"seed": 1}, ("RandomUnstructured", amount, {"seed": seed(r)}))
    book.family("large-steps", "later calls on large tensors, alone and together, that are pruned in part")
    for dtype, shape in (("f32", [700, 500]), ("bf16", [33, 17, 5, 11]), ("f16", [70_001, 3]), ("f64", [3, 50_000])):
        book.large_case(
            dtype,
            [shape],
            {"seed": seed(r)},
            ("RandomUnstructured", 0.7, {"seed": seed(r)}),
            ("L1Unstructured", 0.2, {}),
            ("LnStructured", 0.3, {"n": 2, "dim": 0}),
            ("RandomUnstructured", 0.1, {"seed": seed(r)}),
            ("RandomStructured", 1, {"dim": 1, "seed": seed(r)}),
            ("CustomFromMask", 0.9, {"seed": seed(r)}),
            ("LnStructured", 1, {"n": 1, "dim": -1}),
            ("L1Unstructured", 100, {}),
        )
    for dtype in DT:
        book.large_case(
            dtype,
            [[800, 50], [3], [70_001], [], [20, 30, 40]],
            {"seed": seed(r), "levels": 2.0**22 if dtype == "f32" else None},
            ("RandomUnstructured", 0.4, {"seed": seed(r)}),
            ("L1Unstructured", 0.25, {}),
            ("RandomUnstructured", 5000, {"seed": seed(r)}),
            ("L1Unstructured", 400, {}),
        )
    book.family(
        "select-channels", "boundary ties among channel norms: the first of the kept are chosen, not of the pruned"
    )
    for dtype, shape, dim, n in (
        ("bf16", [3000, 2], 0, 2),
        ("f16", [2, 3000], 1, 1),
        ("bf16", [4, 700, 3], 1, "fro"),
        ("f32", [2000, 3], 0, 0),
        ("f16", [6400, 1], 0, 2),
    ):
        levels = 4 if dtype == "f32" else None
        for amount in (0.3, 0.5, 0.995):  # the last by a heap
            weights = {"seed": seed(r), "levels": levels}
            book.large_case(dtype, [shape], weights, ("LnStructured", amount, {"n": n, "dim": dim}))


def seed(r):
    return int(r.integers(0, 2**31))


def fill(book):
    r = np.random.default_rng(21)
    ties(book, r)
    large(book, r)
