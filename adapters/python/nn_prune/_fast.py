"""The fast half of `nn_prune.torch`: what PyTorch's `apply`, `compute_mask` and `global_unstructured` do, where it can be done.

Each function returns `None` where PyTorch's own code has to do it, with nothing done. It is the only judge of arguments, so
that its errors are raised, by its code.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.utils.prune as plain
from torch.nn.utils.prune import (
    BasePruningMethod,
    CustomFromMask,
    L1Unstructured,
    LnStructured,
    PruningContainer,
    RandomUnstructured,
)

from . import _rust
from ._memory import empty_like

DTYPES = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}
FAST = (L1Unstructured, LnStructured, RandomUnstructured, CustomFromMask)

# PyTorch's own code.
plain_apply = BasePruningMethod.__dict__["apply"]
plain_global = plain.global_unstructured
plain_compute = {method: method.compute_mask for method in FAST}

# Which of equal entries is pruned first.
ties = "torch"


def install(apply, global_unstructured, compute_mask):
    """Puts other code into `torch.nn.utils.prune`, of `compute_mask` for some classes."""
    BasePruningMethod.apply = apply
    for method, function in compute_mask.items():
        method.compute_mask = function
    plain.global_unstructured = global_unstructured


def apply(cls, module, name, *args, importance_scores=None, **kwargs):
    """`BasePruningMethod.apply`. On an error, hooks and the order of parameters are restored."""
    hooks, parameters = dict(module._forward_pre_hooks), dict(module._parameters)
    methods = [(hook, hook._pruning_methods) for hook in hooks.values() if isinstance(hook, PruningContainer)]
    try:
        hook = _fast_apply(cls, module, name, args, importance_scores, kwargs)
        if hook is not None:
            return hook
        if importance_scores is not None:
            kwargs["importance_scores"] = importance_scores
        return plain_apply.__func__(cls, module, name, *args, **kwargs)
    except BaseException:
        for now, before in ((module._forward_pre_hooks, hooks), (module._parameters, parameters)):
            now.clear()
            now.update(before)
        for container, pruning_methods in methods:
            container._pruning_methods = pruning_methods
        raise


def _fast_apply(cls, module, name, args, scores, kwargs):
    """Does what PyTorch's `apply` does, and returns the hook; or returns None with nothing done."""
    if not _is_fast(cls):
        return None
    hooks = [
        key
        for key, hook in module._forward_pre_hooks.items()
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name
    ]
    orig = module._parameters.get(f"{name}_orig" if hooks else name)
    mask = module._buffers.get(f"{name}_mask") if hooks else None
    if len(hooks) > 1 or orig is None or (hooks and mask is None):
        return None
    method = cls(*args, **kwargs)
    method._tensor_name = name
    scores = getattr(module, name) if scores is None else scores
    pruned = _prune(method, orig, scores, mask)
    if pruned is None:
        return None
    if hooks:
        old = module._forward_pre_hooks.pop(hooks[0])
        hook = old if isinstance(old, PruningContainer) else PruningContainer(old)
        hook.add_pruning_method(method)
    else:
        hook = method
        module.register_parameter(f"{name}_orig", orig)
        del module._parameters[name]
    mask, value = pruned
    module.register_buffer(f"{name}_mask", mask)
    setattr(module, name, _Product.apply(orig, mask, [value]))
    module.register_forward_pre_hook(hook)
    return hook


class _Product(torch.autograd.Function):
    """The product of a parameter and its mask, which was computed with the mask; for the gradient of the parameter."""

    @staticmethod
    def forward(ctx, orig, mask, value):
        ctx.save_for_backward(mask)
        return value[0]

    @staticmethod
    def backward(ctx, gradient):
        (mask,) = ctx.saved_tensors
        return gradient * mask, None, None


def _is_fast(cls):
    """Whether a class is one of PyTorch's, with its own `compute_mask` or ours."""
    return cls in FAST and cls.compute_mask in (plain_compute[cls], fast_compute.get(cls))


def _prune(method, orig, scores, mask):
    """Returns the new mask of a parameter and its product with it, in new tensors; or None."""
    array = array_of(orig)
    if array is None or array_of(scores, orig) is None:
        return None
    kept = None
    if mask is not None:
        kept = kept_of(mask, orig)
        if kept is None:
            return None
    try:
        request = _request(type(method), method, scores, kept)
        if request is None:
            return None
        rust, ranked = request
        tensor = (array, kept, None if ranked is orig else array_of(ranked))
        new, value = empty_like(orig), empty_like(orig)
        _rust.prune_into(rust, DTYPES[orig.dtype], tensor, array_of(new), array_of(value))
    except ValueError:  # PyTorch raises its own
        return None
    return new, value


def _request(cls, method, scores, kept):
    """The method in Rust, and the tensor that it ranks; or None."""
    if cls is CustomFromMask:
        mask = kept_of(method.mask, scores)
        return None if mask is None else (_rust.Method("custom-from-mask", mask=mask), scores)
    amount = method.amount
    if not isinstance(amount, (int, float)) or isinstance(amount, bool):
        return None
    if cls is L1Unstructured:
        return _rust.Method("l1", amount=amount, ties=ties), scores
    if cls is LnStructured:
        if type(method.n) not in (int, float) or type(method.dim) is not int or scores.dim() < 2:
            return None
        return _rust.Method("ln", amount=amount, n=method.n, dim=method.dim, ties=ties), scores
    size = scores.numel() if kept is None else int(kept.sum())
    count = plain._compute_nparams_toprune(amount, size)
    if count > size:
        return None
    if count == 0:
        return _rust.Method("identity"), scores
    numbers = torch.rand_like(scores) if kept is None else torch.rand(size, dtype=scores.dtype)
    # PyTorch prunes the highest of them. The bits of numbers from 0 to 1 are in the order of the numbers, so this reverses it.
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[numbers.element_size()]
    numbers.view(bits).neg_().add_(torch.ones((), dtype=numbers.dtype).view(bits))
    if kept is not None:
        numbers = torch.zeros_like(scores).masked_scatter_(torch.from_numpy(kept), numbers)
    return _rust.Method("l1", amount=count, ties=ties), numbers


def _ranked(cls, method, t):
    """Returns which entries a method keeps of a tensor, as `bool`; or None."""
    array = array_of(t)
    if array is None:
        return None
    try:
        request = _request(cls, method, t, None)
        if request is None:
            return None
        rust, ranked = request
        tensor = (array, None, None if ranked is t else array_of(ranked))
        return torch.from_numpy(_rust.prune_mask(rust, DTYPES[t.dtype], tensor))
    except ValueError:
        return None


def _compute_of(cls):
    """The method `compute_mask` of a class, with the ranking in Rust."""

    def compute_mask(self, t, default_mask):
        is_alike = default_mask.shape == t.shape and default_mask.dtype == t.dtype
        kept = _ranked(cls, self, t) if is_alike else None
        if kept is None:
            return plain_compute[cls](self, t, default_mask)
        mask = default_mask.clone(memory_format=torch.contiguous_format)
        return mask.mul_(kept) if cls is LnStructured else mask.masked_fill_(kept.logical_not_(), 0)

    return compute_mask


fast_compute = {cls: _compute_of(cls) for cls in (L1Unstructured, LnStructured, RandomUnstructured)}


def array_of(t, like=None):
    """A NumPy view of the memory of a tensor, of halves as uint16; or None if it is not of the kind that is fast."""
    if type(t) not in (torch.Tensor, torch.nn.Parameter) or t.dtype not in DTYPES or t.numel() == 0:
        return None
    if t.device.type != "cpu" or t.layout is not torch.strided or not t.is_contiguous():
        return None
    if like is not None and (t.shape != like.shape or t.dtype != like.dtype):
        return None
    return np.asarray(_Memory(t))


class _Memory:
    """The memory of a tensor. Unlike `numpy()`, this leaves PyTorch the right to resize it, which FSDP needs."""

    def __init__(self, t):
        self.tensor = t
        kind = f"f{t.element_size()}" if t.element_size() > 2 else "u2"
        self.__array_interface__ = {
            "data": (t.data_ptr(), False),
            "shape": tuple(t.shape),
            "typestr": np.dtype(kind).str,
            "version": 3,
        }


def kept_of(mask, like):
    """A mask for a tensor as a NumPy array of `bool`; or None."""
    if type(mask) is torch.Tensor and mask.dtype is torch.bool and mask.shape == like.shape and mask.device.type == "cpu":
        return mask.contiguous().numpy()
    array = array_of(mask, like)
    return None if array is None else _rust.kept(DTYPES[mask.dtype], array)


def global_masks(parameters, pruning_method, scores, kwargs):
    """The masks of `global_unstructured`, as `bool`; or None."""
    is_plain = isinstance(parameters, (list, tuple)) and isinstance(scores, (dict, type(None)))
    if not is_plain or pruning_method is not L1Unstructured or not _is_fast(L1Unstructured):
        return None
    if not parameters or len({(id(module), name) for module, name in parameters}) < len(parameters):
        return None
    tensors, first = [], None
    for module, name in parameters:
        own = getattr(module, name)
        ranked = (scores or {}).get((module, name), own)
        first = own if first is None else first
        array, mask = array_of(ranked, own), getattr(module, f"{name}_mask", None)
        kept = None if mask is None or array is None else kept_of(mask, own)
        if array is None or own.dtype != first.dtype or (kept is None and mask is not None):
            return None
        tensors.append((array, kept, None))
    try:
        request = _request(L1Unstructured, pruning_method(**kwargs), first, None)
        if request is None:
            return None
        masks = _rust.global_masks(request[0], DTYPES[first.dtype], tensors)
    except ValueError:
        return None
    return [torch.from_numpy(mask) for mask in masks]
