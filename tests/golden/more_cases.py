"""Whole cases: shapes, amounts, containers, scores, global pruning, failures."""

import itertools
import math

import numpy as np
import torch
from torch.nn.utils import prune as P

import rivals
from recorder import DT

NAN, INF = math.nan, math.inf


def normal(r, shape, dtype="f32"):
    return torch.from_numpy(r.standard_normal(shape)).to(DT[dtype])


def distinct(r, shape, dtype="f32"):
    """1, 2, 3, ... in random order with random signs: exact in every dtype up to 256 entries, and never a tie of |x|."""
    n = math.prod(shape)
    return torch.from_numpy((r.permutation(n) + 1.0) * r.choice([-1.0, 1.0], n)).reshape(shape).to(DT[dtype])


def l1(amount, **a):
    return "l1_unstructured", {"amount": amount, **a}


def ln(amount, n, dim, **a):
    return "ln_structured", {"amount": amount, "n": n, "dim": dim, **a}


def random(amount, seed, **a):
    return "random_unstructured", {"amount": amount, "seed": seed, **a}


def channels(amount, dim, seed, **a):
    return "random_structured", {"amount": amount, "dim": dim, "seed": seed, **a}


def mask(m, **a):
    return "custom_from_mask", {"mask": m, **a}


def everywhere(targets, amount=None, method="L1Unstructured", **a):
    return "global_unstructured", {
        "targets": targets,
        "method": method,
        **({} if amount is None else {"amount": amount}),
        **a,
    }


def bits(r, shape, share=0.7):
    return torch.from_numpy(np.asarray(r.random(shape) < share))


REMOVE, IDENTITY, FORWARD = ("remove", {}), ("identity", {}), ("forward", {"module": "m0"})


def amounts(book, r):
    book.family("amounts", "a fraction is one f64 product, rounded half to even")
    fractions = [
        0.05,
        0.1,
        0.125,
        0.145,
        0.15,
        0.25,
        0.285,
        0.29,
        0.3,
        0.35,
        0.45,
        0.5,
        0.55,
        0.57,
        0.58,
        0.625,
        0.7,
        0.9,
        0.95,
        1 / 3,
        1e-9,
        1.0,
    ]
    sizes = [0, 1, 2, 3, 5, 7, 10, 12, 20, 30, 50, 90, 100, 300, 1000, 2**24 + 1, 10**8 + 5, 2**33 + 1, 10**12 + 1]
    fractions += r.random(20).tolist()
    for n, a in itertools.product(sizes, fractions):
        count = P._compute_nparams_toprune(a, n)
        wrong = [name for name, rival in rivals.COUNTS.items() if rival(a, n) != count]
        if wrong or r.random() < 0.1:
            book.primitive("amounts", n=n, fraction=a, count=count)
            for name in rivals.COUNTS:
                book.rival(name, name in wrong)


def shapes(book, r):
    book.family("ranks", "every method and every rank from 0 to 6, in every dtype")
    for shape, dtype in itertools.product(
        ([], [12], [5, 4], [3, 4, 5], [2, 3, 4, 2], [2, 3, 2, 2, 3], [2, 2, 3, 2, 2, 2]), DT
    ):
        w, nd = distinct(r, shape, dtype), len(shape)
        up = normal(r, shape, dtype)
        more = (
            []
            if nd < 2
            else [
                ln(1, 2, -1),
                ln(0.3, 1, nd - 2),
                channels(1, -nd, 11),
                ln(1, INF, 0, importance_scores=distinct(r, shape, dtype)),
            ]
        )
        book.case(
            w,
            l1(0.2),
            random(1 if nd else 0, 10),
            *more,
            ("backward", {"upstream": up}),
            mask(bits(r, shape)),
            IDENTITY,
            l1(0.5, importance_scores=distinct(r, shape, dtype)),
            REMOVE,
        )
        for dim in range(-nd, nd) if nd > 1 and dtype == "f32" else ():
            book.case(w, ln(1, 3, dim), channels(0.5, dim, 12), ln(0.5, 0.5, dim))
    book.family("empty", "tensors without entries, and channels without entries")
    for shape in ([0], [0, 3], [3, 0], [2, 0, 3], [0, 0], [1, 0, 2, 2]):
        w = torch.zeros(shape)
        book.case(w, l1(0.5), random(1.0, 4), IDENTITY, mask(torch.zeros(shape)), l1(0), l1(1), REMOVE)
        for dim in (0, -1) if len(shape) > 1 else ():
            for n, amount in ((2, 0.5), (1, 1.0), (0, 0), (INF, 0), (-1, 0), (-INF, 0.5), (2, 1)):
                book.case(w, ln(amount, n, dim), IDENTITY, ln(amount, n, dim))
            book.case(w, channels(0.5, dim, 3), channels(1.0, dim, 4), channels(1, dim, 5))
    spec = {"m0": {"weight": torch.zeros(0, 3), "bias": torch.tensor(3.0)}, "m1": {"weight": distinct(r, [4, 5])}}
    book.case(
        spec,
        everywhere(["m0.weight", "m1.weight", "m0.bias"], 0.5),
        everywhere(["m0.weight"], 0.5),
        everywhere(["m0.bias", "m0.weight"], 1.0),
    )


def partial(book, r):
    book.family(
        "partial-channels",
        "later structured calls: dead channels are left out, half-dead ones count with zeros where they are pruned",
    )
    for shape, dtype, n in itertools.product(([6, 5], [4, 6, 3], [5, 3, 2, 2]), DT, (1, 2, INF, -INF, -1, 0)):
        w, nd = normal(r, shape, dtype), len(shape)
        dim = int(r.integers(0, nd))
        dead = bits(r, shape, 0.6)
        dead.select(dim, 1).zero_()
        book.case(
            w,
            mask(dead),
            ln(1, n, dim),
            channels(1, dim, int(r.integers(0, 99))),
            ln(0.5, n, (dim + 1) % nd - nd),
            l1(0.4),
            REMOVE,
        )
    book.family("later-scores", "scores of pruned entries count in later structured calls, not in unstructured ones")
    for shape, dtype in itertools.product(([6, 5], [3, 7, 2]), DT):
        w, dead = distinct(r, shape, dtype), bits(r, shape, 0.5)
        s = distinct(r, shape, dtype)
        for scores in (None, w, s):
            a = {} if scores is None else {"importance_scores": scores}
            book.case(w, mask(dead), ln(1, 2, 0, **a), ln(0.5, 1, 1, **a), l1(2, **a), l1(0.5, **a), REMOVE)
        s = s.clone()
        s[bits(r, shape, 0.3)] = NAN
        s[0, 0] = -INF
        book.case(w, l1(3, importance_scores=s), ln(1, -INF, 1, importance_scores=s), l1(0.2, importance_scores=s))
    book.family("special-values", "pruned NaN and infinity stay NaN, pruned negatives are -0.0, and NaN is pruned last")
    for dtype in DT:
        w = torch.tensor(
            [[NAN, 1, -2], [INF, -3, 4], [-INF, 0.0, -0.0], [5, -6, 7], [-8, 9, 1e-45]], dtype=torch.float64
        ).to(DT[dtype])
        up = torch.tensor(
            [[1, NAN, INF], [-1, -2, -INF], [0.0, -0.0, 3], [NAN, 1, 1], [2, 3, 4]], dtype=torch.float64
        ).to(DT[dtype])
        bad = torch.tensor([[0, 1, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 1, 0]])
        for n in (0, 1, 2, INF, -INF, -1):
            book.case(w, mask(bad), ("backward", {"upstream": up}), ln(1, n, 0), l1(2), REMOVE, l1(1))
        book.case(w, l1(5), l1(3), ("backward", {"upstream": up}), random(4, 5), REMOVE, IDENTITY)
        book.case(w, everywhere(["m0.weight"], 9), channels(1, 1, 8), REMOVE)


def masks(book, r):
    book.family("masks", "masks of bools and numbers multiply")
    kinds = [torch.bool, torch.uint8, torch.int32, torch.int64, *DT.values()]
    for dtype in DT:
        book.case(
            normal(r, [4, 5], dtype),
            *[mask(bits(r, [4, 5], 0.9).to(kind)) for kind in kinds],
            REMOVE,
            mask(torch.zeros(4, 5)),
            l1(0.5),
            REMOVE,
        )
    book.family("lifecycle", "edits of orig, removal and pruning again")
    for dtype in DT:
        v = [distinct(r, [3, 4], dtype) for _ in range(5)]
        u = [("update_orig", {"value": x}) for x in v[1:]]
        book.case(
            v[0],
            u[0],
            l1(3),
            u[1],
            FORWARD,
            ln(1, 1, 0),
            u[2],
            ("backward", {"upstream": v[4]}),
            REMOVE,
            u[3],
            l1(0.5),
            REMOVE,
            REMOVE,
        )
        book.case(v[0], l1(3), u[0], l1(2), u[1], ln(1, 2, 1), u[2], REMOVE)
    book.family(
        "layouts", "a transposed or channels-last weight: torch cannot view it, here the layout does not matter"
    )
    w = distinct(r, [4, 3, 2, 5])
    spread = w * (1 + torch.arange(4.0).reshape(4, 1, 1, 1)) * (1 + torch.arange(3.0).reshape(1, 3, 1, 1))
    for t in (
        w.contiguous(memory_format=torch.channels_last),
        w.permute(3, 1, 0, 2),
        w[0, 0].T,
        spread.permute(1, 2, 3, 0),
    ):
        book.case(t, l1(0.3), l1(0.2), REMOVE)
        book.case(t, random(0.3, 5), ln(1, 1, 0), REMOVE)
        book.case(t, ln(1, 1, 0), l1(3), channels(1, 1, 3), everywhere(["m0.weight"], 2), REMOVE)
        book.case(t, IDENTITY, mask(bits(r, list(t.shape))), l1(0.5), REMOVE)
        book.case(t, channels(1, 1, 3), random(2, 8))
        book.case(t.contiguous(), l1(2, importance_scores=t))
        book.case(t, everywhere(["m0.weight"], 0.5))


def several(book, r):
    book.family(
        "global", "one selection over all that is left, in the order of the list; each target gets a CustomFromMask"
    )
    for dtype in DT:
        spec = {
            "m0": {"weight": distinct(r, [4, 5], dtype), "bias": normal(r, [7], dtype)},
            "m1": {"weight": normal(r, [2, 3, 4], dtype), "bias": normal(r, [], dtype)},
            "m2": {"weight": normal(r, [9, 2], dtype)},
        }
        names = [f"{m}.{p}" for m, ps in spec.items() for p in ps]
        some = {"m1.weight": normal(r, [2, 3, 4], dtype), "m0.bias": normal(r, [7], dtype)}
        book.case(
            spec,
            l1(0.2),
            everywhere(names, 0.3),
            everywhere(names[::-1], 0.25, "RandomUnstructured", seed=5),
            everywhere(names[1:4], 0.1, importance_scores=some),
            ln(1, 2, 0),
            everywhere(names, method="Identity"),
            everywhere(names[2:], 0),
            everywhere(names, 1.0),
            everywhere(names, 1),
            *[("remove", {"target": t}) for t in names],
        )
        book.case(
            spec,
            everywhere(names[:2], 5, importance_scores={"m0.bias": some["m0.bias"]}),
            channels(1, 0, 3, target="m1.weight"),
            everywhere(names, 0.5, "RandomUnstructured", seed=2**32 + 1),
            everywhere([names[4], names[0]], 3),
            l1(1, target="m1.bias"),
            ("remove", {"target": names[0]}),
            everywhere(names[:3], 0.5),
        )
    book.family("global-dtypes", "targets of several dtypes are promoted (for this crate: convert first)")
    for kinds in (("f16", "bf16", "f16"), ("f32", "f16", "bf16"), ("f64", "bf16", "f32")):
        spec = {f"m{i}": {"weight": normal(r, [4, 5], kind)} for i, kind in enumerate(kinds)}
        names = [f"m{i}.weight" for i in range(3)]
        book.case(
            spec,
            everywhere(names[1:], 0.3, "RandomUnstructured", seed=9),
            l1(2),
            everywhere(names, 9),
            ln(1, 2, 0, target="m1.weight"),
            everywhere(names[:2], 0.5),
        )
    book.family("score-dtypes", "scores of another dtype rank in that dtype (for this crate: convert first)")
    for dtype, other in itertools.permutations(DT, 2):
        w = distinct(r, [4, 6], dtype)
        a = {"importance_scores": normal(r, [4, 6], other)}
        book.case(w, l1(5, **a), ln(1, 2, 0, **a), l1(0.5, **a), ln(0.5, 1, -1, **a), l1(1), REMOVE)
        book.case(w, ln(2, 1, 1, **a), ln(0, 2, 0, **a))
    book.case(
        distinct(r, [12]),
        l1(3, importance_scores=torch.arange(12) * -7 + 40),
        l1(3, importance_scores=(torch.arange(12) * 5 % 13)),
    )


def failures(book, r):
    book.family("failures", "an error leaves everything as it was, and the case goes on")
    A = distinct(r, [3, 4])
    wrong = torch.ones(4, 4)
    bad = [l1(99), l1(-1), l1(1.5), l1(-0.25), l1(NAN), l1(INF), l1(1, importance_scores=wrong), random(99, 3), random(NAN, 3), ln(5, 2, 0), ln(1, 2, 2), ln(1, 2, -3), ln(1, 2, 0, importance_scores=wrong),
           ln(1, "nuc", 0), ln(NAN, 2, 0), channels(99, 0, 3), channels(1, 5, 3), channels(1, -3, 3), channels(-2, 0, 3), mask(torch.ones(4)), mask(wrong), mask(torch.full([3, 4], 0.5)), mask(torch.full([3, 4], -1)),
           everywhere(["m0.weight"], 99), everywhere(["m0.weight", "m0.weight"], 1), everywhere([], 1), everywhere(["m0.weight"], 1.01), everywhere(["m0.weight"], NAN, "RandomUnstructured", seed=1), everywhere(["m0.weight"], 1, "LnStructured"),
           everywhere(["m0.weight"], 1, "RandomStructured"), everywhere(["m0.weight"], 1, "CustomFromMask"), everywhere(["m0.weight"], 1, importance_scores={"m0.weight": A.reshape(4, 3)}),
           everywhere(["m0.weight"], 1, importance_scores={"m0.weight": torch.ones(13)}), everywhere(["m0.weight"], 1, importance_scores={"m0.bias": torch.ones(3)})]  # fmt: skip
    spec = {"m0": {"weight": A, "bias": torch.tensor([3.0, 1, 2])}}
    for step in bad:
        book.case(spec, step, l1(2), step, ln(1, 1, 0), step, ("update_orig", {"value": -A}), l1(1), REMOVE, REMOVE)
    book.case(
        spec,
        everywhere(["m0.bias", "m0.weight"], 16),
        everywhere(["m0.bias", "m0.weight"], 2),
        everywhere(["m0.bias", "m0.weight"], 14),
    )
    book.family(
        "failures-structured", "vectors, NaN orders, nuclear norms of anything but matrices, norms of empty channels"
    )
    for dim in (0, -1, 1):
        book.case(
            distinct(r, [6]),
            ln(1, 2, dim),
            channels(1, dim, 5),
            l1(2),
            ln(1, 2, dim),
            channels(1, dim, 5),
            l1(1),
            REMOVE,
        )
        book.case(torch.tensor(2.0), ln(1, 2, dim), IDENTITY, ln(0, 2, dim), l1(1))
    book.case(distinct(r, [3, 4]), l1(1), ln(1, NAN, 0))
    book.case(distinct(r, [3, 4]), ln(0, NAN, 0), l1(1))
    for shape in ([3, 4], [3, 4, 2, 2], [2, 3, 2, 2, 2]):
        for amount in (0, 1, 1.0):
            book.case(distinct(r, shape), ln(amount, "nuc", 0), l1(1), ln(amount, "nuc", -1), l1(1))
    for dtype in DT:
        w = normal(r, [4, 3, 5], dtype) * torch.tensor([1, 2, 4, 8], dtype=DT[dtype]).reshape(4, 1, 1)
        book.case(w, ln(1, "nuc", 0), l1(4), ln(2, "nuc", 0), REMOVE)
    book.family("clashes", "a parameter that has the name under which a pruned one is stored")
    for suffix in ("_orig", "_mask"):
        spec = {"m0": {"weight": A}, "m1": {"weight": A + 20, "weight" + suffix: torch.ones(2)}}
        book.case(spec, l1(1), l1(1, target="m1.weight"), l1(1, target="m1.weight" + suffix))
        book.case(spec, everywhere(["m0.weight", "m1.weight"], 3), l1(1))


def direct(book, r):
    book.family(
        "direct", "a method on its own counts what is pruned already and may pick it again; a container leaves it out"
    )
    for shape, dtype in itertools.product(([7, 5], [4, 3, 5], [3, 2, 4, 2]), DT):
        t, base, s = distinct(r, shape, dtype), bits(r, shape, 0.6), distinct(r, shape, dtype)
        base.select(1, 0).zero_()
        dim = len(shape) - 1
        for scores in (None, s):
            book.direct("L1Unstructured", t, base, scores, amount=0.4)
            book.direct("L1Unstructured", t, base, scores, amount=5)
            book.direct("LnStructured", t, base, scores, amount=1, n=1, dim=-dim)
            book.direct("LnStructured", t, base, scores, amount=0.5, n=2, dim=0)
        tied = (t % 3).to(t.dtype)
        book.direct("L1Unstructured", tied, base, amount=0.4)
        book.direct("LnStructured", tied, base, amount=1, n=math.inf, dim=1)
        seed = int(r.integers(0, 2**32))
        book.direct("RandomUnstructured", t, base, seed=seed, amount=0.3)
        book.direct("RandomStructured", t, base, seed=seed, amount=1, dim=1)
        book.direct("RandomStructured", t, base, seed=seed, amount=0.5, dim=dim)
        book.direct("Identity", t, base)
        book.direct("CustomFromMask", t, base, mask=bits(r, shape))


def fill(book):
    r = np.random.default_rng(23)
    for part in (amounts, shapes, partial, masks, several, failures, direct):
        part(book, r)
