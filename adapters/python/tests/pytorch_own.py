"""Runs PyTorch's own tests of torch.nn.utils.prune three times: on PyTorch alone, with `install()`, and with `nn_prune.torch` in
its place. All must pass.

The tests are no part of this package. They are fetched into a directory: from PyTorch's repository or, if that cannot be
reached, from the source package of PyTorch in Debian, of which the tests of pruning are cut out.

    python tests/pytorch_own.py DIRECTORY

Exits with 77 if the tests cannot be fetched.
"""

import ast
import os
import re
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

REPOSITORY = "https://raw.githubusercontent.com/pytorch/pytorch/v{version}/test/nn/test_pruning.py"
DEBIAN = "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main\n"
EXPECTED = 34
HEADER = """\
import pickle
import unittest
import unittest.mock as mock
import torch
import torch.nn as nn
import torch.nn.utils.prune as prune
from torch.testing._internal.common_nn import NNTestCase
from torch.testing._internal.common_utils import TEST_NUMPY, TemporaryFileName, run_tests


class TestPruningNN(NNTestCase):
"""
INSTALL = "\nimport nn_prune.torch\nnn_prune.torch.install()\n"


def from_repository():
    import torch

    url = REPOSITORY.format(version=torch.__version__.split("+")[0])
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def from_debian(directory):
    lists = directory / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    sources = directory / "sources.list"
    sources.write_text(DEBIAN)
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": lists,
        "Dir::Cache": directory / "cache",
    }
    apt = ["apt-get", "-q", *(part for key, value in options.items() for part in ("-o", f"{key}={value}"))]
    quiet = {"cwd": directory, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": 600}
    subprocess.run([*apt, "update"], check=True, **quiet)
    # Debian's own changes, which come last, may be missing.
    subprocess.run([*apt, "source", "--download-only", "pytorch"], check=False, **quiet)
    (archive,) = directory.glob("pytorch_*.orig.tar.*")
    with tarfile.open(archive) as files:
        (tests,) = (file for file in files if re.fullmatch(r"[^/]+/test/test_nn\.py", file.name))
        return cut_out(files.extractfile(tests).read().decode())


def cut_out(source):
    """The tests of pruning among those of torch.nn."""
    lines = source.split("\n")
    (tests,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "TestNN")
    texts = []
    for function in tests.body:
        if isinstance(function, ast.FunctionDef):
            first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
            text = "\n".join(lines[first - 1 : function.end_lineno])
            if "prune." in text:
                texts.append(text)
    # Since PyTorch 2.6, a whole module is loaded only on request.
    text = re.sub(r"(= torch\.load\(fname)\)", r"\1, weights_only=False)", "\n\n".join(texts))
    return f'{HEADER}{text}\n\n\nif __name__ == "__main__":\n    run_tests()\n'


def fetch(directory):
    problems = []
    for get in (from_repository, lambda: from_debian(directory)):
        try:
            return get()
        except Exception as problem:
            problems.append(f"{type(problem).__name__}: {problem}")
    sys.exit(print("the tests cannot be fetched:", *problems, sep="\n  ") or 77)


def main():
    directory = Path(sys.argv[1]).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    source = fetch(directory)
    variants = {
        "torch": source,
        "install": source.replace("import torch.nn.utils.prune as prune", f"import torch.nn.utils.prune as prune{INSTALL}"),
        "drop_in": source.replace("import torch.nn.utils.prune as prune", "import nn_prune.torch as prune"),
    }
    assert len(set(variants.values())) == 3, "the tests import torch.nn.utils.prune in another way"
    failed = False
    for name, text in variants.items():
        path = directory / f"test_pruning_{name}.py"
        path.write_text(text)
        done = subprocess.run([sys.executable, path], cwd=directory, env={**os.environ}, capture_output=True, text=True)
        ran = re.search(r"Ran (\d+) tests?", done.stderr)
        count = int(ran[1]) if ran else 0
        skipped = re.search(r"skipped=(\d+)", done.stderr)
        passed = done.returncode == 0 and count >= EXPECTED and not skipped
        print(f"PyTorch's own tests, {name}: {count} run, {'passed' if passed else 'FAILED'}", flush=True)
        if not passed:
            failed = True
            print(done.stderr[-4000:])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
