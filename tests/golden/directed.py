"""Directed cases of golden.py: one edge of torch.nn.utils.prune each."""

import math

import numpy as np
import torch

from recorder import DT, Recorder


def T(x, dt=torch.float32):
    return torch.tensor(x, dtype=dt)


def directed(S, W):
    inf, nan = float("inf"), float("nan")
    A12 = torch.tensor([7.0, -3, 11, 1, -9, 5, 12, -2, 8, -10, 4, 6])

    def one(t, *steps, flags=("edge",), bias=None):
        ps = {"weight": t}
        if bias is not None:
            ps["bias"] = bias
        R = Recorder(S, W, {"m0": ps}, flags)
        for op, kw in steps:
            kw = dict(kw)
            if op not in ("forward", "global_unstructured"):
                kw.setdefault("target", "m0.weight")
            R.step(op, **kw)
        return R

    C = []
    # rounding half to even, int versus float, every dtype
    for am in (0.125, 0.375, 0.625, 0.0416666, 0.0416667, 0.0, -0.0, 1.0, 0, 1, 12, 13, -1, 1.0000001, nan, inf, 2.5):
        C.append(one(A12.clone(), ("l1_unstructured", {"amount": am})))
    for n, am in ((10, 0.25), (10, 0.15), (10, 0.35), (30, 0.15), (30, 0.35), (100, 0.285), (100, 0.145), (50, 0.29)):
        C.append(
            one(torch.arange(1.0, n + 1), ("l1_unstructured", {"amount": am}), ("l1_unstructured", {"amount": am}))
        )
    for dt in DT.values():
        C.append(
            one(
                A12.reshape(3, 4).to(dt),
                ("l1_unstructured", {"amount": 3}),
                ("ln_structured", {"amount": 1, "n": 2, "dim": 0}),
                ("random_unstructured", {"amount": 0.5, "seed": 888}),
                ("remove", {}),
            )
        )
        C.append(
            one(
                A12.reshape(3, 4).to(dt),
                ("random_structured", {"amount": 1, "dim": -1, "seed": 7}),
                ("l1_unstructured", {"amount": 0.5}),
                ("backward", {"upstream": A12.reshape(3, 4).to(dt)}),
                ("remove", {}),
            )
        )
    # fractions of what remains; running out
    C.append(one(torch.arange(1.0, 11), *[("l1_unstructured", {"amount": 0.5})] * 4))
    C.append(one(torch.arange(1.0, 31).reshape(10, 3), *[("ln_structured", {"amount": 0.5, "n": 1, "dim": 0})] * 4))
    C.append(one(torch.arange(1.0, 11), ("l1_unstructured", {"amount": 8}), ("l1_unstructured", {"amount": 3})))
    C.append(
        one(
            torch.arange(1.0, 11),
            ("l1_unstructured", {"amount": 8}),
            ("l1_unstructured", {"amount": 1}),
            ("l1_unstructured", {"amount": -1}),
        )
    )
    C.append(
        one(
            torch.arange(1.0, 11),
            ("l1_unstructured", {"amount": 1.0}),
            ("l1_unstructured", {"amount": 0.5}),
            ("l1_unstructured", {"amount": 1}),
        )
    )
    # lost hook in every error branch on a second call
    for bad in (
        ("l1_unstructured", {"amount": 99}),
        ("l1_unstructured", {"amount": 1, "importance_scores": torch.ones(2)}),
        ("ln_structured", {"amount": 1, "n": 2, "dim": 5}),
        ("ln_structured", {"amount": 1, "n": 2, "dim": -3}),
        ("custom_from_mask", {"mask": torch.ones(4)}),
        ("l1_unstructured", {"amount": nan}),
    ):
        C.append(one(A12.reshape(3, 4), ("l1_unstructured", {"amount": 2}), bad, flags=("edge",), bias=T([1.0, 2, 3])))
    # the same errors on the first call (rolled back, but the key moves to the end)
    for bad in (
        ("l1_unstructured", {"amount": 99}),
        ("l1_unstructured", {"amount": 1, "importance_scores": torch.ones(2)}),
        ("ln_structured", {"amount": 1, "n": 2, "dim": 5}),
        ("ln_structured", {"amount": 1, "n": 2, "dim": -3}),
        ("custom_from_mask", {"mask": torch.ones(4)}),
        ("ln_structured", {"amount": 1, "n": "nuc", "dim": 0}),
        ("remove", {}),
    ):
        C.append(one(A12.reshape(3, 4), bad, ("l1_unstructured", {"amount": 2}), flags=("edge",), bias=T([1.0, 2, 3])))
    # 1-D structured: error first, quirk second
    C.append(one(torch.arange(1.0, 6), ("ln_structured", {"amount": 1, "n": 2, "dim": 0})))
    for dim in (0, -1, 1):
        C.append(
            one(
                torch.arange(1.0, 6),
                ("l1_unstructured", {"amount": 1}),
                ("ln_structured", {"amount": 1, "n": 2, "dim": dim}),
            )
        )
    # shapes
    for shp in ([], [0], [1], [0, 3], [3, 0], [1, 1], [1, 5], [5, 1], [2, 0, 3]):
        t = torch.arange(1, 1 + math.prod(shp)).float().reshape(shp)
        C.append(
            one(
                t,
                ("l1_unstructured", {"amount": 0.5}),
                ("identity", {}),
                ("custom_from_mask", {"mask": torch.zeros(shp)}),
                ("remove", {}),
            )
        )
        C.append(one(t, ("random_unstructured", {"amount": 1.0, "seed": 3})))
        if len(shp) > 1:
            for n in (2, inf, -inf, 0):
                C.append(one(t, ("ln_structured", {"amount": 1, "n": n, "dim": 0})))
            C.append(one(t, ("random_structured", {"amount": 0.5, "dim": -1, "seed": 3})))
    # norms on every n, 2-D..5-D
    r = np.random.default_rng(5)
    for nd in (2, 3, 4, 5):
        shp = {2: [5, 7], 3: [4, 3, 5], 4: [4, 3, 2, 3], 5: [3, 2, 2, 2, 3]}[nd]
        t = torch.from_numpy(r.standard_normal(shp)).float()
        for n in (0, 1, 2, 3, 0.5, -1, inf, -inf, "fro", "nuc"):
            C.append(one(t, ("ln_structured", {"amount": 1, "n": n, "dim": int(r.integers(0, nd))}), flags=("edge",)))
    # NaN, inf, -0.0, subnormals
    sp = T([nan, -inf, inf, -0.0, 1e-45, -2e-45, 2.0, -3.0])
    for k in range(9):
        C.append(one(sp, ("l1_unstructured", {"amount": k})))
    for n in (0, 1, 2, inf, -inf):
        C.append(
            one(
                T([[nan, 1.0], [5, 5], [0.1, 0.2], [inf, 2]]),
                ("ln_structured", {"amount": 2, "n": n, "dim": 0}),
                ("remove", {}),
            )
        )
    C.append(one(T([nan, 1.0, 2, 3]), ("l1_unstructured", {"amount": 4}), ("remove", {})))
    # non-binary masks
    C.append(
        one(
            A12.reshape(3, 4),
            ("custom_from_mask", {"mask": T([[0.5, 1, 2, -1]] * 3)}),
            ("l1_unstructured", {"amount": 1}),
            ("custom_from_mask", {"mask": T([[0.5, 1, 2, -1]] * 3)}),
            ("backward", {"upstream": torch.ones(3, 4)}),
            ("remove", {}),
        )
    )
    C.append(
        one(
            A12.reshape(3, 4),
            ("custom_from_mask", {"mask": T([[1, -1, 1, -1], [1, 1, 1, 1], [1, 1, 1, 1]])}),
            ("ln_structured", {"amount": 1.0, "n": 2, "dim": 0}),
        )
    )
    C.append(
        one(
            A12.clone(),
            ("custom_from_mask", {"mask": T([0.1] * 12, torch.float64)}),
            ("global_unstructured", {"targets": ["m0.weight"], "method": "L1Unstructured", "amount": 0.5}),
        )
    )
    # stale attribute
    C.append(
        one(
            torch.arange(1.0, 7),
            ("l1_unstructured", {"amount": 2}),
            ("update_orig", {"value": T([6.0, 5, 4, 3, 2, 1])}),
            ("l1_unstructured", {"amount": 1}),
            ("remove", {}),
        )
    )
    C.append(
        one(
            torch.arange(1.0, 7),
            ("l1_unstructured", {"amount": 2}),
            ("update_orig", {"value": T([6.0, 5, 4, 3, 2, 1])}),
            ("forward", {"module": "m0"}),
            ("l1_unstructured", {"amount": 1}),
            ("remove", {}),
        )
    )
    C.append(
        one(
            torch.arange(1.0, 7),
            ("l1_unstructured", {"amount": 2}),
            ("update_orig", {"value": T([6.0, 5, 4, 3, 2, 1])}),
            ("remove", {}),
        )
    )
    # scores of masked entries are not zeroed on a later structured call
    w = T([[1.0, 9], [2, 2], [3, 3]])
    C.append(
        one(
            w,
            ("custom_from_mask", {"mask": T([[1, 0], [1, 1], [1, 1]])}),
            ("ln_structured", {"amount": 1, "n": 1, "dim": 0}),
        )
    )
    C.append(
        one(
            w,
            ("custom_from_mask", {"mask": T([[1, 0], [1, 1], [1, 1]])}),
            ("ln_structured", {"amount": 1, "n": 1, "dim": 0, "importance_scores": w}),
        )
    )
    # half precision norms: rounding to storage, overflow
    C.append(
        one(
            T([[60000.0, 60000], [50000, 50000], [1, 1]], torch.float16),
            ("ln_structured", {"amount": 1, "n": 1, "dim": 0}),
        )
    )
    C.append(
        one(T([[1.0, 0.01], [1.0, 0.0], [3, 0.02]], torch.bfloat16), ("ln_structured", {"amount": 1, "n": 2, "dim": 0}))
    )
    # exact ties, all equal
    for n, k in ((4, 1), (4, 2), (10, 3), (64, 1), (128, 2), (130, 2), (200, 50)):
        C.append(one(torch.ones(n), ("l1_unstructured", {"amount": k})))
    for k in (1, 2, 3, 4):
        C.append(one(torch.ones(4, 2), ("ln_structured", {"amount": k, "n": 2, "dim": 0})))
    # two parameters of one module: key order
    R = Recorder(S, W, {"m0": {"weight": A12.reshape(3, 4), "bias": T([3.0, 1, 2])}}, ["edge"])
    for st in (
        ("l1_unstructured", {"target": "m0.bias", "amount": 1}),
        ("l1_unstructured", {"target": "m0.weight", "amount": 2}),
        ("l1_unstructured", {"target": "m0.bias", "amount": 1}),
        ("remove", {"target": "m0.weight"}),
        ("remove", {"target": "m0.bias"}),
    ):
        R.step(st[0], **st[1])
    C.append(R)

    # global
    def glob(spec, *steps):
        R = Recorder(S, W, spec, ["edge"])
        for op, kw in steps:
            R.step(op, **kw)
        C.append(R)

    g = "global_unstructured"
    a, b = T([5.0, 1, 3]), T([[2.0, 4], [0.5, 6]])
    ab = ["m0.weight", "m1.weight"]
    sp2 = {"m0": {"weight": a}, "m1": {"weight": b}}
    glob(
        sp2,
        (g, {"targets": ab, "method": "L1Unstructured", "amount": 3}),
        (g, {"targets": ab, "method": "L1Unstructured", "amount": 0.5}),
        (g, {"targets": ab, "method": "L1Unstructured", "amount": 3}),
        ("remove", {"target": "m0.weight"}),
    )
    glob(
        sp2,
        ("l1_unstructured", {"target": "m0.weight", "amount": 1}),
        (g, {"targets": ab, "method": "L1Unstructured", "amount": 2}),
    )
    glob(
        sp2,
        (g, {"targets": ab[::-1], "method": "RandomUnstructured", "amount": 3, "seed": 888}),
        (g, {"targets": ab, "method": "RandomUnstructured", "amount": 0.5, "seed": 889}),
    )
    glob(
        sp2,
        (
            g,
            {
                "targets": ab,
                "method": "L1Unstructured",
                "amount": 2,
                "importance_scores": {"m0.weight": T([0.1, 0.2, 9])},
            },
        ),
    )
    glob(sp2, (g, {"targets": [], "method": "L1Unstructured", "amount": 2}))
    glob(sp2, (g, {"targets": ab, "method": "Identity"}))
    for me in ("LnStructured", "RandomStructured", "CustomFromMask"):
        glob(sp2, (g, {"targets": ab, "method": me, "amount": 1}))
    glob(sp2, (g, {"targets": ["m0.weight", "m0.weight"], "method": "L1Unstructured", "amount": 2}))
    glob(sp2, (g, {"targets": ["m0.weight", "m1.weight", "m0.weight"], "method": "L1Unstructured", "amount": 4}))
    glob(sp2, (g, {"targets": ab, "method": "L1Unstructured", "amount": 8}))
    glob(
        {
            "m0": {"weight": a},
            "m1": {"weight": T([2.0, 4, 0.3], torch.float64)},
            "m2": {"weight": T([2.5, 4.1, 0.4], torch.float16)},
        },
        (g, {"targets": ["m0.weight", "m1.weight", "m2.weight"], "method": "L1Unstructured", "amount": 4}),
    )
    glob(
        {"m0": {"weight": a.half()}, "m1": {"weight": T([2.0, 4, 0.3], torch.bfloat16)}},
        (g, {"targets": ab, "method": "RandomUnstructured", "amount": 2, "seed": 5}),
        (g, {"targets": ab, "method": "L1Unstructured", "amount": 1}),
    )
    glob(
        sp2,
        (
            g,
            {
                "targets": ab,
                "method": "L1Unstructured",
                "amount": 2,
                "importance_scores": {"m0.weight": T([9.0, 8, 7, 6])},
            },
        ),
    )
    return C
