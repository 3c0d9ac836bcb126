"""Run emitted files in the Triton interpreter; one JSON request per line on stdin, one JSON answer per line on stdout.

    {"sources": [text, ...], "cases": [...]}  ->  [{"case": ..., "error": against float64, "same_shape": ...}, ...]
    {"pairs": [{"source": text, "reference": text}, ...]}  ->  [{"error": ..., "own": of the reference, ...}, ...]

A process of its own: Triton reads TRITON_INTERPRET once, and the tests' process does not load torch. Outputs are filled with NaN
before every call, products are exact in fp32, and every access is checked against the arguments' storages.
"""

import copy
import itertools
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "1"

import importlib.util

import torch
from emulated import stand_in

from evaluators.inside import interpreter_language
from evaluators.inside.interpreter_launches import Recorder, install

torch._C._set_deterministic_algorithms(True, warn_only=True)  # fills torch.empty with NaN; public, it costs 1.3 s
FOLDER, SERIAL = tempfile.TemporaryDirectory(), itertools.count()  # kernels are read again when they first run


def load(name, source):
    path = Path(FOLDER.name) / f"{next(SERIAL)}" / f"{name}.py"
    path.parent.mkdir()
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stand_in(module)
    return module


def call(module, case):
    torch.manual_seed(case.get("seed", 0))
    model = module.ModelNew(*case["init"], **case.get("options", {}))
    layer = model.conv_transpose3d
    layer = layer.to(getattr(torch, case.get("dtype", "float32")))
    x = torch.randn(case["x"]).to(layer.weight.dtype) * case.get("scale", 1.0)
    if case.get("steep"):  # batch items of very different size; each is looked at alone
        x *= torch.logspace(-3, 3, len(x)).view(-1, *[1] * (x.dim() - 1))
    before = x.clone()
    if case.get("spike"):  # one element a million times larger; looked at where it does not reach
        x.view(-1)[-1] = 1e6
    if case.get("strided"):
        x = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    if "refused" in case:
        return {"refused": refusal(model, x)}
    if "poison" in case:
        return poisoned(model, layer, x, case["poison"])
    with torch.no_grad():
        y = model(x)
        exact = layer.double()(x.double())
    if case.get("spike"):
        far = exact == layer(before.double())
        return {"error": float((y.double() - exact)[far].norm() / exact[far].norm()), "far": int(far.sum())}
    alone = zip(y.double(), exact, strict=True) if case.get("steep") else [(y.double(), exact)]
    return {
        "error": max(float((ours - theirs).norm() / theirs.norm()) for ours, theirs in alone),
        "same_shape": y.shape == exact.shape,
        "contiguous": y.is_contiguous(),
        "finite": bool(y.isfinite().all()),
    }


def refusal(model, *inputs):
    try:
        model(*inputs)
    except ValueError as error:
        return str(error)
    return ""


def poisoned(model, layer, x, value):
    """One value of x is not finite: where that reaches, against where the reference has it."""
    x[(0, 0, *(size // 2 for size in x.shape[2:]))] = float(value)
    with torch.no_grad():
        ours = ~model(x).isfinite()
        theirs = ~layer.double()(x.double()).isfinite()
    spread = []
    for axis in range(2, x.dim()):
        others = [a for a in range(x.dim()) if a != axis]
        mine, true = (bad.any(dim=others).nonzero().flatten() for bad in (ours, theirs))
        spread.append(max(int(true.min() - mine.min()), int(mine.max() - true.max())))
    return {"missed": int((theirs & ~ours).sum()), "spread": spread, "batch": int(ours[1:].sum())}


def compare(pair):
    """An emitted file against the reference it was emitted for, both with the reference's weights and inputs."""
    torch.manual_seed(0)
    reference, module = load("reference", pair["reference"]), load("kernel", pair["source"])
    model, new = (part(*reference.get_init_inputs()) for part in (reference.Model, module.ModelNew))
    new.load_state_dict(model.state_dict())
    inputs = [scaled(value, pair) for value in reference.get_inputs()]
    if pair.get("refused"):
        return {"refused": refusal(new, *inputs)}
    with torch.no_grad():
        got = new(*inputs)
        own = copy.deepcopy(model)(*inputs)
        exact = model.double()(*[v.double() if isinstance(v, torch.Tensor) else v for v in inputs])
    is_nan = exact.isnan()
    left_out = is_nan | (exact.isinf() & (got == exact))
    exact, y, own = (torch.where(left_out, 0.0, v.double()) for v in (exact, got, own))
    norm = exact.norm().clamp_min(1e-300)
    return {
        "error": float((y - exact).norm() / norm),
        "own": float((own - exact).norm() / norm),
        "same_nan": bool((got.isnan() == is_nan).all()),
        "same_shape": got.shape == exact.shape and got.dtype == inputs[0].dtype,
        "contiguous": got.is_contiguous(),
    }


def scaled(value, pair):
    if not isinstance(value, torch.Tensor):
        return value
    value = value * pair.get("scale", 1.0)
    if pair.get("nan"):
        value.view(-1)[1] = float("nan")
    return value.transpose(-1, -2).contiguous().transpose(-1, -2) if pair.get("strided") else value


def answer(request):
    if "pairs" in request:
        return [compare(pair) for pair in request["pairs"]]
    modules = [load(f"kernel{number}", source) for number, source in enumerate(request["sources"])]
    return [
        {"kernel": number, "case": case} | call(m, case)
        for number, m in enumerate(modules)
        for case in request["cases"]
    ]


def main():
    interpreter_language.install()
    recorder = Recorder(beat=lambda message: None)
    install(recorder)  # every access is held to the storages of the launch's arguments
    for line in sys.stdin:
        recorder.begin({})
        print(json.dumps(answer(json.loads(line))), flush=True)


main()
