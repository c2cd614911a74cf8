"""Writes the fixtures of tests/state_dict.rs with PyTorch.

    pip install torch safetensors numpy
    python tests/state_dict/make.py

For each dtype, three moments in the life of one model: pruned in every way (`pruned_*`), pruned further from there
(`further_*`), and after `remove` (`removed_*`). Besides, a file with integer buffers and a file with odd shapes.
Made with torch 2.15.0 (CPU) and safetensors 0.8.0.
"""

from collections import OrderedDict
from pathlib import Path

import numpy
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

FOLDER = Path(__file__).parent


def model(dtype):
    torch.manual_seed(888)
    layers = OrderedDict(conv=nn.Conv2d(3, 4, 3), lstm=nn.LSTM(5, 4), linear=nn.Linear(6, 5), head=nn.Linear(5, 2))
    return nn.Sequential(layers).to(dtype)


def prune_once(net):
    prune.ln_structured(net.conv, "weight", amount=1, n=2, dim=0)
    prune.random_unstructured(net.conv, "bias", amount=1)
    prune.l1_unstructured(net.lstm, "weight_ih_l0", amount=0.4)
    prune.random_structured(net.lstm, "weight_hh_l0", amount=0.25, dim=1)
    # A container of three methods, whose last one ranks by scores of another dtype: so the mask is int64.
    prune.l1_unstructured(net.linear, "weight", amount=3)
    prune.random_unstructured(net.linear, "weight", amount=0.2)
    scores = torch.arange(30).reshape(5, 6)
    prune.l1_unstructured(net.linear, "weight", amount=2, importance_scores=scores)
    prune.identity(net.linear, "bias")


def prune_further(net):
    prune.ln_structured(net.conv, "weight", amount=1, n=1, dim=0)
    prune.l1_unstructured(net.linear, "weight", amount=0.5)
    prune.l1_unstructured(net.head, "weight", amount=4)
    lstm = [(net.lstm, "weight_ih_l0"), (net.lstm, "weight_hh_l0")]
    prune.global_unstructured(lstm, pruning_method=prune.L1Unstructured, amount=0.3)


def remove_all(net):
    for module in net.modules():
        for _, hook in list(module._forward_pre_hooks.items()):
            if isinstance(hook, prune.BasePruningMethod):
                prune.remove(module, hook._tensor_name)


def save(net, name):
    save_file(net.state_dict(), FOLDER / f"{name}.safetensors")


def main():
    for dtype, name in [(torch.float32, "f32"), (torch.bfloat16, "bf16")]:
        net = model(dtype)
        prune_once(net)
        save(net, f"pruned_{name}")
        prune_further(net)
        save(net, f"further_{name}")
        remove_all(net)
        save(net, f"removed_{name}")

    torch.manual_seed(888)
    norm = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    prune.l1_unstructured(norm[0], "weight", amount=0.5)
    save(norm, "batch_norm")

    # The names are in the order in which safetensors writes them.
    odd = {
        "": numpy.array([1, 2], "float32"),
        "0-d": numpy.array(-0.0, "float32"),
        "empty": numpy.zeros((2, 0, 3), "float32"),
        "lone_mask": numpy.array([0.5], "float32"),
        "none": numpy.zeros(0, "float32"),
        "other_orig": numpy.array([[numpy.nan, numpy.inf, 1e-45]], "float32"),
        "size 1": numpy.ones((1, 1, 1, 1, 1, 1), "float32"),
        'weights \u0bae.\n"': numpy.arange(6, dtype="float32").reshape(2, 3),
    }
    save_arrays(odd, FOLDER / "odd.safetensors")


if __name__ == "__main__":
    main()
