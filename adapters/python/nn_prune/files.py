"""Pruning of checkpoints in safetensors files, which may be larger than memory.

Every function reads `input` (a file, an index `*.safetensors.index.json`, a directory of either, or a list of shards) and
writes `output`: a file, or a directory with the other files that loaders need. Without an output it is a dry run. No input is
changed, and an output appears when it is complete. All of them have the parameters

- `force`: replace an output that exists;
- `resume`: continue a run of the same arguments into a directory that was interrupted;
- `weights_only`: copy no other files into a directory;
- `progress`: a function that is called a few times a second as `progress(phase, done, total)`, in bytes of one phase. If it
  raises an exception, the run stops. Control-C stops it too.

They return a report as a dictionary, with the keys of `nn-prune --json`. Invalid arguments and files raise `ValueError`, and
what the operating system refuses raises `OSError`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Union

from . import _rust
from .arrays import Norm, Ties

PathLike = Union[str, "os.PathLike[str]"]
Input = Union[PathLike, Iterable[PathLike]]
Progress = Callable[[str, int, int], object]
Report = dict[str, Any]


def prune_checkpoint(
    input: Input,
    output: PathLike | None = None,
    method: str = "l1",
    amount: float | Mapping[str, float] | None = None,
    *,
    sparsity: float | None = None,
    n: Norm | None = None,
    dim: int | None = None,
    seed: int | None = None,
    pattern: tuple[int, int] | None = None,
    block: Iterable[int] | None = None,
    ties: Ties | None = None,
    masks: PathLike | None = None,
    scope: Literal["tensor", "global"] = "tensor",
    allocation: Literal["uniform", "erdos-renyi", "erk", "global", "lamp"] | None = None,
    format: Literal["weights", "pytorch", "masks"] = "weights",
    only: str | Iterable[str] = (),
    include: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    force: bool = False,
    resume: bool = False,
    weights_only: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Writes a pruned copy of a checkpoint.

    By default the weights of layers are pruned: not embeddings, norms, biases or output layers. `include` and `exclude`
    restrict that to names that match globs, and `only` replaces it. The report says for each tensor how many of its entries
    are pruned, or why it was skipped.

    - `method`: `"l1"`, `"random"`, `"ln"`, `"random-structured"`, `"nm"`, `"block"` or `"fpgm"`.
    - `amount`: a fraction of the remaining units (a float), a count (an integer), or one of these for each glob, of which the
      first counts that matches: `{"*.attn.*": 0.3, "*": 0.6}`. Instead, `sparsity` is the fraction of all units that is
      pruned in the end.
    - `n`, `dim`, `seed`, `pattern` (a pair, such as `(2, 4)`), `block` (sizes) and `ties`: options of methods. Without a
      `dim`, channels are those of each layer's output.
    - `masks`: a file of masks to apply, instead of a method.
    - `scope`: `"tensor"`, or `"global"` to rank the entries of all tensors together.
    - `allocation`: how the amount is divided among tensors: `"uniform"`, `"erdos-renyi"`, `"erk"`, `"global"` or `"lamp"`.
    - `format`: `"weights"`, `"pytorch"` for `w_orig` and `w_mask`, or `"masks"`.

    >>> report = nn_prune.prune_checkpoint("model.safetensors", "half.safetensors", amount=0.5)  # doctest: +SKIP
    >>> report["pruned"] / report["entries"]  # doctest: +SKIP
    0.5
    """
    channels = method in ("ln", "ln_structured", "random-structured", "random_structured", "fpgm")
    options: dict[str, Any] = {"n": n, "dim": dim, "seed": seed, "pattern": pattern, "block": block, "ties": ties}
    options["sparsity"] = sparsity
    if amount is not None and sparsity is not None:
        raise TypeError("pruning needs either an amount or a sparsity, not both")
    if masks is not None and (amount is not None or any(option is not None for option in options.values())):
        raise TypeError("masks of a file are applied as they are, without options of a method")
    amounts = amount if isinstance(amount, Mapping) else {}
    layers = [(glob, _rust.Method(method, **options, amount=value)) for glob, value in amounts.items()]
    is_one = masks is None and not isinstance(amount, Mapping)
    chosen = {
        "method": _rust.Method(method, **options, amount=amount) if is_one else None,
        "layers": layers,
        "masks": None if masks is None else os.fspath(masks),
        "scope": scope,
        "allocation": allocation,
        "format": format,
        "output_axis": channels and dim is None,
        "only": _strings(only),
        "include": _strings(include),
        "exclude": _strings(exclude),
    }
    return _rust.prune_checkpoint(_files(input, output, force, resume, weights_only, progress), chosen)


def compact_checkpoint(
    input: Input,
    output: PathLike | None = None,
    *,
    ffn: float | None = None,
    kv_groups: float | None = None,
    heads: float | None = None,
    drop_layers: Iterable[int] = (),
    dead: bool = False,
    coupling: PathLike | None = None,
    keep: PathLike | None = None,
    scores: PathLike | None = None,
    multiple: int = 1,
    minimum: int = 1,
    fold: bool = False,
    save_plan: PathLike | None = None,
    force: bool = False,
    resume: bool = False,
    weights_only: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Removes neurons, heads and layers of a transformer: a smaller checkpoint that loads as the large one did.

    The structure comes from `config.json`, for the usual models of Hugging Face, or from a file `coupling`.

    - `ffn`, `kv_groups`, `heads`: the amounts of inner neurons, of key/value heads with their query heads, and of heads (ViT)
      to remove from each layer: fractions (floats) or counts (integers).
    - `drop_layers`: the numbers of layers to remove.
    - `dead`: remove the units that masks or zeros have made useless.
    - `keep`, `scores`: files with the units to keep, or with their scores. `save_plan` writes the former.
    - `multiple`, `minimum`: the number of which the kept neurons are a multiple, and the lowest number of kept units.
    - `fold`: add the constants that pruned units leave to the next layer.
    """
    options = {
        "ffn": ffn,
        "kv_groups": kv_groups,
        "heads": heads,
        "drop_layers": list(drop_layers),
        "dead": dead,
        "coupling": coupling,
        "keep": keep,
        "scores": scores,
        "multiple": multiple,
        "minimum": minimum,
        "fold": fold,
        "save_plan": save_plan,
    }
    return _rust.compact_checkpoint(_files(input, output, force, resume, weights_only, progress), options)


def pack_checkpoint(
    input: Input,
    output: PathLike | None = None,
    *,
    signs: bool = False,
    min_sparsity: float = 0.0,
    force: bool = False,
    resume: bool = False,
    weights_only: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Writes a smaller copy of a pruned checkpoint: one bit per entry, and the entries that are not zero.

    Tensors that would not shrink, or whose sparsity is below `min_sparsity`, stay dense. `signs` keeps the signs of zeros, so
    that unpacking gives every bit again.
    """
    return _rust.pack_checkpoint(_files(input, output, force, resume, weights_only, progress), signs, min_sparsity)


def unpack_checkpoint(
    input: Input,
    output: PathLike,
    *,
    force: bool = False,
    resume: bool = False,
    weights_only: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Writes a packed checkpoint as a dense one, which every loader reads."""
    if output is None:
        raise TypeError("unpacking needs an output")
    return _rust.unpack_checkpoint(_files(input, output, force, resume, weights_only, progress))


def _files(
    input: Input, output: PathLike | None, force: bool, resume: bool, weights_only: bool, progress: Progress | None
) -> dict[str, Any]:
    return {
        "input": _paths(input),
        "output": None if output is None else os.fspath(output),
        "force": force,
        "resume": resume,
        "weights_only": weights_only,
        "progress": progress,
    }


def _paths(input: Input) -> list[str]:
    if isinstance(input, (str, os.PathLike)):
        return [os.fspath(input)]
    return [os.fspath(path) for path in input]


def _strings(patterns: str | Iterable[str]) -> list[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns)
