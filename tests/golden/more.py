"""Records what golden.py does not exercise, family by family, each chosen so that plausible mistakes show.

  python more.py

writes golden_more.safetensors and golden_more.json beside this script; needs golden_s1.json there. Besides the families
it records "mended_s1": what mended.py says of the cases of golden_s1.json, as {case: {step: mended}}.
"""

import argparse
import json
import os
import time

import torch
from safetensors.torch import save_file

import golden
import more_cases
import more_long
import more_norms
import more_random
import more_select
from book import Book, slim
from mended import Careful
from recorder import Store

HERE = os.path.dirname(os.path.abspath(__file__))


def mended_s1(book):
    """Runs the cases of golden.py again as this crate has them, and checks that torch did the same as when they were recorded."""
    with open(os.path.join(HERE, "golden_s1.json")) as f:
        recorded = json.load(f)["cases"]
    out, scratch = {}, Store()
    for i, R in enumerate(golden.record(1, len(recorded), True, Store(), book.W)):
        careful = Careful(scratch, book.W, R.spec)
        for op, a in R.ops:
            careful.step(op, **a)
        steps = {}
        for j, (step, before) in enumerate(zip(careful.case["steps"], recorded[i]["steps"], strict=True)):
            if step["expect"]["error"] != before["expect"]["error"] or step["op"] != before["op"]:
                raise SystemExit(f"golden_s1.json is of another torch: case {i}, step {j}")
            if "mended" in step:
                steps[str(j)] = keep(step["mended"], scratch, book.S)
        if steps:
            out[str(i)] = steps
    return out


def keep(mended, scratch, store):
    """`mended` with its tensors in `store`."""

    def moved(name):
        return None if name is None else store.put(scratch.t[name])

    for state in mended.get("params", {}).values():
        state.update({k: moved(state[k]) for k in ("attr", "orig", "mask")})
        for key in ("hooked", "container", "zeros"):
            state.pop(key)
    if "grad" in mended:
        mended["grad"] = moved(mended["grad"])
    return mended


def exact(x):
    """The same JSON with its floats as text, which every reader parses to the last bit."""
    if isinstance(x, dict):
        return {k: exact(v) for k, v in x.items()}
    if isinstance(x, list):
        return [exact(v) for v in x]
    return repr(x) if isinstance(x, float) else x


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", default=HERE)
    o = ap.parse_args()
    if torch.backends.cpu.get_cpu_capability() != "AVX2":
        print("warning: not AVX2; fused multiply-adds and vector lanes may differ")
    book = Book()
    mended = mended_s1(book)
    for part in (more_norms, more_select, more_random, more_cases, more_long):
        start = time.time()
        part.fill(book)
        print(part.__name__, f"{time.time() - start:.0f} s")
    book.W.restore()
    book.check()
    cases = [slim(R.finish()) | {"id": i} for i, R in enumerate(book.cases)]
    manifest = {
        "generator": "more.py",
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "families": book.families,
        "mended_s1": mended,
        "cases": cases,
        "primitives": book.primitives,
        "large": book.large,
    }
    os.makedirs(o.out, exist_ok=True)
    base = os.path.join(o.out, "golden_more")
    save_file(book.S.t, base + ".safetensors")
    with open(base + ".json", "w") as f:
        json.dump(exact(manifest), f, allow_nan=False, separators=(",", ":"))
    for name, family in book.families.items():
        print(name, family["rivals"] or "")
    print("cases", len(cases), "steps", sum(len(c["steps"]) for c in cases), "large", len(book.large))
    print("primitives", {k: len(v) for k, v in book.primitives.items()}, "tensors", len(book.S.t))


if __name__ == "__main__":
    main()
