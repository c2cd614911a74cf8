"""Checks models that nn-prune has pruned in place with onnx.checker and ONNX Runtime.

    scripts/onnx

makes the environment and calls this file with the program and the models of other projects. For each model and method:

- onnx.checker accepts the output.
- The output has the length of the input, and differs from it only within the data of the weights that the report names.
- The masks are those of NumPy, for l1 and n:m.
- ONNX Runtime computes from the output bit for bit what it computes from the input whose weights NumPy has multiplied by the
  masks; and to rounding what it computes from the input with a product of each weight and its mask in the graph, as it packs
  weights only if they are constants.
"""
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import ml_dtypes
import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

RANDOM = numpy.random.default_rng(888)
DTYPES = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.DOUBLE: "float64"}


def weights(name, shape, dtype="float32"):
    values = (RANDOM.standard_normal(shape) / numpy.sqrt(numpy.prod(shape[1:]))).astype(dtype)
    if dtype == "float32" and name.startswith("typed"):
        return helper.make_tensor(name, TensorProto.FLOAT, shape, values.ravel().tolist())
    return numpy_helper.from_array(values, name)


def model(nodes, initializers, inputs, outputs, dtype=TensorProto.FLOAT):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "graph",
        [value(name, dtype, shape) for name, shape in inputs],
        [value(name, dtype, shape) for name, shape in outputs],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def perceptron(dtype="float32"):
    code = next(code for code, name in DTYPES.items() if name == dtype)
    nodes = [
        helper.make_node("Gemm", ["x", "onnx::Gemm_1", "b"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "onnx::MatMul_2"], ["m"]),
        helper.make_node("Add", ["m", "bias2"], ["a"]),
        helper.make_node("Transpose", ["third"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["a", "t"], ["y"]),
    ]
    initializers = [
        weights("onnx::Gemm_1", (64, 32), dtype),
        weights("b", (64,), dtype),
        weights("onnx::MatMul_2", (64, 48), dtype),
        weights("bias2", (48,), dtype),
        weights("third", (16, 48), dtype),
    ]
    return model(nodes, initializers, [("x", ["n", 32])], [("y", ["n", 16])], code)


def convolutions():
    nodes = [
        helper.make_node("Conv", ["x", "typed.conv", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Conv", ["r", "grouped"], ["g"], group=4),
        helper.make_node("ConvTranspose", ["g", "up"], ["u"], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["u"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "head"], ["y"]),
    ]
    initializers = [
        weights("typed.conv", (16, 3, 3, 3)),
        *(weights(name, (16,)) for name in ("b", "scale", "shift", "mean")),
        numpy_helper.from_array(numpy.ones(16, "float32"), "var"),
        weights("grouped", (8, 4, 3, 3)),
        weights("up", (8, 6, 2, 2)),
        weights("head", (6, 10)),
    ]
    return model(nodes, initializers, [("x", ["n", 3, 12, 12])], [("y", ["n", 10])])


def recurrent():
    nodes = [
        helper.make_node("LSTM", ["x", "W", "R", "B"], ["", "h"], hidden_size=12),
        helper.make_node("Squeeze", ["h", "axes"], ["s"]),
        helper.make_node("Gemm", ["s", "fc"], ["y"], transB=1),
    ]
    initializers = [
        weights("W", (1, 48, 8)),
        weights("R", (1, 48, 12)),
        weights("B", (1, 96)),
        numpy_helper.from_array(numpy.array([0]), "axes"),
        weights("fc", (5, 12)),
    ]
    return model(nodes, initializers, [("x", [7, "n", 8])], [("y", ["n", 5])])


def branches():
    value = helper.make_tensor_value_info
    body = {
        name: helper.make_graph(
            [helper.make_node("MatMul", ["x", f"{name}.w"], [f"{name}.z"])],
            name,
            [],
            [value(f"{name}.z", TensorProto.FLOAT, ["n", 8])],
            [weights(f"{name}.w", (16, 8))],
        )
        for name in ("then", "else")
    }
    nodes = [
        helper.make_node("Constant", [], ["k"], value=weights("", (8, 4))),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["cond"]),
        helper.make_node("If", ["cond"], ["i"], then_branch=body["then"], else_branch=body["else"]),
        helper.make_node("MatMul", ["i", "k"], ["y"]),
    ]
    zero = numpy_helper.from_array(numpy.array(0, "float32"), "zero")
    return model(nodes, [zero], [("x", ["n", 16])], [("y", ["n", 4])])


def bfloat16():
    """ONNX Runtime has no bf16 products on a CPU: a cast makes the weight an f32 one."""
    nodes = [
        helper.make_node("Cast", ["w"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "f"], ["y"]),
    ]
    return model(nodes, [weights("w", (32, 24), ml_dtypes.bfloat16)], [("x", ["n", 32])], [("y", ["n", 24])])


def quantised(folder):
    """Weights of eight bits, and one layer that is left as it is."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Data(CalibrationDataReader):
        def __init__(self):
            self.batches = [inputs_of(folder / "float.onnx")] * 2

        def get_next(self):
            return self.batches.pop() if self.batches else None

    onnx.save(perceptron(), folder / "float.onnx")
    quantize_static(folder / "float.onnx", folder / "quantised.onnx", Data(), op_types_to_quantize=["Gemm"])
    return onnx.load(folder / "quantised.onnx")


def inputs_of(path):
    session = onnxruntime.InferenceSession(path)
    kinds = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64", "tensor(int64)": "int64"}
    random = numpy.random.default_rng(1)
    feed = {}
    for value in session.get_inputs():
        shape = [size if isinstance(size, int) and size > 0 else FREE.get(size, 3) for size in value.shape]
        if kinds[value.type] == "int64":
            feed[value.name] = numpy.full(shape, 16000)
        else:
            feed[value.name] = random.standard_normal(shape).astype(kinds[value.type])
    return feed


# Sizes of inputs that models of other projects leave open.
FREE = {"sequence": 576, "?": 48, "p2o.DynamicDimension.0": 1, "p2o.DynamicDimension.1": 320}


def outputs(path, feed):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # With optimisations, a weight with and without a mask may go through different kernels.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options).run(None, feed)


def tensors(graph):
    """The tensors of a model by the names that nn-prune gives them."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            found.update({node.output[0]: a.t for a in node.attribute if a.name == "value"})
    return found


def masked(path, masks, to):
    """Writes the model with the product of each weight and its mask in the place of the weight."""
    changed = onnx.load(path)
    products, renamed = [], {}
    for number, (name, mask) in enumerate(masks.items()):
        tensor = tensors(changed.graph)[name]
        constant = numpy_helper.from_array(mask.astype(numpy_helper.to_array(tensor).dtype), f"mask.{number}")
        changed.graph.initializer.append(constant)
        if tensor.data_type == TensorProto.BFLOAT16:
            # As above: products of bf16 are exact in f32, and so are those with 0 and 1.
            casts = [helper.make_node("Cast", [n], [f"{n}.f32"], to=TensorProto.FLOAT) for n in (name, constant.name)]
            products += [*casts, helper.make_node("Mul", [f"{name}.f32", f"{constant.name}.f32"], [f"masked.{number}.f32"])]
            products.append(helper.make_node("Cast", [f"masked.{number}.f32"], [f"masked.{number}"], to=TensorProto.BFLOAT16))
        else:
            products.append(helper.make_node("Mul", [name, constant.name], [f"masked.{number}"]))
        renamed[name] = f"masked.{number}"

    def rename(graph):
        for node in graph.node:
            for position, name in enumerate(node.input):
                node.input[position] = renamed.get(name, name)
            for attribute in node.attribute:
                for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                    rename(inner)

    rename(changed.graph)
    constants = [node for node in changed.graph.node if node.op_type == "Constant"]
    others = [node for node in changed.graph.node if node.op_type != "Constant"]
    del changed.graph.node[:]
    changed.graph.node.extend([*constants, *products, *others])
    onnx.save(changed, to)


def edited(path, masks, to):
    """Writes the model with weights that NumPy has multiplied by their masks."""
    changed = onnx.load(path)
    for name, mask in masks.items():
        tensor = tensors(changed.graph)[name]
        values = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(values * mask.astype(values.dtype), tensor.name))
    onnx.save(changed, to)


def expected_mask(values, method):
    magnitudes = numpy.abs(values.astype("float64"))
    if method == "l1":
        order = numpy.argsort(magnitudes.ravel(), kind="stable")
        mask = numpy.ones(values.size, bool)
        mask[order[: round(values.size / 2)]] = False
        return mask.reshape(values.shape)
    # 2:4 along the last axis; missing entries at the end count as zeros.
    padding = -values.shape[-1] % 4
    groups = numpy.pad(magnitudes, [(0, 0)] * (values.ndim - 1) + [(0, padding)])
    groups = groups.reshape(*values.shape[:-1], -1, 4)
    order = numpy.argsort(groups, axis=-1, kind="stable")
    mask = numpy.ones(groups.shape, bool)
    numpy.put_along_axis(mask, order[..., :2], False, axis=-1)
    return mask.reshape(*values.shape[:-1], -1)[..., : values.shape[-1]]


METHODS = {
    "l1": ["--method", "l1", "--amount", "0.5"],
    "2:4": ["--method", "nm", "--pattern", "2:4"],
    "global": ["--method", "l1", "--amount", "0.7", "--scope", "global"],
    "channels": ["--method", "ln", "--amount", "0.25"],
}


def check(program, path, folder):
    feed = inputs_of(path)
    before = onnx.load(path)
    stored = onnx.load(path, load_external_data=False)
    files = {path.name} | {e.value for t in stored.graph.initializer for e in t.external_data if e.key == "location"}
    by_name = tensors(before.graph)
    for method, options in METHODS.items():
        out = folder / f"{path.stem}-{method.replace(':', '')}"
        command = [program, "prune", path, "-o", f"{out}/", "--json", "-q", *options]
        report = json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout)
        pruned = {tensor["name"]: tensor for tensor in report["tensors"] if tensor["pruned"] is not None}
        assert pruned, (path.name, method)
        onnx.checker.check_model(out / path.name)

        # Only data of the weights differs.
        changed = 0
        for name in files:
            a, b = (path.parent / name).read_bytes(), (out / name).read_bytes()
            assert len(a) == len(b), name
            changed += (numpy.frombuffer(a, "u1") != numpy.frombuffer(b, "u1")).sum()
        after = onnx.load(out / path.name)
        differing = {}
        for name, tensor in tensors(after.graph).items():
            old, new = numpy_helper.to_array(by_name[name]), numpy_helper.to_array(tensor)
            if old.tobytes() != new.tobytes():
                differing[name] = int((numpy.frombuffer(old.tobytes(), "u1") != numpy.frombuffer(new.tobytes(), "u1")).sum())
        assert differing.keys() <= pruned.keys(), differing.keys() - pruned.keys()
        assert changed == sum(differing.values()) > 0, (changed, differing)

        masks = {}
        for name, tensor in pruned.items():
            old = numpy_helper.to_array(by_name[name])
            new = numpy_helper.to_array(tensors(after.graph)[name])
            masks[name] = (new != 0) | (old == 0)
            assert (new[new != 0] == old[new != 0]).all() and (new == 0).sum() >= tensor["pruned"], name
            if method in ("l1", "2:4"):
                assert ((new != 0) == (expected_mask(old, method) & (old != 0))).all(), (name, method)

        ours, plain = outputs(out / path.name, feed), outputs(path, feed)
        for write, tolerance in ((edited, 0), (masked, 1e-5)):
            write(path, masks, folder / "reference.onnx")
            for a, b in zip(outputs(folder / "reference.onnx", feed), ours):
                assert a.dtype == b.dtype and numpy.allclose(a, b, tolerance, tolerance), (path.name, method, write)
        assert any(not numpy.array_equal(a, b) for a, b in zip(plain, ours)), "the output has not changed"
        reasons = Counter(tensor["skipped"] for tensor in report["tensors"] if tensor["skipped"])
        skipped = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        print(f"{path.name}, {method}: {len(pruned)} weights, {report['pruned']} entries; skipped: {skipped or 'none'}")


def main(program, *paths):
    program = Path(program).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made = {
            "perceptron": perceptron(),
            "half": perceptron("float16"),
            "double": perceptron("float64"),
            "bfloat16": bfloat16(),
            "convolutions": convolutions(),
            "recurrent": recurrent(),
            "branches": branches(),
        }
        (folder / "quantise").mkdir()
        made["quantised"] = quantised(folder / "quantise")
        for name, contents in made.items():
            onnx.save(contents, folder / f"{name}.onnx")
            check(program, folder / f"{name}.onnx", folder)
        outside = folder / "external"
        outside.mkdir()
        for name, together in (("one_file", True), ("many_files", False)):
            onnx.save(
                perceptron(),
                outside / f"{name}.onnx",
                save_as_external_data=True,
                all_tensors_to_one_file=together,
                location=f"{name}.data" if together else None,
                size_threshold=0,
            )
            check(program, outside / f"{name}.onnx", folder)
        for path in map(Path, paths):
            check(program, path, folder)
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}: all as expected")


if __name__ == "__main__":
    main(*sys.argv[1:])
