"""Checks with PyTorch what Rust writes: that a model takes it with `load_state_dict(strict=True)`, and works.

    pip install torch safetensors numpy
    python tests/python/check_torch.py

Needs cargo, writes only into a temporary folder.
"""

import runpy
import subprocess
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn.utils import prune

ROOT = Path(__file__).resolve().parents[2]
make = runpy.run_path(str(ROOT / "tests/state_dict/make.py"))
read_masks = runpy.run_path(str(ROOT / "src/safetensors/read_masks.py"))["read_masks"]


def forward(net, dtype):
    torch.manual_seed(1)
    image, sequence = torch.rand(1, 3, 5, 5, dtype=dtype), torch.rand(4, 5, dtype=dtype)
    features = torch.rand(2, 6, dtype=dtype)
    return [net.conv(image), net.lstm(sequence)[0], net.head(net.linear(features))]


def parameters(net):
    for path, module in net.named_modules():
        yield from ((module, path, name) for name, _ in list(module.named_parameters(recurse=False)))


def check(fixture, dtype, folder):
    model = ROOT / f"tests/state_dict/{fixture}.safetensors"
    command = ["cargo", "run", "--quiet", "--all-features", "--example", "state_dict", str(model), str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    state = load_file(folder / "model.safetensors")

    # A new model, in which the same parameters are pruned, by nothing yet.
    net = make["model"](dtype)
    for module, path, name in parameters(net):
        if f"{path}.{name}_mask" in state:
            prune.identity(module, name)
    print(fixture, net.load_state_dict(state, strict=True))
    assert set(net.state_dict()) == set(state)
    for name, tensor in net.state_dict().items():
        assert tensor.dtype == state[name].dtype and torch.equal(tensor, state[name]), name

    # PyTorch itself, pruning the file that Rust was given by the same call.
    twin = make["model"](dtype)
    before = load_file(model)
    for module, path, name in parameters(twin):
        if f"{path}.{name}_mask" in before:
            prune.identity(module, name)
    twin.load_state_dict(before, strict=True)
    forward(twin, dtype)  # PyTorch ranks what the last forward pass has left
    # In the order in which Rust read the parameters: that of the originals in the file.
    matrices = [(twin.conv, "weight"), (twin.head, "weight"), (twin.linear, "weight")]
    matrices += [(twin.lstm, "weight_hh_l0"), (twin.lstm, "weight_ih_l0")]
    prune.global_unstructured(matrices, pruning_method=prune.L1Unstructured, amount=0.5)
    different = [name for name, tensor in twin.state_dict().items() if not torch.equal(tensor, state[name])]
    assert set(twin.state_dict()) == set(state) and not different, different
    for ours, theirs in zip(forward(net, dtype), forward(twin, dtype)):
        assert torch.equal(ours, theirs)

    # The mask file, on a model that was not pruned.
    fresh = make["model"](dtype)
    for name, mask in read_masks(folder / "masks.safetensors").items():
        path, _, leaf = name.rpartition(".")
        prune.custom_from_mask(fresh.get_submodule(path), leaf, torch.from_numpy(mask))
    for name, tensor in fresh.state_dict().items():
        assert not name.endswith("_mask") or torch.equal(tensor, state[name]), name

    # It goes on from there, and ends.
    prune.l1_unstructured(net.head, "weight", amount=1)
    make["remove_all"](net)
    assert not prune.is_pruned(net)


def main():
    for fixture, dtype in [("pruned_f32", torch.float32), ("pruned_bf16", torch.bfloat16)]:
        with tempfile.TemporaryDirectory() as folder:
            check(fixture, dtype, Path(folder))


if __name__ == "__main__":
    main()
