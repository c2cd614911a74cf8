"""Checks that transformers loads what `nn-prune compact` writes, and that it computes what the masked model does.

Usage: check_compact.py PROGRAM [CASE ...]

For every tiny model of tests/golden/compact/hf, runs the program with the recorded plan, loads the output, and fails if a key
is missing, unexpected or mismatched, or if outputs differ from those of the masked model by more than 1e-5. Needs torch,
transformers 5 and safetensors; it is not part of CI.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM

HF = Path(__file__).resolve().parent.parent / "golden" / "compact" / "hf"
TOLERANCE = 1e-5
ENCODERS = ("bert", "roberta", "vit")


def output(model, tensors):
    names = ("input_ids", "pixel_values")
    with torch.no_grad():
        result = model(**{name: tensors[name] for name in names if name in tensors})
    return result.logits if hasattr(result, "logits") else result.last_hidden_state


def check(program, case):
    """Returns the largest difference from the masked model; from the compact model for BERT without a layer."""
    folder, recorded = HF / case, json.loads((HF / case / "case.json").read_text())
    io = load_file(folder / "io.safetensors")
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "out"
        command = [program, "compact", folder / "dense", "-o", out, "--keep", folder / "case.json", "--quiet"]
        if recorded["drop"]:
            command += ["--drop-layers", ",".join(map(str, recorded["drop"]))]
        subprocess.run(command, check=True)
        kind = json.loads((out / "config.json").read_text())["model_type"]
        auto = AutoModel if kind in ENCODERS else AutoModelForCausalLM
        model, info = auto.from_pretrained(out, output_loading_info=True)
    odd = {key: value for key, value in info.items() if value}
    assert not odd, f"{case}: {odd}"
    expected = io["output.compact" if case == "bert-layers" else "output.masked"]
    difference = float((output(model.eval(), io) - expected).abs().max())
    assert difference <= TOLERANCE, f"{case}: differs by {difference}"
    return difference


def main():
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    program, *cases = sys.argv[1:]
    cases = cases or sorted(path.name for path in HF.iterdir())
    for case in cases:
        print(f"{case:20} {check(program, case):.1e}", flush=True)
    print(f"{len(cases)} models load and agree, transformers {transformers.__version__}, torch {torch.__version__}")


main()
