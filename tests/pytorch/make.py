"""Writes the files that the tests beside it read: with PyTorch, and for each an expected safetensors file, as safetensors has it.

    python tests/pytorch/make.py

Made with torch 2.15.0 and safetensors 0.8.0. The tests need neither.
"""
import io
import os
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

FILES = Path(__file__).parent / "files"


def numbers(*shape, dtype=torch.float32, start=0):
    """Different numbers of both signs that every dtype holds exactly."""
    count = torch.Size(shape).numel()
    return (torch.arange(start, start + count) % 13 - 6).reshape(shape).to(dtype)


def store(name, value, tensors=None, key=None, **options):
    """Saves a value, and the tensors that are to be found in it."""
    torch.save(value, FILES / name, **options)
    for part in (key or "").split("."):
        value = value[part] if part else value
    expect(name, value if tensors is None else tensors)


def expect(name, tensors):
    plain = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    save_file(plain, FILES / f"{name}.safetensors")


class Net(nn.Module):
    """A layer that is pruned, a norm with buffers, and a buffer that is not saved."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("unsaved", torch.ones(2), persistent=False)
        with torch.no_grad():
            self.fc.weight.copy_(numbers(3, 4))
            self.fc.bias.copy_(numbers(3, start=7))

    def forward(self, x):
        return self.norm(self.fc(x))


class Evil:
    """Runs a command when Python unpickles it without protection."""

    def __reduce__(self):
        return os.system, ("touch nn-prune-was-here",)


def state_dicts():
    dtypes = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 complex64".split()
    dtypes += "float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz".split()
    tensors = {name: numbers(5).abs().to(getattr(torch, name)) for name in dtypes}
    tensors |= {"bool": numbers(5) > 0, "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3)}
    store("dtypes.pt", tensors)

    base = numbers(6, 8)
    views = {
        "transposed": base.t(),
        "steps": base[1::2, ::3],
        "part": base[2:4, 3:7],
        "column": base[:, 5],
        "repeated": numbers(1, 3).expand(4, 3),
        "one": numbers(1, start=3).expand(2, 5),
        "channels_last": numbers(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "half": numbers(4, 6, dtype=torch.float16).t(),
        "bytes": numbers(3, 5, dtype=torch.int8).t(),
        "double": numbers(3, 4, 2, dtype=torch.float64).permute(2, 0, 1),
        "shared": base,
    }
    store("views.pt", views)
    store("legacy.pt", {"epoch": 3, "model": views}, key="model", _use_new_zipfile_serialization=False)

    embedding = numbers(4, 3)
    store("tied.pt", {"embed.weight": embedding, "head.weight": embedding})
    store("tied_parameters.pt", {"a": nn.Parameter(embedding), "b": nn.Parameter(embedding)})
    for protocol in [1, 3, 4, 5]:
        other = {"step": 300, "big": 1 << 80, "lr": 0.5, "done": True, "none": None, "raw": b"x", "set": {1, 2}, "list": [1, (2, 3, 4, 5)]}
        store(f"protocol{protocol}.pt", {**other, "w": base}, {"w": base}, pickle_protocol=protocol)


def checkpoints():
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    net(numbers(2, 4)).sum().backward()
    optimizer.step()
    scalars = {"best": torch.tensor(0.5), "monitor": "loss"}
    store("training.pt", {"epoch": 1, "loss": torch.tensor(0.25), "model": net.state_dict(),
                          "optimizer": optimizer.state_dict(), "callbacks": {"checkpoint": scalars}}, key="model")
    store("several.pt", {"model": net.fc.state_dict(), "ema": {"model": net.fc.state_dict()}}, key="ema.model")
    torch.save(net, FILES / "module.pt")
    expect("module.pt", net.state_dict())

    prune.l1_unstructured(net.fc, "weight", 5)
    store("pruned.pt", net.state_dict())
    store("pruned_module.pt", {"net": net}, net.state_dict())
    expect("pruned_weights.pt", {"fc.weight": net.fc.weight, "fc.bias": net.fc.bias})
    store("evil.pt", {"w": numbers(2, 3), "evil": Evil()}, {"w": numbers(2, 3)})

    # In shards, as `save_pretrained(safe_serialization=False)` writes them.
    shards = {"pytorch_model-00001-of-00002.bin": {"a.weight": numbers(4, 3)},
              "pytorch_model-00002-of-00002.bin": {"b.weight": numbers(2, 3), "b.bias": numbers(2)}}
    for name, tensors in shards.items():
        store(name, tensors)


def refused():
    quantized = torch.quantize_per_tensor(numbers(4), 0.5, 0, torch.qint8)
    for name, tensor in {
        "quantized": quantized,
        "sparse": numbers(2, 3).to_sparse(),
        "complex128": numbers(3).to(torch.complex128),
        "conjugate": numbers(3).to(torch.complex64).conj(),
        "meta": torch.empty(3, device="meta"),
    }.items():
        torch.save({"w": numbers(2, 3), "x": tensor}, FILES / f"{name}.pt")
    torch.save(numbers(2, 3), FILES / "lone.pt")
    torch.save({"epoch": 1}, FILES / "nothing.pt")

    # What torch.save does not write.
    plain = io.BytesIO()
    torch.save({"w": numbers(2, 3)}, plain)
    with zipfile.ZipFile(plain) as archive:
        entries = OrderedDict((name, archive.read(name)) for name in archive.namelist())
    for name, method, changed in [
        ("compressed", zipfile.ZIP_DEFLATED, {}),
        ("big_endian", zipfile.ZIP_STORED, {"archive/byteorder": b"big"}),
        ("script", zipfile.ZIP_STORED, {"archive/constants.pkl": b"\x80\x02)."}),
        ("short", zipfile.ZIP_STORED, {"archive/data/0": b"\0\0\0\0"}),
        ("lost", zipfile.ZIP_STORED, {"archive/data/0": None}),
    ]:
        with zipfile.ZipFile(FILES / f"{name}.pt", "w", method) as archive:
            for entry, contents in {**entries, **changed}.items():
                if contents is not None:
                    archive.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), contents, method)


if __name__ == "__main__":
    torch.manual_seed(0)
    FILES.mkdir(exist_ok=True)
    state_dicts()
    checkpoints()
    refused()
