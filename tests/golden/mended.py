"""What this crate promises where it does not do as torch does, recorded with torch all the same.

The crate refuses some calls that torch lets through, undoes a call that fails, and never shows a stale weight. So the
promise is what torch does with those calls left out and a forward after every call. Each step where that is not
simply what torch did gets

  "mended": {"row": letter, "fails": whether the call fails, "refused"?: letter, "error"?: ..., "params"?: ..., "grad"?: ...,
             "next_word_u24"?: ..., "tie"?: true}

where `row` is the line of the table in README.md under which the step counts, "refused" the line by which this crate fails
where torch need not, "error" what torch said, "tie" marks a tie that "expect" does not have, and the rest is absent where
it is that of "expect". "expect" is null once torch could not go on (a lost hook).
"""

import math

import torch

from recorder import HALVES, NOT_PRUNING, Recorder, World, next_word


def is_nan(x):
    return isinstance(x, float) and math.isnan(x)


def refused(world, op, a):
    """The row by which the crate refuses this call, whatever torch does."""
    if op in NOT_PRUNING:
        return None
    amount, n = a.get("amount"), a.get("n")
    if isinstance(amount, int) and amount < 0:
        return "f"
    if is_nan(amount):
        return "e"
    if is_nan(n):
        return "k"
    targets = a.get("targets", [a.get("target")])
    if op == "global_unstructured":
        scores = a.get("importance_scores") or {}
        if not targets:
            return "x"
        if len(set(targets)) < len(targets):
            return "w"
        if any(t not in targets or s.shape != world.attr(t).shape for t, s in scores.items()):
            return "v"
    if any(clashes(world, t) for t in targets):
        return "y"
    if op == "custom_from_mask" and not ((a["mask"] == 0) | (a["mask"] == 1)).all():
        return "m"
    if op in ("ln_structured", "random_structured"):
        return refused_structured(world, a["target"], a)
    return None


def clashes(world, target):
    m, pn = world.mp(target)
    return world.hook(target) is None and any(pn + x in m._parameters for x in ("_orig", "_mask"))


def refused_structured(world, target, a):
    w, n = world.attr(target), a.get("n")
    if w.dim() < 2:
        return "h" if world.hook(target) is not None else None  # on a first call torch refuses too
    if not -w.dim() <= a["dim"] < w.dim():
        return "i" if world.hook(target) is not None else None
    if n == "nuc" and (w.dim() != 3 or w.dtype in HALVES):
        return "j"
    empty = any(s == 0 for d, s in enumerate(w.shape) if d != a["dim"] % w.dim())
    if not isinstance(n, str) and n is not None and (n < 0 or n == math.inf) and empty:
        return "F"
    return None


class Mended:
    """The modules of a case as this crate would have them."""

    def __init__(self, spec):
        self.spec = {mn: {pn: t.contiguous() for pn, t in ps.items()} for mn, ps in spec.items()}
        self.world, self.kept = World(self.spec), []

    def step(self, op, a):
        """(row that refuses the call, torch's error, what it showed)"""
        row = refused(self.world, op, a)
        a = {k: v.contiguous() if isinstance(v, torch.Tensor) else v for k, v in a.items()}
        error, seen = None, {}
        if row is None:
            try:
                seen = self.world.run(op, a)
            except Exception as e:  # any error is a result
                error = {"class": type(e).__name__, "message": str(e)}
        elif "seed" in a:
            torch.manual_seed(a["seed"])
        if "seed" in a:
            seen = {**seen, "next_word_u24": next_word()}
        if row or error:
            self.world = World(self.spec)
            for op, a in self.kept:
                self.world.run(op, a)
                self.world.forward()
        else:
            self.kept.append((op, a))
            self.world.forward()
        return row, error, seen


class Careful(Recorder):
    """A recorder that also records what is mended, and goes on where torch cannot, and after a tie."""

    def __init__(self, store, watch, spec, flags=()):
        super().__init__(store, watch, spec, flags)
        self.mended, self.cause = Mended(spec), None

    def step(self, op, **a):
        stale = op not in NOT_PRUNING and not all(self.world.fresh(t) for t in a.get("targets", [a.get("target")]))
        mixed = op not in NOT_PRUNING and self.mixes_dtypes(a)
        if self.done:
            self.case["steps"].append({"op": op, **self.arguments(a), "expect": None})
        else:
            super().step(op, **a)
        self.W.flags.clear()
        self.W.norm_n = None
        refused_by, error, seen = self.mended.step(op, a)
        failed = bool(refused_by or error)
        st = self.case["steps"][-1]
        expect = st["expect"]
        params, seen = self.mended.world.params(self.S), self.seen(seen, {})
        differs = expect is None or params != expect["params"]
        row = "a" if expect is None else self.row(op, refused_by, expect, mixed, stale, differs)
        if row is None and failed != (expect["error"] is not None):
            raise SystemExit(f"unexplained: {op} {expect['error']}")
        self.cause = row if differs else None
        if row is not None:
            st["mended"] = {"row": row, "fails": failed}
            if refused_by:
                st["mended"]["refused"] = refused_by
            if error and (expect is None or error != expect["error"]):
                st["mended"]["error"] = error
            if differs:
                st["mended"]["params"] = params
            st["mended"].update({k: v for k, v in seen.items() if expect is None or expect.get(k) != v})
            if "tie" in self.W.flags and (expect is None or "tie" not in expect["flags"]):
                st["mended"]["tie"] = True
                self.note_end(None)

    def note_end(self, lost):
        tied = {"ties": "tie", "near_ties": "near_tie", "kth_tie": "kth_tie"}
        self.flags |= {flag for flag, seen in tied.items() if seen in self.W.flags}
        if lost:
            self.flags.add("lost_hook")
            self.done = True

    def mixes_dtypes(self, a):
        dtypes = {self.world.attr(t).dtype for t in a.get("targets", [a.get("target")])}
        sc = a.get("importance_scores")
        dtypes |= {s.dtype for s in (sc.values() if isinstance(sc, dict) else [sc]) if s is not None}
        return len(dtypes) > 1

    def row(self, op, refused_by, expect, mixed, stale, differs):
        """The one row that a step is counted under; None if the crate does exactly what torch did."""
        error = expect["error"]
        if refused_by == "f":
            return "f"
        if "lost_hook" in expect:
            return "a"
        if refused_by == "y" and error:
            return "b" if op == "global_unstructured" else "y"
        if refused_by:
            return refused_by
        if error and error["message"].startswith("view size"):
            return "D"
        if mixed:
            return "G"
        if stale:
            return "c"
        if differs:
            return self.cause or "d"
        return None
