"""Pruning masks for NumPy arrays, PyTorch modules and safetensors checkpoints, computed in Rust.

- Arrays: `l1_unstructured(array, 0.5)` returns a mask. Likewise `random_unstructured`, `ln_structured`, `random_structured`,
  `nm`, `block` and `global_unstructured`. Arrays of JAX, Keras or h5py are arrays for these functions.
- PyTorch: `nn_prune.torch` has the functions of `torch.nn.utils.prune`; `nn_prune.torch.install()` speeds up PyTorch's own.
- Files: `prune_checkpoint`, `compact_checkpoint`, `pack_checkpoint` and `unpack_checkpoint`, of any size.

An amount is a fraction of what is not pruned yet (a float from 0.0 to 1.0) or a count (an integer), as in PyTorch: 1 is one
entry, and 1.0 is all of them.
"""

from .arrays import (
    block,
    global_unstructured,
    l1_unstructured,
    ln_structured,
    nm,
    random_structured,
    random_unstructured,
)
from .files import compact_checkpoint, pack_checkpoint, prune_checkpoint, unpack_checkpoint

pack, unpack = pack_checkpoint, unpack_checkpoint

__version__ = "0.1.0"
__all__ = [
    "block",
    "compact_checkpoint",
    "global_unstructured",
    "l1_unstructured",
    "ln_structured",
    "nm",
    "pack",
    "pack_checkpoint",
    "prune_checkpoint",
    "random_structured",
    "random_unstructured",
    "unpack",
    "unpack_checkpoint",
]
