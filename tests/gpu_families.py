"""Every kernel family on a real GPU: error against float64, time by events and by CUDA-graph replay, beside eager.

    python3 tests/gpu_families.py                                   # all seven problems, all families that fit
    python3 tests/gpu_families.py --problems 68 61 --families slab --classes tf32 --profile
    python3 tests/gpu_families.py --problems 68 --configuration "slab PRECISION=half PIXELS=1 POSITIONS=256 SLABS=3 STAGES=4"
    python3 tests/gpu_families.py --problems 68 --families slab --sweep   # the start and all its neighbours
    python3 tests/gpu_families.py --problems 68 --geometries        # those kernels on other geometries: errors only
    python3 tests/gpu_families.py --random 10 --seed 0 --classes tf32     # drawn problems, and the geometric mean at the end

Each kernel runs in a process of its own, so that a hang or a fault loses one row. Uninitialised memory is filled with
NaN while errors are taken. Needs torch, triton, numpy, pydantic and this checkout on PYTHONPATH.

Limits: a bench for the families' author, not the judge: it times inside the process that runs the kernel.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from agent.proposers.playbook.configuration import Configuration, read_configuration
from agent.proposers.playbook.emission import candidate_source
from agent.proposers.playbook.evidence import Evidence
from agent.proposers.playbook.family import Situation, family_of, known_families
from agent.proposers.playbook.moves import ORDER, Standing, moves
from agent.proposers.playbook.reference import read_reference
from agent.proposers.playbook.shape import shape_from
from evaluators.gpu import GpuSpec
from evaluators.gpu_catalog import load_gpu
from evaluators.problem import Problem
from evaluators.problem_catalog import load_problem

sys.path.insert(0, str(Path(__file__).parent))
from gpu_summary import COLUMNS, SCALES, summary
from random_geometries import drawn

PROBLEMS = ("58", "61", "68", "70", "72", "73", "77")
CLASSES = {"tf32": 6e-4, "fp32": 2e-6}  # the error that a reference of the class allows
MARK = "RESULT "
GEOMETRIES: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (  # input, arguments of the layer
    ((2, 32, 9, 20, 33), {"out": 64, "k": (3, 5, 5), "padding": (1, 2, 2), "bias": True}),
    ((3, 48, 7, 11, 20), {"out": 24, "k": (3, 3, 3), "padding": (0, 1, 0)}),
    ((2, 16, 5, 30, 40), {"out": 16, "k": (2, 3, 7), "bias": True}),
    ((2, 20, 6, 9, 31), {"out": 70, "k": (3, 1, 2), "bias": True}),
    ((1, 64, 8, 17, 30), {"out": 32, "k": (1, 3, 3), "padding": (0, 2, 1)}),
    ((5, 8, 4, 8, 16), {"out": 8, "k": (4, 4, 4), "padding": (3, 0, 3)}),
    ((2, 32, 7, 9, 16), {"out": 32, "k": (3, 3, 3), "stride": (2, 2, 2), "padding": (1, 1, 1), "groups": 4}),
)


def main() -> None:
    """The parent: one row per kernel, as soon as it is known."""
    options = arguments()
    if options.one:
        print(MARK + json.dumps(measured(json.load(sys.stdin))), flush=True)
        return
    started = time.monotonic()
    gpu = load_gpu(options.gpu or device_key())
    print(f"target {gpu.name}; {' | '.join(('problem', 'class', *COLUMNS, 'what'))}", flush=True)
    rows: list[dict[str, Any]] = []
    for problem, precision, what, request in jobs(options, gpu):
        if time.monotonic() - started > options.budget_s:
            print(f"stopped after {options.budget_s:g} s; left out from here on: {problem} {precision} {what}")
            break
        row = in_process(request, options.timeout_s)
        rows.append({"problem": problem, "class": precision, "what": what, **row})
        shown = [f"{row[c]:.4g}" if c in row else "-" for c in COLUMNS]
        print(" | ".join((problem, precision, *shown, what, row.get("note", ""))), flush=True)
        if options.json:
            with options.json.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    print("\n".join(summary(rows)), flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="*", default=PROBLEMS)
    parser.add_argument("--families", nargs="*", default=(), help="default: all that fit")
    parser.add_argument("--configuration", action="append", default=[], help="measure just these")
    parser.add_argument("--classes", nargs="*", default=tuple(CLASSES), choices=tuple(CLASSES))
    parser.add_argument("--random", type=int, default=0, metavar="N", help="N drawn problems instead of --problems")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn problems")
    parser.add_argument("--sweep", action="store_true", help="also every neighbour of a family's first configuration")
    parser.add_argument("--profile", action="store_true", help="also the time of each kernel")
    parser.add_argument("--geometries", action="store_true", help="errors on other geometries instead of times")
    parser.add_argument("--no-eager", action="store_true")
    parser.add_argument("--gpu", help="key of a GPU; default: the device's")
    parser.add_argument("--timeout-s", type=float, default=90)
    parser.add_argument("--budget-s", type=float, default=570, help="start nothing after this")
    parser.add_argument("--json", type=Path, help="append every row to this file")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def device_key() -> str:
    """The catalogue's key of the device: the longest alias that its name holds."""
    import torch

    name = torch.cuda.get_device_name(0)
    known = {"H200": "h200", "H100 PCIe": "h100-pcie", "H100": "h100-sxm", "A100": "a100-80gb", "4090": "rtx-4090"}
    return next((key for word, key in known.items() if word in name), "h100-sxm")


def jobs(options: argparse.Namespace, gpu: GpuSpec) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(problem, class, what, request) in the order they are measured."""
    from evaluators.judge.facts import facts_of

    for number, problem in problems(options):
        reference = read_reference(problem.source)
        shape = shape_from(facts_of(problem), reference.layer)
        for precision in options.classes:
            request = {"reference": problem.source, "class": precision}
            request |= {"profile": options.profile, "geometries": options.geometries}
            if not options.no_eager and not options.geometries:
                yield number, precision, "eager", request
            situation = Situation(shape, gpu, CLASSES[precision])
            for configuration in configurations(options, situation):
                family = family_of(configuration)
                assert family is not None, f"no family writes {configuration}"
                source = candidate_source(configuration, family, reference)
                bound = f" (bound {family.cost(configuration, situation).bound_ms:.3g} ms)"
                yield number, precision, f"{configuration}{bound}", request | {"source": source}


def problems(options: argparse.Namespace) -> list[tuple[str, Problem]]:
    """(name, problem): the drawn ones or those asked for."""
    if options.random:
        return [(problem.key, problem) for problem in drawn(options.random, options.seed)]
    return [(number, load_problem(f"convt3d-{number}")) for number in options.problems]


def configurations(options: argparse.Namespace, situation: Situation) -> list[Configuration]:
    """What is measured of one problem and class: the given configurations, or the families' own."""
    given = [read_configuration(text) for text in options.configuration]
    if given:
        return [configuration for configuration in given if configuration is not None]
    found: dict[Configuration, None] = {}
    for family in known_families():
        if options.families and family.name not in options.families:
            continue
        why = family.misfit(situation)
        if why:
            print(f"  {family.name} not used: {why}", flush=True)
            continue
        start = family.start(situation)
        found[start] = None
        if options.sweep:
            standing = Standing(start, family, situation, Evidence())
            stages = ("algorithm", *ORDER)
            found |= {move.configuration: None for stage in stages for move in moves(stage, standing)}
    return list(found)


def in_process(request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Measure in a process of its own; what went wrong is the note."""
    command = [sys.executable, __file__, "--one"]
    try:
        done = subprocess.run(
            command, input=json.dumps(request), capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"note": f"no end after {timeout_s:g} s"}
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            result: dict[str, Any] = json.loads(line.removeprefix(MARK))
            return result
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return {"note": f"exit {done.returncode}: " + " / ".join(said[-6:])[-900:]}


def measured(request: dict[str, Any]) -> dict[str, Any]:
    """The child: errors and times of one kernel, or of eager where the request holds none."""
    import torch

    torch.backends.cudnn.allow_tf32 = request["class"] == "tf32"
    reference = load("reference", request["reference"])
    torch.manual_seed(0)
    if request["geometries"]:
        return {"note": elsewhere(load("candidate", request["source"]), reference)}
    exact = reference.Model(*reference.get_init_inputs()).cuda()
    model = exact
    if "source" in request:
        model = load("candidate", request["source"]).ModelNew(*reference.get_init_inputs()).cuda()
        model.load_state_dict(exact.state_dict())
    inputs = [value.cuda() for value in reference.get_inputs()]
    with torch.no_grad():
        row: dict[str, Any] = errors(model, exact, inputs[0])
        row |= times(lambda: model(*inputs))
        if request["profile"]:
            row["note"] = profile(lambda: model(*inputs))
    return row


def load(name: str, source: str) -> ModuleType:
    """A module from its text; Triton reads a kernel's lines from its file."""
    path = Path(tempfile.mkdtemp()) / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def errors(model: Any, exact: Any, x: Any) -> dict[str, float]:
    """Relative errors of the first and the last batch item, for scaled inputs and for weights changed in place."""
    import torch

    found = {f"err {name}": error(model, exact, x * scale) for name, scale in SCALES.items()}
    fresh = {name: torch.randn_like(value) * 1e-3 for name, value in exact.state_dict().items()}
    kept = {name: value.clone() for name, value in exact.state_dict().items()}
    for module in {id(model): model, id(exact): exact}.values():
        for name, parameter in module.named_parameters():
            parameter.data.copy_(fresh[name])
    found["err new w"] = error(model, exact, x)
    for module in (model, exact):
        module.load_state_dict(kept)
    return found


def error(model: Any, exact: Any, x: Any) -> float:
    """||y - exact|| / ||exact||, the worse of both items; NaN where any value of the output is not finite."""
    import copy

    import torch

    torch.use_deterministic_algorithms(mode=model is not exact, warn_only=True)  # fills torch.empty with NaN
    y = model(x)
    torch.use_deterministic_algorithms(mode=False)
    double = copy.deepcopy(exact).double()
    found = []
    for item in (slice(0, 1), slice(-1, None)):
        true = double(x[item].double())
        assert y[item].shape == true.shape, f"shape {tuple(y[item].shape)}, expected {tuple(true.shape)}"
        found.append(float((y[item].double() - true).norm() / true.norm()))
    return max(found) if bool(y.isfinite().all()) else float("nan")


def elsewhere(candidate: ModuleType, reference: ModuleType) -> str:
    """The error on each of GEOMETRIES."""
    import torch

    found = []
    for shape, layer in GEOMETRIES:
        options = {name: layer[name] for name in ("stride", "padding", "groups", "bias") if name in layer}
        init = (shape[1], layer["out"], layer["k"])
        exact = reference.Model(*init, **options).cuda()
        model = candidate.ModelNew(*init, **options).cuda()
        model.load_state_dict(exact.state_dict())
        with torch.no_grad():
            found.append(f"{shape} {layer}: {error(model, exact, torch.randn(shape, device='cuda')):.3g}")
    return "; ".join(found)


def times(call: Callable[[], object]) -> dict[str, float]:
    """Medians in ms: single calls between events, and replays of a CUDA graph of the call."""
    import torch
    from triton.testing import do_bench

    row = {"events_ms": float(do_bench(call, warmup=30, rep=120, return_mode="median"))}
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        call()
    row["graph_ms"] = float(do_bench(graph.replay, warmup=30, rep=120, return_mode="median"))
    return row


def profile(call: Callable[[], object], calls: int = 10) -> str:
    """Mean time of each kernel in ms, or why there is none."""
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
    found = {event.key: event.device_time_total / calls / 1e3 for event in profiler.key_averages()}
    parts = [f"{name[:40]} {ms:.4f}" for name, ms in sorted(found.items(), key=lambda pair: -pair[1]) if ms > 0]
    return ", ".join(parts) or "the profiler saw no kernel"


if __name__ == "__main__":
    main()
