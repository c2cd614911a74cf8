"""Sparse products of nn-prune against PyTorch's dense ones: the same sizes on one thread, one after the other.

    python benches/compare/sparse.py            # needs torch and cargo; two minutes

Prints PyTorch's times, and for each sparsity how many times as long PyTorch takes as this crate.
"""

import os
import re
import subprocess
import time
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"

import torch

SIZE = 4096
BENCH = Path(__file__).resolve().parent.parent / "sparse"


def fastest(call, turns):
    best = float("inf")
    for _ in range(turns):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


def dense_times():
    """PyTorch's microseconds by batch and type."""
    torch.set_num_threads(1)
    times = {}
    for name, dtype in [("f32", torch.float32), ("bf16", torch.bfloat16)]:
        weight = torch.randn(SIZE, SIZE).to(dtype)
        for batch in [1, 8, 32, 128]:
            inputs = torch.randn(batch, SIZE).to(dtype)
            with torch.inference_mode():
                times[batch, name] = fastest(lambda: torch.nn.functional.linear(inputs, weight), 15)
    return times


def sparse_times():
    """The rows of the benchmark: batch, type, sparsity in percent, microseconds."""
    command = ["cargo", "run", "--release", "--quiet"]
    lines = subprocess.run(command, cwd=BENCH, check=True, capture_output=True, text=True).stdout.splitlines()
    batch = name = None
    for line in lines:
        if found := re.match(r"batch (\d+), (f32|bf16): ", line):
            batch, name = int(found[1]), found[2]
        elif found := re.match(r" *(\d+) % +(\d+) ", line):
            yield batch, name, int(found[1]), int(found[2])


def main():
    dense = dense_times()
    ratios = {}
    for batch, name, sparsity, micros in sparse_times():
        ratios.setdefault((batch, name), {})[sparsity] = dense[batch, name] / micros
    shown = [50, 70, 80, 90, 95]
    print(f"PyTorch {torch.__version__}, {SIZE} x {SIZE}, one thread\n")
    print("| batch, type | PyTorch, µs | " + " | ".join(f"{sparsity} %" for sparsity in shown) + " |")
    print("|---|---:|" + "---:|" * len(shown))
    for (batch, name), row in ratios.items():
        cells = " | ".join(f"{row[sparsity]:.2f}" for sparsity in shown)
        print(f"| {batch}, `{name}` | {dense[batch, name]:.0f} | {cells} |")


if __name__ == "__main__":
    main()
