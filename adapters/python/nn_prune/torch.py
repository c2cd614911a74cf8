"""The functions of `torch.nn.utils.prune`, faster, on the same classes: hooks, buffers and masks are PyTorch's, bit for bit.

    import nn_prune.torch as prune            # in place of torch.nn.utils.prune
    prune.l1_unstructured(layer, "weight", 0.5)

or, for code that is not one's own,

    import nn_prune.torch
    nn_prune.torch.install()                  # torch.nn.utils.prune itself is faster from now on

What is fast: `L1Unstructured`, `LnStructured`, `RandomUnstructured`, `CustomFromMask` and `global_unstructured` with
`L1Unstructured`, on contiguous float32, float64, float16 and bfloat16 tensors of the CPU. Everything else is PyTorch's own code:
other devices, types, layouts and methods, masks that hold other numbers than 0 and 1, and arguments that are errors. Random
masks are PyTorch's too, for the same seed.

Two things differ. An error leaves the module as it was, whereas PyTorch loses the hook of a parameter that was pruned before.
And after `set_ties("lowest")` the entry with the lowest index is pruned first among equal ones; that takes a third of the time
on tensors with ties, and changes a few entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
import torch.nn.utils.prune as _torch
from torch.nn.utils.prune import (
    BasePruningMethod,
    CustomFromMask,
    Identity,
    L1Unstructured,
    LnStructured,
    PruningContainer,
    RandomStructured,
    RandomUnstructured,
    is_pruned,
    remove,
)

from . import _fast, _rust
from ._fast import apply as _apply

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "install",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
    "set_ties",
    "uninstall",
]


def identity(module: torch.nn.Module, name: str) -> torch.nn.Module:
    """Gives a parameter a mask of ones. See `torch.nn.utils.prune.identity`."""
    _apply(Identity, module, name)
    return module


def random_unstructured(module: torch.nn.Module, name: str, amount: float) -> torch.nn.Module:
    """Prunes entries at random, the same as `torch.nn.utils.prune.random_unstructured` with the same seed."""
    _apply(RandomUnstructured, module, name, amount=amount)
    return module


def l1_unstructured(
    module: torch.nn.Module, name: str, amount: float, importance_scores: torch.Tensor | None = None
) -> torch.nn.Module:
    """Prunes the entries with the lowest magnitudes. See `torch.nn.utils.prune.l1_unstructured`."""
    _apply(L1Unstructured, module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: torch.nn.Module, name: str, amount: float, dim: int) -> torch.nn.Module:
    """Prunes channels at random, the same as `torch.nn.utils.prune.random_structured` with the same seed."""
    _apply(RandomStructured, module, name, amount=amount, dim=dim)
    return module


def ln_structured(
    module: torch.nn.Module,
    name: str,
    amount: float,
    n: float | str,
    dim: int,
    importance_scores: torch.Tensor | None = None,
) -> torch.nn.Module:
    """Prunes the channels with the lowest norms. See `torch.nn.utils.prune.ln_structured`."""
    _apply(LnStructured, module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: torch.nn.Module, name: str, mask: torch.Tensor) -> torch.nn.Module:
    """Prunes by a mask. See `torch.nn.utils.prune.custom_from_mask`."""
    _apply(CustomFromMask, module, name, mask=mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[torch.nn.Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[torch.nn.Module, str], torch.Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Ranks the entries of several parameters together. See `torch.nn.utils.prune.global_unstructured`."""
    masks = _fast.global_masks(parameters, pruning_method, importance_scores, kwargs)
    if masks is None:
        _fast.plain_global(parameters, pruning_method, importance_scores, **kwargs)
        return
    for (module, name), mask in zip(parameters, masks):
        custom_from_mask(module, name, mask)


def set_ties(ties: Literal["torch", "lowest"]) -> None:
    """Sets which of equal entries is pruned first: `"torch"`, PyTorch's choice, or `"lowest"`, that with the lowest index."""
    _rust.Method("l1", amount=0, ties=ties)  # raises an error if there is no such order
    _fast.ties = ties


def install(ties: Literal["torch", "lowest"] = "torch") -> None:
    """Makes `torch.nn.utils.prune` itself faster, wherever it was imported; `uninstall` undoes it.

    The method `apply` of PyTorch's base class, the method `compute_mask` of three of its classes and the function
    `global_unstructured` are replaced. For `ties` see `set_ties`.
    """
    set_ties(ties)
    _fast.install(classmethod(_apply), global_unstructured, _fast.fast_compute)


def uninstall() -> None:
    """Undoes `install`: PyTorch has its own code again, and its own order of equal entries."""
    set_ties("torch")
    _fast.install(_fast.plain_apply, _fast.plain_global, _fast.plain_compute)


def __getattr__(name: str) -> Any:
    """Whatever else `torch.nn.utils.prune` has."""
    return getattr(_torch, name)
