"""`nn_prune.torch.install`, and methods of others."""

import pytest

torch = pytest.importorskip("torch")
import torch.nn.utils.prune as plain  # noqa: E402
from modules import CALLS, DTYPES, assert_same, bits, module  # noqa: E402

import nn_prune.torch as fast  # noqa: E402
from nn_prune import _fast  # noqa: E402


class Below(plain.BasePruningMethod):
    """A method of somebody else."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, threshold):
        self.threshold = threshold

    def compute_mask(self, t, default_mask):
        return default_mask * (t.abs() >= self.threshold)


class Sparing(plain.L1Unstructured):
    """A subclass that changes a fast method."""

    def compute_mask(self, t, default_mask):
        mask = super().compute_mask(t, default_mask)
        mask.view(-1)[0] = default_mask.view(-1)[0]
        return mask


@pytest.mark.parametrize("installed", [False, True])
def test_methods_of_others(installed):
    for cls, options in ((Below, {"threshold": 0.5}), (Sparing, {"amount": 0.5})):
        a, b = module((6, 5), torch.float32, 5), module((6, 5), torch.float32, 5)
        cls.apply(a, "weight", **options)
        plain.l1_unstructured(a, "weight", 0.5)
        plain.global_unstructured([(a, "bias")], cls, **options)
        fast.install() if installed else None
        try:
            cls.apply(b, "weight", **options)
            fast.l1_unstructured(b, "weight", 0.5)
            fast.global_unstructured([(b, "bias")], cls, **options)
        finally:
            fast.uninstall()
        assert_same(a, b)


def test_a_replaced_compute_mask_is_called(monkeypatch):
    """As a test of PyTorch does."""

    def refuse(*_, **__):
        raise ArithmeticError

    monkeypatch.setattr("torch.nn.utils.prune.L1Unstructured.compute_mask", refuse)
    m = module((4, 5), torch.float32, 0)
    for call in ("l1", "global"):
        with pytest.raises(ArithmeticError):
            CALLS[call](fast, m)
    assert not fast.is_pruned(m)


def test_install_speeds_up_pytorch_itself(monkeypatch):
    own = dict(vars(plain.BasePruningMethod)), plain.L1Unstructured.compute_mask, plain.global_unstructured
    a = {call: module((20, 30), torch.float32, 7, 4) for call in CALLS}
    b = {call: module((20, 30), torch.float32, 7, 4) for call in CALLS}
    for call, m in a.items():
        torch.manual_seed(5)
        CALLS[call](plain, m)
    fast.install()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_fast, "plain_apply", None)
            patch.setattr(_fast, "plain_global", None)
            for call, m in b.items():
                torch.manual_seed(5)
                CALLS[call](plain, m)
    finally:
        fast.uninstall()
    for call in CALLS:
        assert_same(a[call], b[call])
    assert own == (dict(vars(plain.BasePruningMethod)), plain.L1Unstructured.compute_mask, plain.global_unstructured)


@pytest.mark.parametrize("dtype", DTYPES)
def test_compute_mask_and_prune_of_installed_methods(dtype):
    t = module((6, 5), dtype, 1, 2).weight.detach()
    default = (torch.arange(30).reshape(6, 5) % 4 != 0).to(dtype)
    methods = [
        plain.L1Unstructured(0.4),
        plain.L1Unstructured(0),
        plain.RandomUnstructured(7),
        plain.LnStructured(2, n=2, dim=0),
        plain.LnStructured(0, n=1, dim=1),
    ]
    results = []
    for installed in (False, True):
        fast.install() if installed else None
        try:
            torch.manual_seed(2)
            results.append(
                [
                    result
                    for method in methods
                    for result in (
                        method.compute_mask(t, default),
                        method.compute_mask(t, default.double()),
                        method.prune(t),
                        method.prune(t, importance_scores=1 / (1 + t * t)),
                    )
                ]
            )
        finally:
            fast.uninstall()
    for a, b in zip(*results):
        assert a.dtype == b.dtype and torch.equal(bits(a), bits(b))
