"""Compares what nn-prune reads from files of PyTorch with what PyTorch loads. Needs torch and safetensors.

    python tests/python/check_pytorch.py PROGRAM [FILE ...]

Saves random tensors with random strides, in both formats, and then the given files: of each, the tensors must be those of
torch.load, bit for bit.
"""
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8,
          torch.uint8, torch.bool, torch.complex64, torch.uint16, torch.float8_e4m3fn]


def view(numbers):
    """A tensor of random size, or any view of one."""
    shape = [numbers.choice([0, 1, 2, 3, 5, 8, 17, 64]) for _ in range(numbers.randrange(5))]
    dtype = numbers.choice(DTYPES)
    tensor = torch.randint(0, 100, shape).to(dtype)
    if dtype.is_floating_point and dtype.itemsize > 1:
        tensor = tensor - 50
    for _ in range(numbers.randrange(4)):
        kind = numbers.randrange(5)
        if kind == 0 and tensor.dim() > 1:
            order = list(range(tensor.dim()))
            numbers.shuffle(order)
            tensor = tensor.permute(order)
        elif kind == 1 and tensor.dim() > 0:
            axis = numbers.randrange(tensor.dim())
            start = numbers.randrange(tensor.shape[axis] + 1)
            tensor = tensor.transpose(0, axis)[start :: numbers.choice([1, 2, 3])].transpose(0, axis)
        elif kind == 2 and tensor.dim() < 5:
            tensor = tensor.unsqueeze(0).expand(numbers.choice([1, 2, 3]), *tensor.shape)
        elif kind == 3 and tensor.dim() == 4 and dtype != torch.float8_e4m3fn:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
    return tensor


def check(program, path, key, expected, directory):
    out = directory / "out.safetensors"
    command = [program, "prune", str(path), "-o", str(out), "--force", "-q", "--all", "--method", "l1", "--amount", "0"]
    subprocess.run(command + (["--key", key] if key is not None else []), check=True)
    found = load_file(out)
    assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
    for name, tensor in expected.items():
        tensor, other = tensor.detach().clone(memory_format=torch.contiguous_format), found[name]
        assert (tensor.dtype, tensor.shape) == (other.dtype, other.shape), name
        assert torch.equal(tensor.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8)), name
    return len(expected)


def main():
    program, files = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as directory:
        directory, count = Path(directory), 0
        for seed in range(60):
            numbers = random.Random(seed)
            torch.manual_seed(seed)
            tensors = {f"layer.{number}.weight": view(numbers) for number in range(12)}
            tensors["layer.12.weight"] = torch.ones(3, 4)
            tensors["tied.weight"] = tensors["layer.12.weight"].t()
            path = directory / "model.pt"
            torch.save({"model": tensors, "epoch": 1}, path, _use_new_zipfile_serialization=seed % 2 == 0)
            count += check(program, path, None if seed % 3 else "model", tensors, directory)
        print(f"{count} random tensors are equal")
        for path in files:
            count = check(program, path, None, torch.load(path, weights_only=True), directory)
            print(f"{path}: {count} tensors are equal")


main()
