"""Modules to prune, calls that prune them, and their comparison, bit for bit."""

import torch
import torch.nn.utils.prune as plain

import nn_prune.torch as fast

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def bits(t):
    return t.detach().contiguous().view(BITS[t.element_size()])


def assert_same(a, b):
    """Two modules have the same parameters, buffers, values and hooks, in the same order."""
    for own, other in ((a._parameters, b._parameters), (a._buffers, b._buffers)):
        assert list(own) == list(other)
        for name, t in own.items():
            assert (t is None) == (other[name] is None)
            if t is not None:
                assert t.dtype == other[name].dtype and t.requires_grad == other[name].requires_grad
                assert torch.equal(bits(t), bits(other[name])), name
    for name in a._buffers:
        t, other = getattr(a, name.removesuffix("_mask")), getattr(b, name.removesuffix("_mask"))
        assert t.dtype == other.dtype and t.requires_grad == other.requires_grad
        nan = t.isnan() & other.isnan()
        assert torch.equal(bits(t)[~nan], bits(other)[~nan])
    hooks, others = list(a._forward_pre_hooks.values()), list(b._forward_pre_hooks.values())
    assert [describe(hook) for hook in hooks] == [describe(hook) for hook in others]


def describe(hook):
    if isinstance(hook, plain.PruningContainer):
        return type(hook), hook._tensor_name, [describe(method) for method in hook]
    options = {key: value for key, value in vars(hook).items() if key != "mask"}
    return type(hook), options


def module(shape, dtype, seed, grid=None):
    """A module with a weight of a shape, of few values if there is a grid, and a bias."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    if grid is not None:
        weight = (weight * grid).round() / grid
    m = torch.nn.Module()
    m.weight = torch.nn.Parameter(weight.to(dtype))
    m.bias = torch.nn.Parameter(torch.randn(7, generator=generator, dtype=torch.float64).to(dtype))
    return m


def both(call, a, b, seed=0):
    """Makes a call with PyTorch and with ours; results or errors are the same. Returns whether it was an error."""
    errors = []
    for functions, m in ((plain, a), (fast, b)):
        torch.manual_seed(seed)
        try:
            call(functions, m)
            errors.append(None)
        except Exception as error:
            errors.append(error)
    assert type(errors[0]) is type(errors[1])
    assert str(errors[0]) == str(errors[1])
    assert errors[0] is not None or torch.get_rng_state().sum() >= 0
    return errors[0] is not None


CALLS = {
    "l1": lambda p, m: p.l1_unstructured(m, "weight", 0.3),
    "l1 count": lambda p, m: p.l1_unstructured(m, "weight", 2),
    "l1 nothing": lambda p, m: p.l1_unstructured(m, "weight", 0),
    "l1 bias": lambda p, m: p.l1_unstructured(m, "bias", amount=0.5),
    "l1 scores": lambda p, m: p.l1_unstructured(m, "weight", 0.4, importance_scores=torch.sin(10 * m.weight)),
    "random": lambda p, m: p.random_unstructured(m, "weight", 0.35),
    "ln": lambda p, m: p.ln_structured(m, "weight", 0.4, n=2, dim=0),
    "ln last": lambda p, m: p.ln_structured(m, "weight", 1, n=1, dim=-1),
    "ln inf": lambda p, m: p.ln_structured(m, "weight", 1, n=float("-inf"), dim=1),
    "ln scores": lambda p, m: p.ln_structured(m, "weight", 1, 2, 0, importance_scores=torch.cos(9 * m.weight)),
    "mask": lambda p, m: p.custom_from_mask(m, "weight", (m.weight.detach() * 7).round() % 3 != 0),
    "global": lambda p, m: p.global_unstructured([(m, "weight"), (m, "bias")], p.L1Unstructured, amount=0.25),
}
