"""Records random and directed runs of torch.nn.utils.prune.

  python golden.py --seed 1 --cases 400

writes golden_s<seed>.safetensors and golden_s<seed>.json (see "format" in it) beside this script.
Every expectation is what torch itself did; nothing is computed by hand.
"""

import argparse
import json
import math
import os
from collections import Counter

import numpy as np
import torch
from torch import nn
from safetensors.torch import save_file
from torch.nn.utils import prune as P

from directed import directed
from recorder import DT, Recorder, Store, Watch, jn, next_word

FORMAT = {
    "tensors": "all tensor names refer to the safetensors file; equal tensors share one name",
    "modules": "module name -> ordered {param name: tensor}; target 'm0.weight' = module m0, parameter weight",
    "amount": "{'int': k} (absolute) or {'float': f} (fraction, f may be the string 'nan'/'inf')",
    "n": "{'num': x} (x may be 'inf'/'-inf') or {'str': 'fro'|'nuc'}",
    "ops": {
        "identity": "target",
        "l1_unstructured": "target amount importance_scores?",
        "random_unstructured": "target amount seed (torch.manual_seed(seed) right before the call)",
        "random_structured": "target amount dim seed",
        "ln_structured": "target amount n dim importance_scores?",
        "custom_from_mask": "target mask",
        "global_unstructured": "targets method amount? importance_scores{target: tensor} seed?",
        "remove": "target",
        "update_orig": "target value: in-place overwrite of <name>_orig (of <name> itself if not pruned), NO recompute",
        "forward": "module: every pruned parameter of it is recomputed as mask*orig",
        "backward": "target upstream: after a forward, grad of sum(upstream*param) w.r.t. the stored parameter -> expect.grad",
    },
    "expect": {
        "error": "null or {class, message}: message verbatim from torch (module repr is 'Module()')",
        "params": "per target: attr (value of module.<name>), orig, mask (null if absent), hooked (a pruning hook exists), methods (list of method type names, the container's list if container)",
        "state": "per module: param_keys, buffer_keys (registration order), hooks (parameter names in hook order)",
        "zeros": "in params: number of mask entries == 0",
        "flags": "tie: the selection boundary was an exact tie (torch's pick = libstdc++ nth_element/partial_sort order); near_tie: norms at the boundary so close that a different summation order may flip them; kth_tie: equal random channel scores",
    },
    "case flags": {
        "ties": "last step has an exact tie: compare only counts (zeros, per-step) unless you emulate libstdc++ selection",
        "near_ties": "last step has a boundary gap within rounding error of the norm: compare only counts unless norms are bit-exact",
        "rng": "uses the torch CPU stream",
        "stale": "pruned while module attr was not mask*orig of the current orig (torch uses the stale attr)",
        "nonbinary": "some mask entry is not 0/1",
        "score_dtype": "importance scores of another dtype than the parameter",
        "mask_dtype": "some mask dtype differs from its orig's dtype",
        "lost_hook": "an error on an already pruned parameter dropped the hook (torch bug)",
        "struct1d": "structured call on an already pruned 1-D parameter (torch quirk)",
        "nuc": "nuclear norm",
        "mixed_dtype": "global over several dtypes",
        "dup_targets": "global lists one parameter twice",
        "nonfinite": "NaN/inf among weights or scores",
        "error": "contains a failing step",
        "edge": "directed edge case",
    },
    "compare": "NaN == NaN regardless of sign/payload; everything else bit for bit (incl. -0.0)",
}


# ------------------------------------------------------------------ random data
def rshape(r, maxn=120, ndim=None):
    while True:
        nd = ndim or int(r.choice([1, 2, 2, 2, 3, 3, 4, 4, 5]))
        s = [int(x) for x in r.integers(1, [0, 60, 14, 8, 6, 4][nd] + 1, size=nd)]
        if math.prod(s) <= maxn:
            return s


def rvals(r, shape, dt, kind=None):
    n = math.prod(shape)
    kind = kind or r.choice(["normal", "normal", "perm", "perm", "scaled"])
    if kind == "perm" or (kind != "ties" and dt in (torch.float16, torch.bfloat16) and n <= 250 and r.random() < 0.7):
        v = (r.permutation(n) + 1.0) * (2.0 ** int(r.integers(-6, 2))) * r.choice([-1.0, 1.0], n)
    elif kind == "ties":
        v = r.integers(-3, 4, n).astype(float)
    else:
        v = r.standard_normal(n)
    v = v.reshape(shape)
    if len(shape) > 1 and r.random() < 0.5:  # spread the channel norms apart
        d = int(r.integers(0, len(shape)))
        sc = (1.0 + r.permutation(shape[d]) * 0.7).reshape([-1 if i == d else 1 for i in range(len(shape))])
        if kind != "perm" and kind != "ties":
            v = v * sc
    if kind == "special":
        f = v.reshape(-1)
        for x in (np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-8, -5e-8):
            if r.random() < 0.6:
                f[int(r.integers(0, n))] = x
    return torch.from_numpy(np.ascontiguousarray(v)).to(dt)


def ramount(r, size, bad=0.05):
    u = r.random()
    if u < bad:
        return [size + 1, size + 1 + int(r.integers(0, 5)), -1, 1.5, -0.25, float("nan"), float("inf")][
            int(r.integers(0, 7))
        ]
    if u < 0.45:
        return int(r.integers(0, size + 1)) if r.random() < 0.3 else int(r.integers(0, size // 2 + 1))
    return [0.0, 0.1, 0.2, 0.25, 0.3, 0.5, 0.125, 0.75, 0.9, 1.0, float(r.random()), float(r.random() * 0.5)][
        int(r.choice(12, p=[0.04, 0.1, 0.12, 0.1, 0.12, 0.14, 0.06, 0.06, 0.04, 0.03, 0.1, 0.09]))
    ]


NS = [0, 1, 2, 3, 0.5, float("inf"), float("-inf"), "fro", 2.0, 1, 2, -1, 1.5, 2, 1]


def random_case(r, S, W):
    dt = DT[r.choice(["f32", "f32", "f64", "f16", "bf16"])]
    kind = r.choice(["any", "any", "any", "any", "any", "special", "ties"])
    mixed = r.random() < 0.08
    spec = {}
    for i in range(int(r.choice([1, 1, 2, 3]))):
        ps = {}
        for pn in ["weight", "bias"] if r.random() < 0.5 else ["weight"]:
            d = DT[r.choice(list(DT))] if mixed else dt
            shp = rshape(r, 80) if pn == "weight" else rshape(r, 30, 1)
            ps[pn] = rvals(r, shp, d, None if kind == "any" else kind)
        spec[f"m{i}"] = ps
    R = Recorder(S, W, spec, [])
    nprune, guard = int(r.integers(1, 5)), 0
    while nprune > 0 and not R.done and guard < 14:
        guard += 1
        t = R.names[int(r.integers(0, len(R.names)))]
        if r.random() < 0.6:  # stay on one target mostly, so that sequences compose
            t = R.names[0]
        w = R.world.attr(t)
        hooked = R.world.hook(t) is not None
        nd = w.dim()
        ops, p = zip(
            *{
                "l1_unstructured": 0.24,
                "random_unstructured": 0.12,
                "ln_structured": 0.2,
                "random_structured": 0.1,
                "custom_from_mask": 0.1,
                "identity": 0.04,
                "global_unstructured": 0.12,
                "remove": 0.03,
                "update": 0.03,
                "backward": 0.02,
            }.items()
        )
        op = r.choice(ops, p=p)
        if op in ("ln_structured", "random_structured") and nd < 2 and r.random() < 0.85:
            op = "l1_unstructured"
        seed = int(r.integers(0, 2**31))
        if op in ("l1_unstructured", "random_unstructured"):
            am = ramount(r, R.world.remaining(t))
            if op == "l1_unstructured":
                sc = None
                if r.random() < 0.3:
                    sdt = w.dtype if r.random() < 0.85 else DT[r.choice(list(DT))]
                    sc = rvals(r, list(w.shape) if r.random() < 0.95 else [w.numel() + 1], sdt)
                R.step(op, target=t, amount=am, importance_scores=sc)
            else:
                R.step(op, target=t, amount=am, seed=seed)
        elif op in ("ln_structured", "random_structured"):
            dim = int(r.integers(-nd, nd)) if nd and r.random() < 0.93 else int(r.choice([nd, nd + 2, -nd - 1]))
            sz = R.world.channels(t, dim) if nd and -nd <= dim < nd else 1
            am = ramount(r, sz)
            if op == "ln_structured":
                n = NS[int(r.integers(0, len(NS)))]
                if r.random() < 0.04:
                    n = "nuc"
                sc = None
                if r.random() < 0.25:
                    sdt = w.dtype if r.random() < 0.85 else DT[r.choice(list(DT))]
                    sc = rvals(r, list(w.shape), sdt)
                if n == "nuc" and not torch.isfinite(w if sc is None else sc).all():
                    n = 2  # SVD of non-finite input: not a case worth mirroring
                R.step(op, target=t, amount=am, n=n, dim=dim, importance_scores=sc)
            else:
                R.step(op, target=t, amount=am, dim=dim, seed=seed)
        elif op == "custom_from_mask":
            shp = list(w.shape) if r.random() < 0.95 else list(w.shape) + [1]
            mk = torch.from_numpy((r.random(shp) < r.choice([0.5, 0.7, 0.9])).astype(np.float64))
            mk = mk.to(
                [torch.bool, torch.int64, torch.float32, w.dtype, torch.float64, torch.uint8][int(r.integers(0, 6))]
            )
            R.step(op, target=t, mask=mk)
        elif op == "identity":
            R.step(op, target=t)
        elif op == "global_unstructured":
            k = int(r.integers(1, len(R.names) + 1))
            ts = [R.names[i] for i in r.permutation(len(R.names))[:k]]
            if r.random() < 0.05:
                ts = ts + ts[:1]
            me = r.choice(["L1Unstructured", "L1Unstructured", "L1Unstructured", "RandomUnstructured"])
            tot = sum(R.world.remaining(x) for x in ts)
            kw = {"seed": seed} if me == "RandomUnstructured" else {}
            sc = None
            if me == "L1Unstructured" and r.random() < 0.35:
                sc = {x: rvals(r, list(R.world.attr(x).shape), R.world.attr(x).dtype) for x in ts if r.random() < 0.6}
            R.step(op, targets=ts, method=str(me), amount=ramount(r, tot), importance_scores=sc, **kw)
        elif op == "remove":
            if not hooked and r.random() < 0.8:
                continue
            R.step("remove", target=t)
            continue
        elif op == "update":
            R.step("update_orig", target=t, value=rvals(r, list(w.shape), w.dtype))
            if r.random() < 0.75:
                R.step("forward", module=t.split(".")[0])
            continue
        elif op == "backward":
            R.step("backward", target=t, upstream=rvals(r, list(w.shape), w.dtype))
            continue
        nprune -= 1
    if not R.done and r.random() < 0.3:
        for t in R.names:
            if R.world.hook(t) is not None:
                R.step("remove", target=t)
    return R


# ------------------------------------------------------------------ primitive sections
def primitives(S, seed):
    out = {"rng": [], "init": [], "topk": [], "norms": []}
    for s in (0, 1, 888, 2**32 + 7, 2**63 + 11):
        for dn, dt in DT.items():
            for n in (1, 9, 888) if s in (0, 888) else (5, 40):
                torch.manual_seed(s)
                x = torch.rand(n, dtype=dt)
                out["rng"].append(
                    {"seed": str(s), "dtype": dn, "n": n, "values": S.put(x), "next_word_u24": next_word()}
                )
    for s in (0, 888):
        for dn, (a, b) in (
            ("f32", (-0.123, 0.456)),
            ("f32", (1.0, 1.0000001192092896)),
            ("f64", (-1 / 3, 1 / 3)),
            ("f16", (-0.25, 0.7)),
            ("bf16", (0.7, 0.9)),
        ):
            torch.manual_seed(s)
            out["init"].append(
                {
                    "kind": "uniform_",
                    "seed": s,
                    "dtype": dn,
                    "from": a,
                    "to": b,
                    "values": S.put(torch.empty(60, dtype=DT[dn]).uniform_(a, b)),
                }
            )
        for dn in ("f32", "f64", "f16", "bf16"):
            torch.manual_seed(s)
            m = nn.Linear(7, 5, dtype=DT[dn])
            out["init"].append(
                {
                    "kind": "linear",
                    "seed": s,
                    "dtype": dn,
                    "in": 7,
                    "out": 5,
                    "weight": S.put(m.weight),
                    "bias": S.put(m.bias),
                }
            )
            torch.manual_seed(s)
            m = nn.Conv2d(2, 3, 3, dtype=DT[dn])
            out["init"].append(
                {
                    "kind": "conv2d",
                    "seed": s,
                    "dtype": dn,
                    "in": 2,
                    "out": 3,
                    "k": 3,
                    "weight": S.put(m.weight),
                    "bias": S.put(m.bias),
                }
            )
    r = np.random.default_rng(seed + 77)
    for i in range(60):
        n = int(r.choice([1, 2, 3, 4, 5, 8, 16, 31, 64, 65, 128, 200, 300, 640]))
        k = int(r.choice([1, n, max(1, n // 2), int(r.integers(1, n + 1)), max(1, n // 64)]))
        x = torch.from_numpy(r.integers(0, int(r.choice([1, 2, 5, 50])), n).astype(float)).to(DT[r.choice(list(DT))])
        if r.random() < 0.2:
            x[torch.from_numpy(r.random(n) < 0.2)] = float("nan")
        lg = bool(r.random() < 0.5)
        out["topk"].append(
            {
                "input": S.put(x),
                "k": k,
                "largest": lg,
                "selected_sorted": sorted(torch.topk(x, k, largest=lg).indices.tolist()),
            }
        )
    for i in range(80):
        nd = int(r.integers(2, 6))
        shp = [int(v) for v in r.integers(1, {2: 20, 3: 8, 4: 5, 5: 4}[nd], nd)]
        x = torch.from_numpy(r.standard_normal(shp)).to(DT[r.choice(list(DT))])
        n = [0, 1, 2, 3, 0.5, -1, float("inf"), float("-inf"), "fro", 2, 2, 1, 1.5][int(r.integers(0, 13))]
        d = int(r.integers(-nd, nd))
        out["norms"].append({"input": S.put(x), "n": jn(n), "dim": d, "norm": S.put(P._compute_norm(x, n, d))})
    return out


def record(seed, count, with_directed, S, W):
    """The directed cases first, as many as fit; the rest random."""
    recorders = directed(S, W)[:count] if with_directed else []
    rest = count - len(recorders)
    return recorders + [random_case(np.random.default_rng([seed, i]), S, W) for i in range(rest)]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--cases", type=int, default=400, help="directed edge cases first (all that fit), the rest random")
    ap.add_argument("--no-directed", action="store_true")
    ap.add_argument("--out", default=os.path.dirname(os.path.abspath(__file__)))
    o = ap.parse_args()
    S, W = Store(), Watch()
    recorders = record(o.seed, o.cases, not o.no_directed, S, W)
    W.restore()
    cases = [R.finish() for R in recorders]
    for j, c in enumerate(cases):
        c["id"] = j
    prim = primitives(S, o.seed)
    os.makedirs(o.out, exist_ok=True)
    base = os.path.join(o.out, f"golden_s{o.seed}")
    save_file(S.t, base + ".safetensors")
    man = {
        "generator": "golden.py",
        "seed": o.seed,
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "format": FORMAT,
        "cases": cases,
        "primitives": prim,
    }
    with open(base + ".json", "w") as f:
        json.dump(man, f, allow_nan=False, separators=(",", ":"))
    fl = Counter(x for c in cases for x in c["flags"])
    print("cases", len(cases), "steps", sum(len(c["steps"]) for c in cases), "tensors", len(S.t))
    print("flags", dict(fl))
    print("ops", dict(Counter(s["op"] for c in cases for s in c["steps"])))
    print(
        "errors",
        dict(Counter(s["expect"]["error"]["class"] for c in cases for s in c["steps"] if s["expect"]["error"])),
    )
    print("dtypes", dict(Counter(str(S.t[t].dtype) for c in cases for m in c["modules"].values() for t in m.values())))
    print("plain cases (no tie flags)", sum(1 for c in cases if not {"ties", "near_ties"} & set(c["flags"])))
    for e in (".safetensors", ".json"):
        print(base + e, os.path.getsize(base + e))


if __name__ == "__main__":
    main()
