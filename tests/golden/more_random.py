"""Torch's generator: seeds, dtypes, bounds, initial weights, and the masks drawn from it."""

import itertools

import numpy as np
import torch
from torch import nn

import rivals
from recorder import DT, next_word
from rivals import words

SEEDS = (3, 2**32 - 1, 2**32 + 3, 2**63 + 2**33 + 9, 2**64 - 1, 0x9E3779B97F4A7C15)


def rng(book, r):
    book.family(
        "rng-seeds",
        "a seed counts modulo 2^32; numbers do not depend on how many are drawn, across blocks of 624 words",
    )
    for seed, dtype in itertools.product(SEEDS, DT):
        book.primitive(
            "rng", seed=str(seed), dtype=dtype, n=30, values=drawn(seed, 30, dtype), next_word_u24=next_word()
        )
    for dtype, lengths in (
        ("f32", (623, 624, 625, 1249)),
        ("f64", (311, 312, 313, 625)),
        ("f16", (624,)),
        ("bf16", (625,)),
        ("f32", (0,)),
    ):
        for n in lengths:
            book.primitive("rng", seed="21", dtype=dtype, n=n, values=drawn(21, n, dtype), next_word_u24=next_word())
    book.family("rng-half", "half numbers are the 24-bit ones rounded half to even, and 1.0 becomes 0.0")
    for dtype in ("f16", "bf16"):
        for seed in range(400):
            x = drawn(seed, 900, dtype)
            if (x == 0).any() and (words(seed, 900).to(DT[dtype]) == 1).any():
                for name, rival in rivals.HALF_DRAWS.items():
                    book.rival(f"{dtype}: {name}", (rival(DT[dtype])(seed, 900) != x).any())
                drawn(seed, 900, dtype)
                book.primitive("rng", seed=str(seed), dtype=dtype, n=900, values=x, next_word_u24=next_word())
                break


def drawn(seed, n, dtype):
    torch.manual_seed(seed)
    return torch.rand(n, dtype=DT[dtype])


def init(book, r):
    book.family(
        "rng-uniform", "uniform_(a, b) is one fused multiply-add with b - a in f32 (f64: f64); b itself becomes a"
    )
    bounds = [(-0.1, 0.1), (-1 / 3, 1 / 7), (0.1, 0.7), (1e-3, 5.0), (-3.0, -2.9), (100.0, 100.5), (0.9, 1.0)]
    for dtype, (low, high) in itertools.product(DT, bounds):
        torch.manual_seed(77)
        x = torch.empty(250, dtype=DT[dtype]).uniform_(low, high)
        book.primitive("init", kind="uniform_", seed=77, dtype=dtype, to=high, values=x, **{"from": low})
        if dtype == "f32":
            u, a, b = words(77, 250).numpy(), np.float32(low), np.float32(high)
            book.rival("f32: product and sum rounded separately", (u * (b - a) + a != x.numpy()).any())
            book.rival("f32: bounds in f64", ((u * (high - low) + low).astype(np.float32) != x.numpy()).any())
        if dtype == "bf16":
            fused = (
                torch.from_numpy(
                    words(77, 250).double().numpy() * (np.float32(high) - np.float32(low)).astype(float)
                    + np.float32(low)
                )
                .float()
                .bfloat16()
            )
            book.rival("bf16: the upper bound stays", (fused != x).any())
    book.family(
        "rng-layers", "default weights of Linear and convolutions of 1 to 3 dimensions, grouped too, in one stream"
    )
    for seed, dtype in ((2**32 + 888, "f32"), (5, "f64"), (6, "f16"), (7, "bf16")):
        stream(
            book,
            seed,
            dtype,
            [
                ("linear", 888, 3),
                ("linear", 1, 4),
                ("linear", 3, 1),
                ("conv", 4, 3, [3]),
                ("conv", 4, 2, [1, 1]),
                ("conv", 3, 2, [3, 5]),
                ("conv", 2, 2, [2, 3, 2]),
                ("linear", 37, 11),
            ],
        )
    stream(book, 888, "f32", [("conv", 6, 3, [3, 3]), ("linear", 888, 16), ("linear", 16, 10)], prune=True)
    stream(book, 1, "bf16", [("conv", 6, 4, [3, 3]), ("linear", 100, 40)], prune=True)
    book.family(
        "rng-mixed",
        "draws of several dtypes from one stream: f64 takes two words, the first the high half, wherever it starts",
    )
    for seed in (9, 10):
        stream(
            book,
            seed,
            None,
            [
                ("rand", d, n)
                for d, n in (("f32", 1), ("f64", 5), ("f16", 3), ("bf16", 3), ("f64", 310), ("f32", 622), ("f64", 4))
            ],
        )


def stream(book, seed, dtype, layers, prune=False):
    """Layers drawn one after the other, and maybe pruned at random from the same stream."""
    torch.manual_seed(seed)
    steps, modules = [], []
    for kind, *a in layers:
        if kind == "rand":
            steps.append({"kind": kind, "dtype": a[0], "values": book.S.put(torch.rand(a[1], dtype=DT[a[0]]))})
            continue
        if kind == "linear":
            m, step = nn.Linear(a[0], a[1], dtype=DT[dtype]), {"in": a[0], "out": a[1]}
        else:
            out, per_group, kernel = a
            conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[len(kernel)]
            groups = 2 if out % 2 == 0 else 1
            m = conv(per_group * groups, out, kernel, groups=groups, dtype=DT[dtype])
            step = {"out": out, "in": per_group, "kernel": kernel}
        modules.append(m)
        steps.append({"kind": kind, "dtype": dtype, **step, "weight": book.S.put(m.weight), "bias": book.S.put(m.bias)})
    if prune:
        for i, m in enumerate(modules):
            nn.utils.prune.random_unstructured(m, "weight", 0.4)
            nn.utils.prune.random_structured(m, "weight", 0.5, 0)
            steps.append({"kind": "prune", "dtype": dtype, "layer": i, "kept": book.pack(m.weight_mask != 0)})
    book.primitive("streams", seed=str(seed), steps=steps, next_word_u24=next_word())


def masks(book, r):
    book.family("random-structured-equal-draws", "equal numbers at the threshold prune more channels than asked")
    for seed in (892, 1199):
        kept = book.large_case(
            "f16", [[50_000, 1]], {"seed": 1}, ("RandomStructured", 25_000, {"seed": seed, "dim": 0})
        )
        book.rival("exactly as many as asked", int((~kept[0]).sum()) != 25_000)
    book.family(
        "random-structured", "one f32 number a channel whatever the dtype; none for count 0, all for count = channels"
    )
    for dtype, amount, dim in itertools.product(DT, (0, 0.3, 7), (0, 1, -1)):
        x = torch.from_numpy(r.standard_normal((7, 7, 7))).to(DT[dtype])
        a = {"amount": amount, "dim": dim}
        book.case(
            x,
            ("random_structured", a | {"seed": SEEDS[amount == 7]}),
            ("random_structured", {"amount": 0 if amount == 7 else 0.5, "dim": 0, "seed": SEEDS[2]}),
        )
    book.family(
        "random-unstructured",
        "the largest numbers of the tensor's dtype are pruned; boundary ties and the step from 1.0 to 0.0 in half dtypes",
    )
    for dtype in DT:
        for n, amount in (
            (888, 0.2),
            (888, 0.5),
            (1000, 0.001),
            (5000, 78),
            (5000, 79),
            (10_000, 0.5),
            (100_000, 0.01),
            (100_000, 0.2),
        ):
            if n < 100_000 or dtype != "f64":
                seed = int(r.integers(0, 2**31))
                kept = book.large_case(dtype, [[n]], {"seed": 1}, ("RandomUnstructured", amount, {"seed": seed}))
                judge(book, kept, dtype, seed, n)
    for dtype in ("f16", "bf16"):
        seed = next(s for s in range(3000) if (words(s, 40).to(DT[dtype]) == 1).any())  # one that is remapped
        kept = book.large_case(dtype, [[40]], {"seed": 1}, ("RandomUnstructured", 0.3, {"seed": seed}))
        judge(book, kept, dtype, seed, 40)
        book.large_case(
            dtype, [[30, 4], [], [700], [0], [5, 1, 9]], {"seed": 1}, ("RandomUnstructured", 0.4, {"seed": seed})
        )
    straddle = next(s for s in range(5000) if straddles(drawn(s, 100_000, "f32"), 50_000))
    kept = book.large_case("f32", [[100_000]], {"seed": 1}, ("RandomUnstructured", 50_000, {"seed": straddle}))
    judge(book, kept, "f32", straddle, 100_000)
    for seed in SEEDS:
        book.large_case("f32", [[100]], {"seed": 1}, ("RandomUnstructured", 0.5, {"seed": seed}))


def straddles(x, count):
    """Whether equal numbers lie on both sides of the boundary and the lowest index would be the wrong choice."""
    v = x.sort(descending=True).values
    if v[count - 1] != v[count]:
        return False
    return rivals_lowest(x, count) != set(x.topk(count).indices.tolist())


def rivals_lowest(x, count):
    return set(np.argsort(-x.double().numpy(), kind="stable")[:count].tolist())


def judge(book, masks, dtype, seed, n):
    """Which rivals would have pruned other entries."""
    pruned = set(np.flatnonzero(~masks[0].numpy()).tolist())
    count = len(pruned)
    if dtype != "f64":
        book.rival(f"{dtype}: lowest index", rivals_lowest(drawn(seed, n, dtype), count) != pruned)
    if dtype in ("f16", "bf16"):
        for name, rival in rivals.HALF_DRAWS.items():
            x = rival(DT[dtype])(seed, n)
            book.rival(f"{dtype}: {name}", set(torch.topk(x, count).indices.tolist()) != pruned)


def streams(book, r):
    book.family("rng-stream", "one stream through a whole case: what fails or prunes nothing draws nothing")
    for dtype in DT:
        x, b = (torch.from_numpy(r.standard_normal(s)).to(DT[dtype]) for s in ((9, 5, 4), (11,)))
        both = {"targets": ["m0.weight", "m0.bias"], "method": "RandomUnstructured"}
        book.case(
            {"m0": {"weight": x, "bias": b}},
            ("manual_seed", {"seed": 888}),
            ("random_unstructured", {"amount": 0.3}),
            ("random_unstructured", {"amount": 0}),
            ("random_structured", {"amount": 2, "dim": 0}),
            ("random_structured", {"amount": 0, "dim": 1}),
            ("draw", {}),
            ("global_unstructured", both | {"amount": 0.5}),
            ("l1_unstructured", {"amount": 3}),
            ("random_structured", {"amount": 0.5, "dim": -1}),
            ("random_unstructured", {"amount": 9, "target": "m0.bias"}),
            ("random_unstructured", {"amount": 3, "target": "m0.bias"}),
            ("draw", {}),
        )


def fill(book):
    r = np.random.default_rng(22)
    for part in (rng, init, masks, streams):
        part(book, r)
