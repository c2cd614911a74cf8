"""Prunes a small network while it trains, first with PyTorch's own functions, which `install` has made faster."""

import numpy as np

import nn_prune

# Any array. Masks are arrays of bool: True = kept.
weight = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
mask = nn_prune.l1_unstructured(weight, 0.5)
pattern = nn_prune.nm(weight, 2, 4)
print(f"NumPy: {mask.mean():.0%} kept by magnitude, {pattern.mean():.0%} by the pattern 2:4")

try:
    import torch
    from torch.nn.utils import prune

    import nn_prune.torch
except ImportError:
    raise SystemExit("PyTorch is not installed; the rest of the example needs it") from None

nn_prune.torch.install()
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
inputs = torch.randn(512, 16)
targets = torch.sin(inputs[:, :1]) + inputs[:, 1:2] * inputs[:, 2:3]
for step in range(300):
    if step % 100 == 50:
        prune.global_unstructured([(net[0], "weight"), (net[2], "weight")], prune.L1Unstructured, amount=0.5)
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(net(inputs), targets)
    loss.backward()
    optimizer.step()
    if step % 100 == 99:
        kept = net[0].weight_mask.mean().item()
        print(f"PyTorch, step {step + 1}: loss {loss.item():.3f}, {kept:.0%} of the first layer kept")
for layer in (net[0], net[2]):
    prune.remove(layer, "weight")
