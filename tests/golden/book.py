"""What more.py fills: cases, primitives and large cases, each under the family whose rule it exercises."""

import numpy as np
import torch
from torch.nn.utils import prune as P

from mended import Careful
from recorder import DT, Store, Watch, jamount, jn, next_word


class Book:
    def __init__(self):
        self.S, self.W = Store(), Watch()
        self.families, self.now = {}, None
        self.cases = []
        self.primitives = {k: [] for k in ("rng", "init", "streams", "topk", "norms", "amounts", "direct")}
        self.large = []

    def family(self, name, rule):
        """What follows belongs to this family, which exercises this rule of torch."""
        self.families[name] = {"rule": rule, "rivals": {}}
        self.now = name

    def rival(self, name, wrong):
        """On how many inputs the rival was wrong."""
        rivals = self.families[self.now]["rivals"]
        rivals[name] = rivals.get(name, 0) + int(wrong)

    def check(self):
        """Every rival must be wrong somewhere."""
        for name, family in self.families.items():
            idle = [rival for rival, wrong in family["rivals"].items() if wrong == 0]
            if idle:
                raise SystemExit(f"{name}: nothing tells torch from {idle}")

    def primitive(self, section, /, **entry):
        tensors = {k: self.S.put(v) for k, v in entry.items() if isinstance(v, torch.Tensor)}
        self.primitives[section].append({"family": self.now, **entry, **tensors})

    def norm(self, x, n, dim):
        """Records the norms of a tensor, and returns them."""
        norm = P._compute_norm(x, n, dim)
        self.primitive("norms", input=x, n=jn(n), dim=dim, norm=norm)
        return norm

    def direct(self, method, tensor, default_mask, scores=None, seed=None, **a):
        """A method used on its own, and as the last of a container, touching no module."""
        entry = {"method": method, "tensor": tensor, "default_mask": default_mask, "scores": scores, "seed": seed}
        for name in a:
            entry[name] = {"amount": jamount, "n": jn}.get(name, lambda x: x)(a[name])
        ranked, base = tensor if scores is None else scores, default_mask.to(tensor.dtype)
        container = P.PruningContainer()
        for m in (P.Identity(), getattr(P, method)(**a)):
            m._tensor_name = container._tensor_name = "t"
            container.add_pruning_method(m)
        runs = {
            "computed": lambda: m.compute_mask(ranked, base.clone()) != 0,
            "pruned": lambda: m.prune(tensor, base.clone(), scores),
            "pruned_all": lambda: m.prune(tensor),
            "container": lambda: container.compute_mask(ranked, base.clone()) != 0,
        }
        for name, run in runs.items():
            if seed is not None:
                torch.manual_seed(seed)
            entry[name] = run()
            if name == "computed" and seed is not None:
                entry["next_word_u24"] = next_word()
        self.primitive("direct", **entry)

    def case(self, spec, *steps):
        """A case; `spec` is {module: {parameter: tensor}}, or one tensor for m0.weight."""
        spec = {"m0": {"weight": spec}} if isinstance(spec, torch.Tensor) else spec
        R = self.recorder(spec)
        for op, arguments in steps:
            a = dict(arguments)
            if op not in ("forward", "global_unstructured", "manual_seed", "draw"):
                a.setdefault("target", "m0.weight")
            R.step(op, **a)
        return R

    def recorder(self, spec):
        R = Careful(self.S, self.W, spec)
        R.case["family"] = self.now
        self.cases.append(R)
        return R

    def large_case(self, dtype, shapes, weights, *steps):
        """Prunes of tensors that the test makes itself, by seed; of the results only the packed masks are kept."""
        m = torch.nn.Module()
        names = [f"p{i}" for i in range(len(shapes))]
        for name, w in zip(names, made(weights, dtype, shapes), strict=True):
            m.register_parameter(name, torch.nn.Parameter(w))
        entry = {"family": self.now, "dtype": dtype, "shapes": shapes, "weights": weights, "steps": []}
        for op, amount, a in steps:
            step = {"op": op, "amount": jamount(amount), **{k: jn(v) if k == "n" else v for k, v in a.items()}}
            self.W.flags.clear()
            seed = a.pop("seed", None)
            if seed is not None:
                torch.manual_seed(seed)
            if op == "CustomFromMask":  # `amount` is the share that is kept
                torch.manual_seed(seed)
                P.CustomFromMask.apply(m, "p0", torch.rand(shapes[0]) < amount)
            elif len(shapes) > 1:
                P.global_unstructured([(m, name) for name in names], getattr(P, op), amount=amount)
            else:
                getattr(P, op).apply(m, "p0", amount, **a)
            if seed is not None:
                step["next_word_u24"] = next_word()
            masks = [getattr(m, name + "_mask") != 0 for name in names]
            step["tie"] = "tie" in self.W.flags
            step["zeros"] = [int((~k).sum()) for k in masks]
            step["kept"] = [self.pack(k) for k in masks]
            entry["steps"].append(step)
        self.large.append(entry)
        return masks

    def pack(self, mask):
        """Eight entries a byte, the first in the highest bit; of a very large mask only the hash of that."""
        packed = np.packbits(mask.numpy().reshape(-1))
        return {"fnv1a": fnv1a(packed.tobytes())} if mask.numel() > 50_000 else self.S.put(torch.from_numpy(packed))

    def seeded_norm(self, seed, shape, dtype, n, dim):
        """The norms of torch.rand(shape), which the test draws itself."""
        torch.manual_seed(seed)
        norm = P._compute_norm(torch.rand(shape, dtype=DT[dtype]), n, dim)
        self.primitive("norms", seed=seed, shape=shape, dtype=dtype, n=jn(n), dim=dim, norm=norm)


def made(weights, dtype, shapes):
    """Uniform tensors from one stream; with `levels`, of that many different values."""
    torch.manual_seed(weights["seed"])
    tensors = [torch.rand(shape, dtype=DT[dtype]) for shape in shapes]
    levels = weights.get("levels")
    return [(w * levels).floor() for w in tensors] if levels else tensors


def fnv1a(data):
    """The 64-bit hash of Fowler, Noll and Vo, as text."""
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return str(h)


def slim(case):
    """Leaves out what follows from the rest: parameters that a step did not change, and what masks and methods tell."""
    now = {}
    for step in case["steps"]:
        for part in (step["expect"] or {}, step.get("mended", {})):
            for state in part.get("params", {}).values():
                for key in ("hooked", "container", "zeros"):
                    state.pop(key)
        if step["expect"] is not None:
            del step["expect"]["state"]
            params = step["expect"]["params"]
            step["expect"]["params"] = {t: state for t, state in params.items() if now.get(t) != state}
            now = params
    return case
