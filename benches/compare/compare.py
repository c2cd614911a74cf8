"""Times torch.nn.utils.prune and this crate on the same tensors, in turn, and compares their masks.

    pip install torch numpy
    python benches/compare/compare.py            # all sizes, some minutes
    python benches/compare/compare.py --quick    # up to a million entries
    python benches/compare/compare.py --return   # memory goes back to the system at every drop

Both use the same number of threads (--threads, 2 by default) and the same allocator, that of glibc, in the same state. By default
it keeps the memory of what is dropped, as the allocators of training programs do; with --return it fetches each block of 128 KiB and
more from the system and gives it back when it is dropped. Without settings, glibc begins like that and keeps more in a process that has
dropped larger blocks, so that the history of a process would be measured. Each figure is the fastest of several runs; PyTorch's
longest ones run once. It writes results.md and results.svg beside itself, or returned.md and returned.svg. Exit code 1: some mask
differs where no tie allows it.

The groups of PyTorch are those of torch.ao.pruning.WeightNormSparsifier.
"""
import argparse, datetime, math, os, pathlib, platform, subprocess, sys, tempfile, time

import numpy as np
import torch
from torch import nn
from torch.ao.pruning import WeightNormSparsifier
from torch.nn.utils import prune

HERE = pathlib.Path(__file__).resolve().parent
SIDES = [32, 100, 320, 1024, 3200, 8192]
OPERATIONS = ["identity", "own mask", "l1 0.5", "l1 0.9", "again", "global", "random", "random channels", "l2 rows", "l2 columns",
              "2:4", "blocks", "update", "remove"]
# glibc serves blocks up to the first size from memory that it has, and keeps up to the second of it.
KEEP = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 36), "MALLOC_TOP_PAD_": str(1 << 26)}
# The sizes that glibc begins with; naming them keeps them from growing.
RETURN = {"MALLOC_MMAP_THRESHOLD_": str(128 << 10), "MALLOC_TRIM_THRESHOLD_": str(128 << 10)}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class Torch:
    """One run of an operation; what it needs beforehand is not timed."""

    def __init__(self, tensor):
        self.tensor = tensor

    def module(self, tensor):
        module = nn.Module()
        module.register_parameter("weight", nn.Parameter(tensor.clone()))
        return module

    def run(self, operation):
        if operation == "global":
            modules = [self.module(part) for part in self.tensor.split(math.ceil(len(self.tensor) / 64))]
            pairs = [(module, "weight") for module in modules]
            start = time.perf_counter()
            prune.global_unstructured(pairs, prune.L1Unstructured, amount=0.5)
            seconds = time.perf_counter() - start
            return seconds, torch.cat([module.weight_mask for module in modules])
        if operation in ("2:4", "blocks"):
            return self.sparsify(operation)
        module = self.module(self.tensor)
        if operation in ("again", "update", "remove"):
            prune.l1_unstructured(module, "weight", 0.5)
        torch.manual_seed(888)
        mask = self.tensor > 0
        run = {
            "identity": lambda: prune.identity(module, "weight"),
            "own mask": lambda: prune.custom_from_mask(module, "weight", mask),
            "l1 0.5": lambda: prune.l1_unstructured(module, "weight", 0.5),
            "l1 0.9": lambda: prune.l1_unstructured(module, "weight", 0.9),
            "again": lambda: prune.l1_unstructured(module, "weight", 0.5),
            "random": lambda: prune.random_unstructured(module, "weight", 0.5),
            "random channels": lambda: prune.random_structured(module, "weight", 0.5, 0),
            "l2 rows": lambda: prune.ln_structured(module, "weight", 0.5, 2, 0),
            "l2 columns": lambda: prune.ln_structured(module, "weight", 0.5, 2, 1),
            # What the hook does before each forward pass.
            "update": lambda: [hook(module, None) for hook in module._forward_pre_hooks.values()],
            "remove": lambda: prune.remove(module, "weight"),
        }[operation]
        with torch.no_grad():
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
        return seconds, getattr(module, "weight_mask", None)


    def sparsify(self, operation):
        """2:4, or half of the blocks of 4 x 4 by mean magnitude."""
        options = dict(sparsity_level=1.0, sparse_block_shape=(1, 4), zeros_per_block=2)
        if operation == "blocks":
            options = dict(sparsity_level=0.5, sparse_block_shape=(4, 4), zeros_per_block=16)
        linear = nn.Linear(*reversed(self.tensor.shape), bias=False, dtype=self.tensor.dtype)
        linear.weight.data.copy_(self.tensor)
        sparsifier = WeightNormSparsifier(norm=1, **options)
        model = nn.Sequential(linear)
        with torch.no_grad():
            start = time.perf_counter()
            sparsifier.prepare(model, [{"tensor_fqn": "0.weight"}])
            sparsifier.step()
            seconds = time.perf_counter() - start
        return seconds, linear.parametrizations.weight[0].mask


class Rust:
    def __init__(self, threads):
        root = HERE.parent.parent
        subprocess.run(["cargo", "build", "--quiet", "--release", "--example", "compare"], cwd=root, check=True)
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen([target / "release/examples/compare"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=environment)

    def run(self, operation, dtype, side, file):
        print(operation, dtype, side, side, file, sep="\t", file=self.process.stdin, flush=True)
        seconds = float(self.process.stdout.readline())
        return seconds, np.fromfile(f"{file}.mask", np.uint8)


def agree(operation, tensor, theirs, ours):
    """Whether the masks are the same, but for the order among equal magnitudes and for random numbers."""
    if theirs is None:
        return len(ours) == 0
    theirs = theirs.to(torch.uint8).flatten().numpy()
    if theirs.sum() != ours.sum() and operation != "blocks":
        return False
    if operation.startswith("random") or operation in ("l2 rows", "l2 columns", "2:4", "blocks"):
        # Rounded norms have ties, which only the PyTorch tie order resolves alike.
        return True
    differ = np.flatnonzero(theirs != ours)
    return len(np.unique(tensor.flatten()[differ].abs().float().numpy())) <= 1


def label(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def plot(results, path):
    """Time over size on logarithmic axes, a panel an operation; solid: this crate, dashed: PyTorch."""
    width, height, columns = 250, 190, 4
    rows = math.ceil(len(OPERATIONS) / columns)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width * columns + 20}" height="{height * rows + 60}" '
           'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>']
    x = lambda n: 40 + (math.log10(n) - 3) / 5 * (width - 55)
    y = lambda s: 30 + (1 - (math.log10(s) + 7) / 9) * (height - 60)
    colours = {"f32": "#0072b2", "bf16": "#d55e00"}
    for i, operation in enumerate(OPERATIONS):
        out.append(f'<g transform="translate({i % columns * width},{i // columns * height + 30})">'
                   f'<text x="{width / 2}" y="20" text-anchor="middle" font-weight="bold">{operation}</text>')
        for power in range(3, 9):
            out.append(f'<path d="M{x(10**power):.1f} {y(1e-7)}V{y(100)}" stroke="#ddd"/>'
                       f'<text x="{x(10**power):.1f}" y="{y(1e-7) + 14}" text-anchor="middle">10<tspan dy="-4" font-size="8">{power}</tspan></text>')
        for power, name in ((-7, "100 ns"), (-5, "10 µs"), (-3, "1 ms"), (-1, "100 ms"), (1, "10 s")):
            out.append(f'<path d="M{x(1e3)} {y(10**power):.1f}H{x(1e8)}" stroke="#ddd"/>'
                       f'<text x="36" y="{y(10**power) + 4:.1f}" text-anchor="end" font-size="9">{name}</text>')
        for dtype, colour in colours.items():
            for side, dash in (("torch", "4 3"), ("rust", "")):
                points = [(n, max(r[side], 1e-7)) for (o, d, n), r in results.items() if (o, d) == (operation, dtype)]
                line = " ".join(f"{x(n):.1f},{y(s):.1f}" for n, s in points)
                out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dash}"/>')
        out.append("</g>")
    legend = [("this crate, f32", "f32", ""), ("this crate, bf16", "bf16", ""), ("PyTorch, f32", "f32", "4 3"), ("PyTorch, bf16", "bf16", "4 3")]
    for i, (name, dtype, dash) in enumerate(legend):
        out.append(f'<path d="M{40 + i * 180} 22h30" stroke="{colours[dtype]}" stroke-width="2" stroke-dasharray="{dash}"/>'
                   f'<text x="{76 + i * 180}" y="26">{name}</text>')
    out.append(f'<text x="{width * columns / 2}" y="{height * rows + 52}" text-anchor="middle">entries</text></svg>')
    path.write_text("\n".join(out))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--return", action="store_true", dest="returned")
    arguments = arguments.parse_args()
    settings = RETURN if arguments.returned else KEEP
    if any(os.environ.get(name) != value for name, value in settings.items()):
        # The allocator reads its settings when a program starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **settings})
    torch.set_num_threads(arguments.threads)
    rust, results, wrong = Rust(arguments.threads), {}, []
    with tempfile.TemporaryDirectory() as folder:
        for dtype, torch_dtype in DTYPES.items():
            for side in SIDES[:4] if arguments.quick else SIDES:
                torch.manual_seed(side)
                tensor = torch.randn(side, side).to(torch_dtype)
                file = f"{folder}/{dtype}-{side}"
                raw = torch.int16 if dtype == "bf16" else torch.float32
                tensor.view(raw).numpy().tofile(file)
                for operation in OPERATIONS:
                    fastest = {"torch": math.inf, "rust": math.inf}
                    spent, turns = 0, 0
                    while turns < 3 or (spent < 0.3 and turns < 30):
                        seconds, theirs = Torch(tensor).run(operation)
                        fastest["torch"] = min(fastest["torch"], seconds)
                        spent += seconds
                        seconds, ours = rust.run(operation, dtype, side, file)
                        fastest["rust"] = min(fastest["rust"], seconds)
                        turns += 1
                        if spent > 4:
                            break
                    if not agree(operation, tensor, theirs, ours):
                        wrong.append((operation, dtype, side))
                    results[operation, dtype, side * side] = fastest
                    print(f"{dtype} {side:5} {operation:16} {label(fastest['torch']):>9} {label(fastest['rust']):>9} "
                          f"{fastest['torch'] / fastest['rust']:8.1f} x", flush=True)
    sizes = sorted({n for _, _, n in results})
    memory = "returned to the system at every drop" if arguments.returned else "kept"
    table = [f"Times faster than PyTorch {torch.__version__.split('+')[0]} on {arguments.threads} threads, {platform.machine()}, "
             f"{os.cpu_count()} cores, {datetime.date.today()}, memory {memory}; in brackets, the time here.", "",
             "| operation | dtype | " + " | ".join(f"{n:,}" for n in sizes) + " |", "|---|---|" + "---:|" * len(sizes)]
    for operation in OPERATIONS:
        for dtype in DTYPES:
            cells = [results[operation, dtype, n] for n in sizes]
            cells = [f"{r['torch'] / r['rust']:.3g} ({label(r['rust'])})" for r in cells]
            table.append(f"| {operation} | {dtype} | " + " | ".join(cells) + " |")
    name = "returned" if arguments.returned else "results"
    (HERE / f"{name}.md").write_text("\n".join(table) + "\n")
    plot(results, HERE / f"{name}.svg")
    for row in wrong:
        print("the masks differ:", *row)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
