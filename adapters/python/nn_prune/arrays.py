"""Masks of arrays.

Every function takes an array of float16, bfloat16 (of `ml_dtypes`), float32 or float64, anything that `numpy.asarray` takes,
and returns a mask: an array of `bool` of its shape, `True` for every entry that is kept. The array is not changed; multiply it
by the mask to prune it. A contiguous array is not copied.

Parameters that several functions have:

- `amount`: a fraction of the units that are not pruned yet (a float from 0.0 to 1.0) or a count (an integer). A unit is an
  entry, a channel or a block.
- `sparsity`: instead of an amount, the fraction of all units that is pruned in the end.
- `mask`: the mask so far, of `bool` or of ones and zeros; what it has pruned stays pruned.
- `scores`: an array of the shape and type of `array` that ranks the entries by its magnitudes instead.
- `ties`: which of equal scores is pruned first, if not all of them are: `"lowest"`, the one with the lowest index, or
  `"torch"`, the one that PyTorch would choose (on x86-64 Linux).

Invalid arguments raise `ValueError` or `TypeError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Union

import numpy as np
import numpy.typing as npt

from . import _rust

Mask = npt.NDArray[np.bool_]
Ties = Literal["lowest", "torch"]
Norm = Union[float, Literal["fro", "nuc"]]


def l1_unstructured(
    array: npt.ArrayLike,
    amount: float | None = None,
    mask: npt.ArrayLike | None = None,
    scores: npt.ArrayLike | None = None,
    *,
    sparsity: float | None = None,
    ties: Ties = "lowest",
) -> Mask:
    """Returns a mask without the entries that have the lowest magnitudes.

    >>> import numpy as np, nn_prune
    >>> weight = np.array([0.9, -0.1, 0.4, -0.2], dtype=np.float32)
    >>> mask = nn_prune.l1_unstructured(weight, 0.5)
    >>> mask.tolist()
    [True, False, True, False]
    >>> nn_prune.l1_unstructured(weight, 1, mask).tolist()  # one more
    [True, False, False, False]
    """
    return _prune(_rust.Method("l1", **_amount(amount, sparsity), ties=ties), array, mask, scores)


def random_unstructured(
    array: npt.ArrayLike,
    amount: float | None = None,
    mask: npt.ArrayLike | None = None,
    *,
    seed: int,
    sparsity: float | None = None,
) -> Mask:
    """Returns a mask without an amount of the entries, chosen at random. A seed gives one mask, on every platform.

    >>> import numpy as np, nn_prune
    >>> int(nn_prune.random_unstructured(np.ones((4, 4)), 0.25, seed=7).sum())
    12
    """
    return _prune(_rust.Method("random", **_amount(amount, sparsity), seed=seed), array, mask)


def ln_structured(
    array: npt.ArrayLike,
    amount: float | None = None,
    n: Norm = 2,
    dim: int = 0,
    mask: npt.ArrayLike | None = None,
    scores: npt.ArrayLike | None = None,
    *,
    sparsity: float | None = None,
    ties: Ties = "lowest",
) -> Mask:
    """Returns a mask without the channels along the axis `dim` that have the lowest norms of order `n`.

    `n` is a number, `inf` and `-inf` included, `"fro"`, or `"nuc"` for arrays of three axes. Entries that `mask` has pruned
    count as zeros, unless there are scores.

    >>> import numpy as np, nn_prune
    >>> nn_prune.ln_structured(np.array([[1.0, -3.0], [2.0, 0.5]]), 1, n=1, dim=0).tolist()
    [[True, True], [False, False]]
    """
    method = _rust.Method("ln", **_amount(amount, sparsity), n=n, dim=dim, ties=ties)
    return _prune(method, array, mask, scores)


def random_structured(
    array: npt.ArrayLike,
    amount: float | None = None,
    dim: int = 0,
    mask: npt.ArrayLike | None = None,
    *,
    seed: int,
    sparsity: float | None = None,
) -> Mask:
    """Returns a mask without an amount of the channels along the axis `dim`, chosen at random."""
    return _prune(_rust.Method("random-structured", **_amount(amount, sparsity), dim=dim, seed=seed), array, mask)


def nm(
    array: npt.ArrayLike,
    n: int,
    m: int,
    dim: int = -1,
    mask: npt.ArrayLike | None = None,
    scores: npt.ArrayLike | None = None,
    *,
    ties: Ties = "lowest",
) -> Mask:
    """Returns a mask of an N:M pattern, such as 2:4: at most `n` of every `m` entries along an axis are kept, the highest.

    >>> import numpy as np, nn_prune
    >>> nn_prune.nm(np.array([[0.1, -0.9, 0.3, 0.2]]), 2, 4).tolist()
    [[False, True, True, False]]
    """
    return _prune(_rust.Method("nm", pattern=(n, m), dim=dim, ties=ties), array, mask, scores)


def block(
    array: npt.ArrayLike,
    amount: float | None = None,
    shape: Iterable[int] = (4, 4),
    n: float = 2,
    mask: npt.ArrayLike | None = None,
    scores: npt.ArrayLike | None = None,
    *,
    sparsity: float | None = None,
    ties: Ties = "lowest",
) -> Mask:
    """Returns a mask without the blocks of a shape that have the lowest norms of order 1, 2 or `inf`.

    A block has one size for each axis, from the first; axes left out are whole.

    >>> import numpy as np, nn_prune
    >>> nn_prune.block(np.array([[1.0, 9.0, 2.0], [3.0, 0.0, 2.0]]), 1, (2, 1)).tolist()
    [[True, True, False], [True, True, False]]
    """
    method = _rust.Method("block", **_amount(amount, sparsity), block=list(shape), n=n, ties=ties)
    return _prune(method, array, mask, scores)


def global_unstructured(
    arrays: Iterable[npt.ArrayLike],
    amount: float | None = None,
    masks: Iterable[npt.ArrayLike | None] | None = None,
    scores: Iterable[npt.ArrayLike | None] | None = None,
    *,
    sparsity: float | None = None,
    ties: Ties = "lowest",
) -> list[Mask]:
    """Ranks the entries of several arrays together by their magnitudes, and returns a list of their masks.

    All arrays have one type. `masks` and `scores`, if given, have an entry for each array, which may be `None`.

    >>> import numpy as np, nn_prune
    >>> masks = nn_prune.global_unstructured([np.array([5.0, 1.0, 3.0]), np.array([2.0, 4.0, 0.5])], 0.5)
    >>> [mask.tolist() for mask in masks]
    [[True, False, True], [False, True, False]]
    """
    method = _rust.Method("l1", **_amount(amount, sparsity), ties=ties)
    all_arrays = list(arrays)
    nothing = [None] * len(all_arrays)
    all_masks, all_scores = (nothing if of_each is None else list(of_each) for of_each in (masks, scores))
    if not len(all_arrays) == len(all_masks) == len(all_scores):
        raise ValueError(f"{len(all_arrays)} arrays, but {len(all_masks)} masks and {len(all_scores)} scores")
    tensors = [_tensor(*tensor) for tensor in zip(all_arrays, all_masks, all_scores)]
    dtypes = {dtype for dtype, _ in tensors} or {"float32"}
    if len(dtypes) > 1:
        raise TypeError(f"arrays of different types cannot be ranked together: {', '.join(sorted(dtypes))}")
    return _rust.global_masks(method, dtypes.pop(), [tensor for _, tensor in tensors])


def _prune(
    method: _rust.Method, array: npt.ArrayLike, mask: npt.ArrayLike | None = None, scores: npt.ArrayLike | None = None
) -> Mask:
    return _rust.prune_mask(method, *_tensor(array, mask, scores))


def _amount(amount: float | None, sparsity: float | None) -> dict[str, Any]:
    """The option of a method, of which there must be one."""
    if (amount is None) == (sparsity is None):
        raise TypeError("pruning needs either an amount or a sparsity")
    return {"amount": amount} if sparsity is None else {"sparsity": sparsity}


def _tensor(array: npt.ArrayLike, mask: npt.ArrayLike | None, scores: npt.ArrayLike | None) -> tuple[str, _rust._Tensor]:
    """The type of an array, and its entries as Rust takes them, with the mask and the scores."""
    dtype, entries = _entries(array)
    if scores is None:
        return dtype, (entries, _mask(mask), None)
    own, ranked = _entries(scores)
    if own != dtype:
        raise TypeError(f"scores of {own} cannot rank an array of {dtype}")
    return dtype, (entries, _mask(mask), ranked)


def _entries(array: npt.ArrayLike) -> tuple[str, npt.NDArray[Any]]:
    entries = np.asarray(array, order="C")
    dtype = entries.dtype.name
    if not entries.dtype.isnative:
        raise TypeError(f"cannot prune an array of {entries.dtype}: its bytes are in the order of another machine")
    return dtype, entries.view(np.uint16) if dtype in ("float16", "bfloat16") else entries


def _mask(mask: npt.ArrayLike | None) -> Mask | None:
    if mask is None:
        return None
    entries = np.asarray(mask, order="C")
    if entries.dtype == bool:
        return entries
    kept: Mask = entries == 1
    if not np.array_equal(kept, entries != 0):
        raise ValueError("mask holds other numbers than 0 and 1")
    return kept
