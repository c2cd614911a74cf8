"""The functions for arrays, against NumPy."""

import doctest
import inspect

import ml_dtypes
import numpy as np
import pytest

import nn_prune
from nn_prune import arrays

DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]


def weights(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def without_lowest(scores, count, kept=None):
    """The mask without the `count` lowest magnitudes, of equal ones the first."""
    magnitudes = np.abs(scores.astype(np.float64)).ravel()
    mask = np.ones(magnitudes.size, bool) if kept is None else kept.ravel().copy()
    order = np.argsort(np.where(mask, magnitudes, np.inf), kind="stable")
    mask[order[:count]] = False
    return mask.reshape(scores.shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(12,), (5, 8), (3, 4, 5), (700, 300)])
def test_l1_unstructured(dtype, shape):
    array = weights(shape, dtype)
    before = array.copy()
    half = round(array.size * 0.5)
    mask = nn_prune.l1_unstructured(array, 0.5)
    assert mask.dtype == bool and mask.shape == shape
    assert np.array_equal(mask, without_lowest(array, half))
    more = nn_prune.l1_unstructured(array, 3, mask)
    assert np.array_equal(more, without_lowest(array, 3, mask))
    assert np.array_equal(more, nn_prune.l1_unstructured(array, 3, mask.astype(np.float32)))
    assert np.array_equal(more, nn_prune.l1_unstructured(array, mask=mask, sparsity=(half + 3) / array.size))
    scores = weights(shape, dtype, 1)
    assert np.array_equal(nn_prune.l1_unstructured(array, 5, scores=scores), without_lowest(scores, 5))
    assert np.array_equal(array, before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_structured(dtype):
    array = weights((6, 4, 5), dtype)
    norms = np.abs(array.astype(np.float64)).sum(axis=(0, 2))
    mask = nn_prune.ln_structured(array, 1, n=1, dim=1)
    assert not mask[:, norms.argmin()].any() and mask.sum() == 90
    assert np.array_equal(mask, nn_prune.ln_structured(array, 0.25, 1, -2))
    largest = np.abs(array.astype(np.float64)).max(axis=(1, 2))
    assert not nn_prune.ln_structured(array, 1, n=float("inf"))[largest.argmin()].any()
    drawn = nn_prune.random_structured(array, 0.5, dim=0, seed=3)
    assert drawn.any(axis=(1, 2)).sum() == 3 and drawn.sum() == 60


def test_random_is_the_same_for_a_seed():
    array = np.ones((40, 50), np.float32)
    masks = [nn_prune.random_unstructured(array, 0.3, seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0], masks[2])
    assert masks[0].sum() == 1400
    again = nn_prune.random_unstructured(array, 0.5, masks[0], seed=1)
    assert again.sum() == 700 and not (again & ~masks[0]).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_patterns_and_blocks(dtype):
    array = weights((8, 16), dtype)
    mask = nn_prune.nm(array, 2, 4)
    assert (mask.reshape(8, 4, 4).sum(axis=2) == 2).all()
    groups = np.abs(array.astype(np.float64)).reshape(-1, 4)
    expected = np.zeros((32, 4), bool)
    # Of equal magnitudes, the first is pruned first.
    np.put_along_axis(expected, np.argsort(groups, axis=1, kind="stable")[:, 2:], True, axis=1)
    assert np.array_equal(mask, expected.reshape(8, 16))
    columns = nn_prune.nm(array, 1, 2, dim=0)
    assert (columns.reshape(4, 2, 16).sum(axis=1) == 1).all()
    blocks = nn_prune.block(array, 0.5, (4, 4)).reshape(2, 4, 4, 4)
    assert (blocks.all(axis=(1, 3)) ^ ~blocks.any(axis=(1, 3))).all() and blocks.sum() == 64


@pytest.mark.parametrize("dtype", DTYPES)
def test_global_unstructured(dtype):
    arrays = [weights((6, 7), dtype, 1), weights((30,), dtype, 2)]
    masks = nn_prune.global_unstructured(arrays, 0.5)
    together = np.concatenate([array.ravel() for array in arrays])
    assert np.array_equal(np.concatenate([mask.ravel() for mask in masks]), without_lowest(together, 36))
    more = nn_prune.global_unstructured(arrays, 6, masks=[masks[0], None])
    assert sum((~mask).sum() for mask in more) == 6 + (~masks[0]).sum()
    ranked = nn_prune.global_unstructured(arrays, 6, scores=[None, (arrays[1] * 0).astype(dtype)])
    assert ranked[0].all() and (~ranked[1]).sum() == 6


def test_ties():
    array = np.ones(10, np.float32)
    assert nn_prune.l1_unstructured(array, 3).tolist() == [False] * 3 + [True] * 7
    assert np.flatnonzero(~nn_prune.l1_unstructured(array, 3, ties="torch")).tolist() == [6, 7, 8]


def test_any_layout_and_anything_that_is_an_array():
    array = weights((6, 8), np.float32)
    expected = nn_prune.l1_unstructured(array, 0.5)
    assert np.array_equal(nn_prune.l1_unstructured(np.asfortranarray(array), 0.5), expected)
    wide = np.zeros((6, 16), np.float32)
    wide[:, ::2] = array
    assert np.array_equal(nn_prune.l1_unstructured(wide[:, ::2], 0.5), expected)
    array.flags.writeable = False
    assert np.array_equal(nn_prune.l1_unstructured(array, 0.5), expected)
    assert np.array_equal(nn_prune.l1_unstructured(array.tolist(), 0.5), nn_prune.l1_unstructured(array.astype(float), 0.5))
    assert nn_prune.l1_unstructured(np.float32(3), 0).shape == ()


def test_arrays_without_entries():
    for shape in ((0,), (0, 4), (3, 0)):
        array = np.zeros(shape, np.float32)
        assert nn_prune.l1_unstructured(array, 0.5).shape == shape
        assert nn_prune.nm(array, 2, 4).shape == shape
    assert nn_prune.ln_structured(np.zeros((3, 0)), 1).shape == (3, 0)


ONES = np.ones((4, 4), np.float32)
NAN = float("nan")


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: nn_prune.l1_unstructured(ONES, NAN), ValueError, "amount NaN is not a fraction from 0.0 to 1.0"),
        (lambda: nn_prune.l1_unstructured(ONES, 1.5), ValueError, "amount 1.5 is not a fraction"),
        (lambda: nn_prune.l1_unstructured(ONES, -1), ValueError, "amount -1 is not a count"),
        (lambda: nn_prune.l1_unstructured(ONES, 17), ValueError, "exceeds the number of remaining entries .16."),
        (lambda: nn_prune.l1_unstructured(ONES, True), TypeError, "amount must be a number, not True"),
        (lambda: nn_prune.l1_unstructured(ONES, "half"), TypeError, "amount must be a number, not 'half'"),
        (lambda: nn_prune.l1_unstructured(ONES), TypeError, "needs either an amount or a sparsity"),
        (lambda: nn_prune.l1_unstructured(ONES, 1, sparsity=0.5), TypeError, "needs either an amount or a sparsity"),
        (lambda: nn_prune.l1_unstructured(ONES, sparsity=2), ValueError, "not a fraction"),
        (lambda: nn_prune.l1_unstructured(ONES, 1, ties="any"), ValueError, "ties `any` is neither"),
        (lambda: nn_prune.l1_unstructured(ONES.astype(int), 1), TypeError, "cannot prune an array of int64"),
        (lambda: nn_prune.l1_unstructured(ONES.astype(complex), 1), TypeError, "cannot prune an array of complex128"),
        (lambda: nn_prune.l1_unstructured(ONES.astype(">f4"), 1), TypeError, "order of another machine"),
        (lambda: nn_prune.l1_unstructured([[1.0], [1.0, 2.0]], 1), ValueError, "inhomogeneous"),
        (lambda: nn_prune.l1_unstructured(None, 1), TypeError, "cannot prune an array of object"),
        (lambda: nn_prune.l1_unstructured(ONES, 1, mask=ONES[:2]), ValueError, r"mask has shape \[2, 4\]"),
        (lambda: nn_prune.l1_unstructured(ONES, 1, mask=ONES / 2), ValueError, "other numbers than 0 and 1"),
        (lambda: nn_prune.l1_unstructured(ONES, 1, mask=ONES * NAN), ValueError, "other numbers than 0 and 1"),
        (lambda: nn_prune.l1_unstructured(ONES, 1, scores=ONES[0]), ValueError, "importance_scores has shape"),
        (
            lambda: nn_prune.l1_unstructured(ONES, 1, scores=ONES.astype(float)),
            TypeError,
            "scores of float64 cannot rank",
        ),
        (lambda: nn_prune.ln_structured(ONES, 1, dim=2), ValueError, "axis 2 is out of range"),
        (lambda: nn_prune.ln_structured(ONES[0], 1), ValueError, "at least 2 dimensions"),
        (lambda: nn_prune.ln_structured(ONES, 1, n=NAN), ValueError, "norm order"),
        (lambda: nn_prune.ln_structured(ONES, 1, n="max"), ValueError, "norm `max` is neither"),
        (lambda: nn_prune.ln_structured(ONES, 1, n="nuc"), ValueError, "nuclear norm needs a 3-dimensional"),
        (lambda: nn_prune.random_unstructured(ONES, 1, seed=-1), ValueError, "seed -1 is not an integer from 0"),
        (lambda: nn_prune.nm(ONES, 5, 4), ValueError, "5:4"),
        (lambda: nn_prune.nm(ONES, -1, 4), OverflowError, "negative"),
        (lambda: nn_prune.block(ONES, 1, (0, 1)), ValueError, "block"),
        (lambda: nn_prune.global_unstructured([], 1), ValueError, "at least one parameter"),
        (lambda: nn_prune.global_unstructured([ONES, ONES.astype(float)], 1), TypeError, "float32, float64"),
        (lambda: nn_prune.global_unstructured([ONES], 1, masks=[]), ValueError, "1 arrays, but 0 masks"),
    ],
)
def test_errors_say_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert (ONES == 1).all()


def test_other_threads_run_meanwhile():
    """The lock of the interpreter is not held: two calls at once give what they give alone."""
    from concurrent.futures import ThreadPoolExecutor

    inputs = [weights((400, 500), np.float32, seed) for seed in range(8)]
    alone = [nn_prune.l1_unstructured(array, 0.5) for array in inputs]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda array: nn_prune.l1_unstructured(array, 0.5), inputs))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together))


def test_every_function_explains_itself():
    for name in nn_prune.__all__:
        function = getattr(nn_prune, name)
        assert inspect.getdoc(function), name
        assert inspect.signature(function), name


@pytest.mark.parametrize("module", [arrays, nn_prune.files])
def test_examples(module):
    results = doctest.testmod(module, extraglobs={"nn_prune": nn_prune})
    assert results.failed == 0
