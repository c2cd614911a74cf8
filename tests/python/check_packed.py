"""Checks packed files against numpy and against compressed-tensors 0.14, in both directions.

    python -m venv VENV && VENV/bin/pip install numpy torch safetensors compressed-tensors==0.14.0.1
    VENV/bin/python tests/python/check_packed.py PROGRAM

PROGRAM is nn-prune. Writes only into a temporary folder; it is not part of CI.
"""
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch
from compressed_tensors.compressors.sparse_compressors.sparse_bitmask import BitmaskTensor, bitmask_decompress
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
# The example of docs/PACKED.md.
read_packed = runpy.run_path(str(ROOT / "src/safetensors/read_packed.py"))["read_packed"]
PARTS = ("compressed", "bitmask", "row_offsets", "shape")


def run(*command):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def model():
    torch.manual_seed(888)
    tensors = {
        "a.weight": torch.randn(33, 70),
        "b.weight": torch.randn(64, 128).to(torch.bfloat16),
        "c.weight": torch.randn(40, 129).to(torch.float16),
        "d.weight": torch.randn(8, 4, 3, 3),
        "e": torch.randn(20, 30),
    }
    return {name: torch.where(torch.rand(x.shape) < 0.8, torch.zeros_like(x), x) for name, x in tensors.items()}


def main(program):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dense = model()
        save_file(dense, folder / "dense")
        run(program, "pack", folder / "dense", "-o", folder / "packed")
        packed = load_file(folder / "packed")
        for name in ("a", "b", "c"):
            weight = dense[f"{name}.weight"]
            parts = {part: packed.pop(f"{name}.{part}") for part in PARTS}
            theirs = BitmaskTensor.from_dense(weight).dict(name_prefix=name, device="cpu")
            for part, found in parts.items():
                expected = theirs[f"{name}.{part}"]
                assert found.dtype == expected.dtype and torch.equal(found, expected), (name, part)
            decompressed = bitmask_decompress(parts["compressed"], parts["bitmask"], list(map(int, parts["shape"])))
            assert torch.equal(decompressed, weight), name

        # Their tensors are unpacked here.
        theirs = {}
        for name in ("a", "b", "c"):
            theirs |= BitmaskTensor.from_dense(dense[f"{name}.weight"]).dict(name_prefix=name, device="cpu")
        save_file(theirs, folder / "theirs")
        run(program, "unpack", folder / "theirs", "-o", folder / "unpacked")
        unpacked = load_file(folder / "unpacked")
        assert all(torch.equal(unpacked[f"{name}.weight"], dense[f"{name}.weight"]) for name in ("a", "b", "c"))

        # The example of the documentation reads what numpy has a dtype for.
        dense.pop("b.weight")
        save_file(dense, folder / "dense")
        run(program, "pack", folder / "dense", "-o", folder / "packed", "--force")
        for name, found in read_packed(folder / "packed").items():
            expected = dense[name if name in dense else f"{name}.weight"].numpy()
            assert numpy.array_equal(found, expected) and found.dtype == expected.dtype, name
    print("packed files are those of compressed-tensors, and numpy reads them")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
