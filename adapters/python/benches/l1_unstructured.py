"""Compares calls of torch.nn.utils.prune with those of nn_prune.torch, in one process: wall time and CPU time.

python benches/l1_unstructured.py                      l1_unstructured of a 4096 x 4096 float32 weight
python benches/l1_unstructured.py --all                the other functions and types as well
python benches/l1_unstructured.py --require 15 6       exit with 1 if a ratio of CPU time is lower: lowest-index ties, PyTorch's
"""

import argparse
import resource
import sys
import time

import torch
import torch.nn.utils.prune as plain

import nn_prune.torch as fast

SIZE = 4096


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def best(make, call, repeats):
    """The lowest wall and CPU times of a call in milliseconds, each on a new module."""
    times = []
    for _ in range(repeats):
        module = make()
        wall, used = time.perf_counter(), cpu()
        call(module)
        times.append((time.perf_counter() - wall, cpu() - used))
        del module
    return [min(column) * 1e3 for column in zip(*times)]


def compare(title, make, call, repeats, lowest=True):
    """Prints a line for PyTorch and each kind of ours, and returns the ratios of CPU time."""
    print(title)
    reference = best(make, lambda module: call(plain, module), max(2, repeats // 3))
    ratios = []
    for ties, name in (("torch", "nn_prune, PyTorch's ties"), ("lowest", "nn_prune, lowest-index ties")):
        if ties == "lowest" and not lowest:
            continue
        fast.set_ties(ties)
        ours = best(make, lambda module: call(fast, module), repeats)
        fast.set_ties("torch")
        rows = [("torch", reference)] * (not ratios) + [(name, ours)]
        for label, (wall, used) in rows:
            ratio = f"x {reference[0] / wall:5.1f} wall, x {reference[1] / used:5.1f} CPU" if label != "torch" else ""
            print(f"  {label:28} {wall:8.1f} ms wall {used:8.1f} ms CPU  {ratio}", flush=True)
        ratios.append(reference[1] / ours[1])
    return ratios


def with_weight(weight):
    def make():
        module = torch.nn.Module()
        module.weight = torch.nn.Parameter(weight)
        return module

    return make


def pruned(weight):
    make = with_weight(weight)
    return lambda: plain.custom_from_mask(make(), "weight", weight.abs() > weight.abs().mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="measure the other functions and types as well")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--require", nargs=2, type=float, metavar=("LOWEST", "TORCH"))
    options = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {SIZE} x {SIZE}, best of {options.repeats}\n")

    def half(functions, module):
        return functions.l1_unstructured(module, "weight", 0.5)

    initial = torch.nn.Linear(SIZE, SIZE, bias=False).weight.detach()
    normal = torch.randn(SIZE, SIZE)
    ratios = [
        compare(
            "l1_unstructured, weights of a new nn.Linear (on a grid, with a tie)",
            with_weight(initial),
            half,
            options.repeats,
        ),
        compare("l1_unstructured, normal weights", with_weight(normal), half, options.repeats),
    ]
    if options.all:
        compare("l1_unstructured, again", pruned(normal), half, options.repeats)
        for dtype in (torch.bfloat16, torch.float16, torch.float64):
            compare(f"l1_unstructured, {dtype}", with_weight(normal.to(dtype)), half, options.repeats)
        rest = {
            "ln_structured, n=2, dim=0": lambda p, m: p.ln_structured(m, "weight", 0.5, 2, 0),
            "ln_structured, n=2, dim=1": lambda p, m: p.ln_structured(m, "weight", 0.5, 2, 1),
            "random_unstructured": lambda p, m: p.random_unstructured(m, "weight", 0.5),
            "global_unstructured": lambda p, m: p.global_unstructured([(m, "weight")], p.L1Unstructured, amount=0.5),
        }
        for title, call in rest.items():
            compare(title, with_weight(normal), call, options.repeats)
    if options.require:
        lowest, torch_ties = min(pair[1] for pair in ratios), min(pair[0] for pair in ratios)
        wanted_lowest, wanted_ties = options.require
        print(f"\nlowest ratios of CPU time: {lowest:.1f} (lowest index), {torch_ties:.1f} (PyTorch's ties)")
        return 0 if lowest >= wanted_lowest and torch_ties >= wanted_ties else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
