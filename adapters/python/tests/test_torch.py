"""`nn_prune.torch` against PyTorch's own functions: modules must be the same, bit for bit."""

import copy
import itertools
import os
import pickle
import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.utils.prune as plain  # noqa: E402
from modules import CALLS, DTYPES, assert_same, both, module  # noqa: E402

import nn_prune.torch as fast  # noqa: E402
from nn_prune import _fast  # noqa: E402


@pytest.fixture
def only_fast(monkeypatch):
    """Fails a test in which PyTorch's own code is called."""

    def refuse(*_, **__):
        raise AssertionError("PyTorch's own code was called")

    monkeypatch.setattr(_fast, "plain_apply", classmethod(refuse))
    monkeypatch.setattr(_fast, "plain_global", refuse)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grid", [None, 2])
@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 2, 2), (300, 500)])
def test_every_call_and_every_pair_of_calls(dtype, grid, shape, only_fast):
    pairs = enumerate(itertools.product(CALLS, CALLS))
    # Of large tensors, only some of the pairs.
    for seed, (first, second) in itertools.islice(pairs, 0, None, 26 if shape == (300, 500) else 1):
        a, b = module(shape, dtype, seed, grid), module(shape, dtype, seed, grid)
        for call in (first, second):
            with pytest.MonkeyPatch.context() as patch:
                # The plain module needs PyTorch's own apply, which the fixture hides from ours alone.
                patch.setattr(plain.BasePruningMethod, "apply", PLAIN_APPLY)
                assert not both(CALLS[call], a, b, seed)
            assert_same(a, b)


PLAIN_APPLY = plain.BasePruningMethod.__dict__["apply"]

SLOW_CALLS = {
    "identity": lambda p, m: p.identity(m, "weight"),
    "random structured": lambda p, m: p.random_structured(m, "weight", 1, dim=1),
    "fro": lambda p, m: p.ln_structured(m, "weight", 1, n="fro", dim=0),
    "wrong amount": lambda p, m: p.l1_unstructured(m, "weight", 1.5),
    "too many": lambda p, m: p.l1_unstructured(m, "weight", 10_000),
    "nan": lambda p, m: p.random_unstructured(m, "weight", float("nan")),
    "text": lambda p, m: p.l1_unstructured(m, "weight", "half"),
    "dim": lambda p, m: p.ln_structured(m, "weight", 1, n=2, dim=5),
    "dim below": lambda p, m: p.ln_structured(m, "weight", 1, n=2, dim=-9),
    "vector": lambda p, m: p.ln_structured(m, "bias", 1, n=2, dim=0),
    "scores shape": lambda p, m: p.l1_unstructured(m, "weight", 1, importance_scores=torch.ones(3)),
    "scores type": lambda p, m: p.l1_unstructured(m, "bias", 3, importance_scores=torch.arange(7)),
    "no such name": lambda p, m: p.l1_unstructured(m, "wait", 1),
    "mask of fractions": lambda p, m: p.custom_from_mask(m, "bias", torch.full((7,), 0.5)),
    "mask shape": lambda p, m: p.custom_from_mask(m, "bias", torch.ones(3)),
    "global random": lambda p, m: p.global_unstructured([(m, "weight"), (m, "bias")], p.RandomUnstructured, amount=0.2),
    "global twice": lambda p, m: p.global_unstructured([(m, "bias"), (m, "bias")], p.L1Unstructured, amount=2),
    "global nothing": lambda p, m: p.global_unstructured([], p.L1Unstructured, amount=2),
    "global structured": lambda p, m: p.global_unstructured([(m, "weight")], p.LnStructured, amount=1, n=2),
    "global too many": lambda p, m: p.global_unstructured([(m, "weight")], p.L1Unstructured, amount=10_000),
    "global scores": lambda p, m: p.global_unstructured(
        [(m, "weight"), (m, "bias")], p.L1Unstructured, {(m, "bias"): -m.bias.detach().exp()}, amount=0.3
    ),
}


def test_random_sequences_of_calls_with_errors():
    """After an error, PyTorch's module may have lost a hook, and ours must be as it was."""
    calls = {**CALLS, **SLOW_CALLS}
    chosen = random.Random(1)
    for seed in range(400):
        dtype, shape = chosen.choice(DTYPES), chosen.choice([(6, 5), (3, 4, 2)])
        a, b = module(shape, dtype, seed, 3), module(shape, dtype, seed, 3)
        for name in chosen.choices(list(calls), k=4):
            before = copy_of(b)
            if both(calls[name], a, b, seed):
                assert_same(before, b)
                # "global scores" and the like may have pruned one of two parameters in PyTorch.
                break
            assert_same(a, b)


def copy_of(m):
    """A copy of a module in which hooks and tensors are shared, except for lists that a call could change."""
    other = torch.nn.Module()
    other.__dict__.update({key: copy.copy(value) for key, value in m.__dict__.items()})
    for key, hook in other._forward_pre_hooks.items():
        if isinstance(hook, plain.PruningContainer):
            other._forward_pre_hooks[key] = copy.copy(hook)
    return other


def test_a_failed_call_keeps_the_hook_that_pytorch_loses():
    m = torch.nn.Linear(4, 3)
    fast.l1_unstructured(m, "weight", 2)
    names = list(dict(m.named_parameters()))
    for amount in (-1, 1000, "half"):
        with pytest.raises((ValueError, TypeError)):
            fast.l1_unstructured(m, "weight", amount)
        with pytest.raises((ValueError, TypeError)):
            fast.l1_unstructured(m, "bias", amount)
    assert fast.is_pruned(m) and list(dict(m.named_parameters())) == names
    fast.remove(m, "weight")


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_numbers(dtype):
    special = [float("nan"), float("-inf"), float("inf"), -0.0, 0.0, 1e-7, -1e-7, 2.0, -3.0, float("nan")]
    for amount in range(11):
        pair = [torch.nn.Module(), torch.nn.Module()]
        for m in pair:
            m.weight = torch.nn.Parameter(torch.tensor([special] * 2, dtype=dtype))
        both(lambda p, m: p.l1_unstructured(m, "weight", amount), *pair)
        assert_same(*pair)
        both(lambda p, m: p.ln_structured(m, "weight", amount, n=2, dim=1), *pair) or assert_same(*pair)


def test_a_large_tensor_with_ties(only_fast):
    a, b = (torch.nn.Linear(1000, 1000) for _ in range(2))
    b.load_state_dict(a.state_dict())
    for m in (a, b):
        m.weight.data.mul_(100).round_().div_(100)
    for _ in range(2):
        both(lambda p, m: p.l1_unstructured(m, "weight", 0.5), a, b)
        assert_same(a, b)
        both(lambda p, m: p.random_unstructured(m, "weight", 0.5), a, b, 3)
        assert_same(a, b)


def test_lowest_index_of_ties():
    fast.set_ties("lowest")
    try:
        m = module((4, 5), torch.float32, 0)
        m.weight.data.fill_(1)
        fast.l1_unstructured(m, "weight", 7)
        assert m.weight_mask.flatten().tolist() == [0] * 7 + [1] * 13
        with pytest.raises(ValueError, match="neither `lowest` nor `torch`"):
            fast.set_ties("highest")
    finally:
        fast.set_ties("torch")


def test_gradients_are_those_of_pytorch():
    a, b = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
    b.load_state_dict(a.state_dict())
    both(lambda p, m: p.l1_unstructured(m, "weight", 0.5), a, b)
    x = torch.randn(2, 5)
    for use in (lambda m: m.weight.exp().sum(), lambda m: m(x).exp().sum()):
        for m in (a, b):
            m.zero_grad()
            use(m).backward()
        assert torch.equal(a.weight_orig.grad, b.weight_orig.grad)
        assert torch.count_nonzero(b.weight_orig.grad) == 7
    with torch.no_grad():
        both(lambda p, m: p.l1_unstructured(m, "weight", 0.5), a, b)
    assert_same(a, b)
    assert b.weight.grad_fn is None


def test_training_and_removal():
    nets = [torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    x, y = torch.randn(32, 8), torch.randn(32, 2)
    for p, net in zip((plain, fast), nets):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        for step in range(6):
            if step % 2 == 0:
                p.global_unstructured([(net[0], "weight"), (net[2], "weight")], p.L1Unstructured, amount=0.3)
                p.ln_structured(net[0], "weight", 1, n=2, dim=0)
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(net(x), y).backward()
            optimizer.step()
        p.remove(net[0], "weight")
        p.remove(net[2], "weight")
    for a, b in zip(nets[0].parameters(), nets[1].parameters()):
        assert torch.equal(a, b)
    assert not fast.is_pruned(nets[1])


def test_pickles_need_no_nn_prune():
    m = torch.nn.Linear(4, 3)
    fast.l1_unstructured(m, "weight", 0.5)
    fast.ln_structured(m, "weight", 1, n=2, dim=0)
    data = pickle.dumps(m)
    assert b"nn_prune" not in data
    assert_same(m, pickle.loads(data))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(5, 4).t(),
        torch.randn(8, 4)[::2],
        torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.randn(0, 3),
        torch.randn(3, 4, dtype=torch.complex64),
        torch.randn(3, 4, device="meta"),
        torch.zeros(()),
    ],
    ids=["transposed", "strided", "channels last", "empty", "complex", "meta", "scalar"],
)
def test_other_tensors_are_left_to_pytorch(tensor):
    for call in ("l1", "random", "ln", "ln last", "mask"):
        pair = [torch.nn.Module(), torch.nn.Module()]
        for m in pair:
            m.weight = torch.nn.Parameter(tensor.clone(memory_format=torch.preserve_format))
            m.weight.data = tensor.detach()
        if tensor.device.type == "meta":
            assert _fast.array_of(pair[0].weight) is None
        elif not both(CALLS[call], *pair):
            assert_same(*pair)


def test_masks_of_other_numbers_are_left_to_pytorch():
    pair = [module((4, 5), torch.float32, 3) for _ in range(2)]
    both(lambda p, m: p.custom_from_mask(m, "weight", torch.linspace(0, 1, 20).reshape(4, 5).round(decimals=1)), *pair)
    for call in ("l1", "random", "ln", "mask", "global"):
        assert not both(CALLS[call], *pair)
        assert_same(*pair)


def test_masks_and_values_are_tensors_of_torch():
    m = module((50, 60), torch.float32, 0)
    orig = m.weight
    fast.l1_unstructured(m, "weight", 0.5)
    assert m.weight_orig is orig
    pointers = {t.data_ptr() for t in (m.weight_orig, m.weight_mask, m.weight)}
    assert len(pointers) == 3
    for t in (m.weight_orig, m.weight_mask, m.weight.detach()):
        # As FSDP does. Memory of NumPy cannot be resized, and that which was lent to it once neither.
        t.untyped_storage().resize_(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_prunes_too():
    weight = np.random.default_rng(0).standard_normal((600, 600)).astype(np.float32)
    import nn_prune

    expected = nn_prune.l1_unstructured(weight, 0.5)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(nn_prune.l1_unstructured(weight, 0.5), expected) else 1)
    for _ in range(600):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        __import__("time").sleep(0.1)
    else:
        os.kill(child, 9)
        pytest.fail("the process waits for threads that it does not have")
    assert status == 0
