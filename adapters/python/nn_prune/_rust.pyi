"""The Rust half of the package; for its Python half only."""

from typing import Any, Optional, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "Method",
    "compact_checkpoint",
    "global_masks",
    "kept",
    "pack_checkpoint",
    "prune_checkpoint",
    "prune_into",
    "prune_mask",
    "unpack_checkpoint",
]

# An array with its mask and its scores, in row-major order. Halves are arrays of `uint16`, the bits of the numbers.
_Tensor = tuple[npt.NDArray[Any], Optional[npt.NDArray[np.bool_]], Optional[npt.NDArray[Any]]]

@final
class Method:
    def __new__(cls, name: str, **options: Any) -> Method: ...

def prune_mask(method: Method, dtype: str, tensor: _Tensor) -> npt.NDArray[np.bool_]: ...
def prune_into(method: Method, dtype: str, tensor: _Tensor, mask: npt.NDArray[Any], value: npt.NDArray[Any]) -> None: ...
def global_masks(method: Method, dtype: str, tensors: list[_Tensor]) -> list[npt.NDArray[np.bool_]]: ...
def kept(dtype: str, mask: npt.NDArray[Any]) -> Optional[npt.NDArray[np.bool_]]: ...
def prune_checkpoint(files: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]: ...
def compact_checkpoint(files: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]: ...
def pack_checkpoint(files: dict[str, Any], signs: bool, min_sparsity: float) -> dict[str, Any]: ...
def unpack_checkpoint(files: dict[str, Any]) -> dict[str, Any]: ...
