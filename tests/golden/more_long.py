"""Long random runs, with failing calls among the others."""

import numpy as np

import golden
from more_cases import IDENTITY, REMOVE, bits, channels, everywhere, l1, ln, mask, random
from recorder import DT


def long_case(book, r):
    """Many steps, mostly on one parameter, planned on the modules as this crate has them."""
    dtype = str(r.choice(list(DT)))
    kind = str(r.choice(["any", "any", "any", "special"]))
    values = lambda shape: golden.rvals(r, shape, DT[dtype], None if kind == "any" else kind)  # noqa: E731
    ndim = int(r.choice([2, 2, 3, 3, 4, 5, 6]))
    shape = r.integers(2, {2: 12, 3: 7, 4: 5, 5: 4, 6: 3}[ndim], ndim).tolist()
    R = book.recorder(
        {"m0": {"weight": values(shape), "bias": values([int(r.integers(1, 9))])}, "m1": {"weight": values([3, 5])}}
    )
    for _ in range(int(r.integers(8, 19))):
        world = R.mended.world
        t = R.names[int(r.choice([0, 0, 0, 0, 0, 0, 1, 2]))]
        w, seed = world.attr(t), int(r.integers(0, 2**33))
        shape, nd = list(w.shape), w.dim()
        small = float(r.choice([0.1, 0.15, 0.2, 0.25, 0.3, 0.5])) if r.random() < 0.6 else int(r.integers(0, 3))
        if r.random() < 0.05:
            small = golden.ramount(r, world.remaining(t), bad=0.8)
        scores = {"importance_scores": values(shape)} if r.random() < 0.25 else {}
        dim = int(r.integers(-nd, nd))
        n = golden.NS[int(r.integers(0, len(golden.NS)))]
        plan = [
            l1(small, **scores),
            l1(small),
            random(small, seed),
            mask(bits(r, shape, 0.8)),
            IDENTITY,
            REMOVE,
            ("update_orig", {"value": values(shape)}),
            ("backward", {"upstream": values(shape)}),
            everywhere(
                [R.names[i] for i in r.permutation(3)[: int(r.integers(1, 4))]], small, "RandomUnstructured", seed=seed
            ),
            everywhere(R.names, small),
        ]
        share = [0.16, 0.08, 0.1, 0.08, 0.04, 0.02, 0.04, 0.04, 0.05, 0.05]
        if nd > 1:
            plan += [ln(small, n, dim, **scores), channels(small, dim, seed)]
            share += [0.24, 0.1]
        op, a = plan[int(r.choice(len(plan), p=np.array(share) / sum(share)))]
        R.step(op, **({} if op == "global_unstructured" else {"target": t}), **a)


def fill(book):
    r = np.random.default_rng(24)
    book.family("long", "random runs of up to 18 steps, failing ones among them")
    for _ in range(130):
        long_case(book, r)
