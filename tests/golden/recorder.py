"""Runs torch.nn.utils.prune and writes down what it did: the tensor store, the tie watch, the modules and the recorder.

Nothing in here computes an expectation: every number comes out of torch.
"""

import hashlib
import math
import warnings

import torch
from torch import nn
from torch.nn.utils import prune as P

warnings.simplefilter("ignore")
torch.set_num_threads(1)

DT = {"f32": torch.float32, "f64": torch.float64, "f16": torch.float16, "bf16": torch.bfloat16}
DTN = {v: k for k, v in DT.items()}
HALVES = (torch.float16, torch.bfloat16)
METHODS = {
    "L1Unstructured": P.L1Unstructured,
    "RandomUnstructured": P.RandomUnstructured,
    "Identity": P.Identity,
    "LnStructured": P.LnStructured,
    "RandomStructured": P.RandomStructured,
    "CustomFromMask": P.CustomFromMask,
}
NOT_PRUNING = ("remove", "update_orig", "forward", "backward", "manual_seed", "draw")


class Module(nn.Module):
    def forward(self, x):
        return x


class Store:
    """Tensors by name; equal tensors share one name."""

    def __init__(self):
        self.t, self.h = {}, {}

    def put(self, x):
        x = x.detach().contiguous().clone()
        raw = x.reshape(-1).view(torch.uint8).numpy().tobytes() if x.numel() else b""
        key = (str(x.dtype), tuple(x.shape), hashlib.sha1(raw).digest())
        if key not in self.h:
            name = f"t{len(self.t):05d}"
            self.h[key] = name
            self.t[name] = x
        return self.h[key]


class Watch:
    """Wraps torch.topk, torch.kthvalue and prune._compute_norm to notice ties at the boundary of a selection."""

    def __init__(self):
        self.flags = set()
        self.norm_n = None
        self._topk, self._kth, self._norm = torch.topk, torch.kthvalue, P._compute_norm
        torch.topk, torch.kthvalue, P._compute_norm = self.topk, self.kth, self.norm

    def restore(self):
        torch.topk, torch.kthvalue, P._compute_norm = self._topk, self._kth, self._norm

    def norm(self, t, n, dim):
        r = self._norm(t, n, dim)
        self.norm_n = (n,)
        return r

    def topk(self, x, k, *a, largest=True, **kw):
        r = self._topk(x, k, *a, largest=largest, **kw)
        norm_n, self.norm_n = self.norm_n, None
        x = x.detach()
        if x.dim() == 1 and 0 < k < x.numel():
            v = torch.sort(x.double(), descending=largest).values  # NaN counts as the largest, as in topk
            a, b = v[k - 1].item(), v[k].item()
            if a == b or (a != a and b != b):
                self.flags.add("tie")
            elif norm_n is not None and math.isfinite(a) and math.isfinite(b):
                if abs(a - b) <= self.tolerance(norm_n[0], x.dtype) * max(abs(a), abs(b)):
                    self.flags.add("near_tie")
        return r

    @staticmethod
    def tolerance(n, dtype):
        """How far apart two norms must be for the order of summation not to matter."""
        if n in (0, float("inf"), float("-inf")):
            return 0.0
        tol = {
            torch.float64: 1e-12,
            torch.float32: 4e-6,
            torch.float16: 2.0**-10 * 1.01,
            torch.bfloat16: 2.0**-7 * 1.01,
        }[dtype]
        return max(tol, 1e-5 if dtype == torch.float32 else 1e-11) if n == "nuc" else tol

    def kth(self, x, k, *a, **kw):
        r = self._kth(x, k, *a, **kw)
        if int((x <= r.values).sum()) != k:
            self.flags.add("kth_tie")
        return r


def num(x):
    """A number that JSON can hold."""
    if isinstance(x, float) and not math.isfinite(x):
        return "nan" if x != x else ("inf" if x > 0 else "-inf")
    return x


def jamount(a):
    return {"int": int(a)} if isinstance(a, int) else {"float": num(a)}


def jn(n):
    return {"str": n} if isinstance(n, str) else {"num": num(n)}


def next_word():
    """The position of torch's stream: the next 24-bit value."""
    return int(torch.rand(1).item() * 2**24)


class World:
    """The modules of one case, and the operations on them."""

    def __init__(self, spec):
        self.mods = {}
        for mn, ps in spec.items():
            m = Module()
            for pn, t in ps.items():
                m.register_parameter(pn, nn.Parameter(t.clone()))  # keeps the strides
            self.mods[mn] = m
        self.names = [f"{mn}.{pn}" for mn, ps in spec.items() for pn in ps]
        self.stream = None  # the state of torch's generator, after the operation `manual_seed`

    def mp(self, target):
        mn, pn = target.split(".")
        return self.mods[mn], pn

    def attr(self, target):
        m, pn = self.mp(target)
        return getattr(m, pn)

    def hook(self, target):
        m, pn = self.mp(target)
        for h in m._forward_pre_hooks.values():
            if isinstance(h, P.BasePruningMethod) and h._tensor_name == pn:
                return h
        return None

    def fresh(self, target):
        """Whether the attribute is mask * orig."""
        if self.hook(target) is None:
            return True
        m, pn = self.mp(target)
        w, orig = getattr(m, pn), getattr(m, pn + "_orig")
        now = getattr(m, pn + "_mask").to(orig.dtype) * orig
        return w.dtype == now.dtype and torch.equal(torch.nan_to_num(w), torch.nan_to_num(now))

    def remaining(self, target):
        m, pn = self.mp(target)
        mk = getattr(m, pn + "_mask", None)
        return getattr(m, pn).numel() if mk is None else int((mk == 1).sum())

    def channels(self, target, dim):
        m, pn = self.mp(target)
        w = getattr(m, pn)
        mk = getattr(m, pn + "_mask", None)
        if mk is None:
            return w.shape[dim]
        d = dim % w.dim()
        return int((mk.sum([i for i in range(w.dim()) if i != d]) != 0).sum()) if w.dim() > 1 else 1

    def params(self, store):
        """What there is to see of every parameter."""
        params = {}
        for t in self.names:
            m, pn = self.mp(t)
            h = self.hook(t)
            o = (
                None if f"{t}_orig" in self.names else m._parameters.get(pn + "_orig")
            )  # unless it is a parameter of its own
            k = m._buffers.get(pn + "_mask")
            methods = list(h) if isinstance(h, P.PruningContainer) else [h]
            params[t] = {
                "attr": store.put(getattr(m, pn)),
                "orig": None if o is None else store.put(o),
                "mask": None if k is None else store.put(k),
                "hooked": h is not None,
                "methods": None if h is None else [type(x).__name__ for x in methods],
                "container": isinstance(h, P.PruningContainer),
                "zeros": None if k is None else int((k == 0).sum()),
            }
        return params

    def state(self):
        return {
            mn: {
                "param_keys": list(m._parameters),
                "buffer_keys": list(m._buffers),
                "hooks": [h._tensor_name for h in m._forward_pre_hooks.values() if isinstance(h, P.BasePruningMethod)],
            }
            for mn, m in self.mods.items()
        }

    def forward(self):
        for m in self.mods.values():
            m(None)

    def run(self, op, a):
        """One operation; what it showed besides the state of the modules: a gradient, or the position of the stream."""
        if "seed" in a:
            torch.manual_seed(a["seed"])
        elif self.stream is not None:
            torch.set_rng_state(self.stream)
        try:
            seen = self.operate(op, a) or {}
            return {**seen, "next_word_u24": next_word()} if op == "draw" else seen
        finally:
            if op == "manual_seed" or "seed" not in a and self.stream is not None:
                self.stream = torch.get_rng_state()

    def operate(self, op, a):
        if op in ("manual_seed", "draw"):
            return None
        if op == "global_unstructured":
            return self.run_global(a)
        if op == "forward":
            self.mods[a["module"]](None)
            return None
        m, pn = self.mp(a["target"])
        if op == "identity":
            P.identity(m, pn)
        elif op == "l1_unstructured":
            P.l1_unstructured(m, pn, a["amount"], importance_scores=a.get("importance_scores"))
        elif op == "random_unstructured":
            P.random_unstructured(m, pn, a["amount"])
        elif op == "random_structured":
            P.random_structured(m, pn, a["amount"], a["dim"])
        elif op == "ln_structured":
            P.ln_structured(m, pn, a["amount"], a["n"], a["dim"], importance_scores=a.get("importance_scores"))
        elif op == "custom_from_mask":
            P.custom_from_mask(m, pn, a["mask"])
        elif op == "remove":
            P.remove(m, pn)
        elif op == "update_orig":
            with torch.no_grad():
                (m._parameters.get(pn + "_orig", m._parameters.get(pn))).copy_(a["value"])
        elif op == "backward":
            m(None)
            (getattr(m, pn) * a["upstream"]).sum().backward()
            p = m._parameters.get(pn + "_orig", m._parameters.get(pn))
            g, p.grad = p.grad.clone(), None
            m(None)
            return {"grad": g}
        else:
            raise SystemExit("unknown op " + op)

    def run_global(self, a):
        kw = {"amount": a["amount"]} if "amount" in a else {}
        if a["method"] == "LnStructured":
            kw.update(n=2, dim=0)
        if a["method"] == "CustomFromMask":
            kw = {"mask": torch.ones(1)}
        sc = a.get("importance_scores")
        sc = None if sc is None else {self.mp(t): v for t, v in sc.items()}
        P.global_unstructured([self.mp(t) for t in a["targets"]], METHODS[a["method"]], importance_scores=sc, **kw)


class Recorder:
    """Records one case: what torch does, step by step, until it cannot go on or a tie makes the rest arbitrary."""

    def __init__(self, store, watch, spec, flags=()):
        self.S, self.W = store, watch
        self.flags = set(flags)
        self.spec = spec
        self.world = World(spec)
        self.names = self.world.names
        self.ops = []
        self.done = False
        self.case = {
            "modules": {mn: {pn: store.put(t) for pn, t in ps.items()} for mn, ps in spec.items()},
            "steps": [],
        }
        for ps in spec.values():
            self.note_nonfinite(ps.values())

    def note_nonfinite(self, tensors):
        if any(t.is_floating_point() and not torch.isfinite(t).all() for t in tensors):
            self.flags.add("nonfinite")

    def step(self, op, **a):
        if self.done:
            return
        self.ops.append((op, a))
        st = {"op": op, **self.arguments(a)}
        pruned_before = {t for t in self.names if self.world.hook(t) is not None}
        if op not in NOT_PRUNING:
            self.note_flags(op, a)
        self.W.flags.clear()
        self.W.norm_n = None
        err, seen = None, {}
        try:
            seen = self.world.run(op, a)
        except Exception as e:  # any error is a result
            err = {"class": type(e).__name__, "message": str(e)}
            self.flags.add("error")
        params = self.world.params(self.S)
        self.note_masks()
        st["expect"] = {"error": err, "flags": sorted(self.W.flags), "params": params, "state": self.world.state()}
        st["expect"].update(self.seen(seen, a))
        lost = [t for t in self.names if t in pruned_before and self.world.hook(t) is None and op != "remove"]
        if lost:
            st["expect"]["lost_hook"] = lost
        self.note_end(lost)
        self.case["steps"].append(st)

    def seen(self, seen, a):
        if "seed" in a and "next_word_u24" not in seen:
            seen = {**seen, "next_word_u24": next_word()}
        if "next_word_u24" in seen:
            self.flags.add("rng")
        return {k: self.S.put(v) if k == "grad" else v for k, v in seen.items()}

    def arguments(self, a):
        """The arguments of a step as JSON, its tensors in the store."""
        out = {}
        for k, v in a.items():
            if k == "amount":
                v = jamount(v)
            elif k == "n":
                v = jn(v)
            elif isinstance(v, torch.Tensor):
                v = self.S.put(v)
            elif isinstance(v, dict):
                v = {t: self.S.put(x) for t, x in v.items()}
            out[k] = v
        return out

    def note_flags(self, op, a):
        sc = a.get("importance_scores")
        scores = sc if isinstance(sc, dict) else {a.get("target"): sc}
        self.note_nonfinite([v for v in scores.values() if v is not None])
        targets = a.get("targets", [a.get("target")])
        for t in targets:
            m, pn = self.world.mp(t)
            if not self.world.fresh(t):
                self.flags.add("stale")
            if self.world.hook(t) is not None and op.endswith("_structured") and getattr(m, pn).dim() == 1:
                self.flags.add("struct1d")
            if scores.get(t) is not None and hasattr(m, pn) and scores[t].dtype != getattr(m, pn).dtype:
                self.flags.add("score_dtype")
        if op == "global_unstructured":
            if len({self.world.attr(t).dtype for t in targets}) > 1:
                self.flags.add("mixed_dtype")
            if len(set(targets)) != len(targets):
                self.flags.add("dup_targets")
        if a.get("n") == "nuc":
            self.flags.add("nuc")

    def note_masks(self):
        for t in self.names:
            m, pn = self.world.mp(t)
            o, k = m._parameters.get(pn + "_orig"), m._buffers.get(pn + "_mask")
            if k is not None and not ((k == 0) | (k == 1)).all():
                self.flags.add("nonbinary")
            if k is not None and o is not None and k.dtype != o.dtype:
                self.flags.add("mask_dtype")

    def note_end(self, lost):
        if lost:
            self.flags.add("lost_hook")
            self.done = True
        if "tie" in self.W.flags:
            self.flags.add("ties")
            self.done = True
        if "near_tie" in self.W.flags:
            self.flags.add("near_ties")
            self.done = True
        if "kth_tie" in self.W.flags:
            self.flags.add("kth_tie")

    def finish(self):
        self.case["flags"] = sorted(self.flags)
        return self.case
