"""New tensors on large pages.

Most of the time of pruning a large tensor is spent on page faults: the system clears the memory of mask and value in pieces of
4 KiB. On Linux it does so in pieces of 2 MiB if it is asked to, in a twentieth of the time. NumPy asks for all its large
arrays, and PyTorch if `THP_MEM_ALLOC_ENABLE` is set; here it is asked for two tensors.
"""

from __future__ import annotations

import ctypes
import mmap

import torch

# Below, the C library may keep memory after it was freed. NumPy has this limit too.
_LARGE = 1 << 22


def empty_like(t: torch.Tensor) -> torch.Tensor:
    """A new tensor of the size and type of another one, with any content."""
    new = torch.empty_like(t)
    size = new.numel() * new.element_size()
    if _madvise is not None and size >= _LARGE:
        start = -(-new.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        pages = (new.data_ptr() + size - start) // mmap.PAGESIZE
        # An error means that the system has no large pages.
        _madvise(start, pages * mmap.PAGESIZE, mmap.MADV_HUGEPAGE)
    return new


_madvise = None
if hasattr(mmap, "MADV_HUGEPAGE"):
    try:
        _madvise = ctypes.CDLL(None).madvise
        _madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    except (OSError, AttributeError):  # another C library
        _madvise = None
