"""`agent problems` and `agent gpus`: what is built in, with its figures and their source.

Limits: listing only; the files are evaluators/problems/*.py and evaluators/gpus/*.toml.
"""

import json
import sys

from evaluators.client import JudgeClient
from evaluators.gpu import GpuSpec
from evaluators.gpu_catalog import all_gpus, load_gpu
from evaluators.problem import Problem, ProblemFacts
from evaluators.problem_catalog import all_problems, load_problem
from runs.table import table


def list_problems(name: str | None, *, as_json: bool) -> None:
    """Print all problems, or one in full with its reference."""
    chosen = [load_problem(name)] if name else list(all_problems())
    with JudgeClient(facts_only=True) as judge:
        facts = [judge.facts(problem) for problem in chosen]
    pairs = list(zip(chosen, facts, strict=True))
    if as_json:
        print(json.dumps([_as_json(problem, known) for problem, known in pairs]))
        return
    print(_problem_table(pairs))
    for problem, known in pairs:
        for warning in known.warnings:
            print(f"{problem.key}: {warning}")
    if name:
        for note in chosen[0].notes:
            print(note, file=sys.stderr)
        print(f"\n{chosen[0].source}")


def list_gpus(name: str | None, *, as_json: bool) -> None:
    """Print all GPUs, or one in full."""
    chosen = [load_gpu(name)] if name else list(all_gpus())
    if as_json:
        print(json.dumps([gpu.model_dump(mode="json") for gpu in chosen]))
    elif name:
        for field, value in chosen[0].model_dump().items():
            print(f"{field:28} {value}")
    else:
        print(_gpu_table(chosen))


def _problem_table(pairs: list[tuple[Problem, ProblemFacts]]) -> str:
    rows = [
        (
            problem.key,
            problem.title,
            " ".join("x".join(map(str, tensor.shape)) for tensor in known.inputs),
            " ".join("x".join(map(str, tensor.shape)) for tensor in known.outputs),
            f"{known.flop / 1e9:.1f}" if known.flop is not None else "n/a",
            f"{known.bytes_moved / 1e6:.1f}",
            f"{known.arithmetic_intensity:.0f}" if known.arithmetic_intensity is not None else "n/a",
        )
        for problem, known in pairs
    ]
    return table(("problem", "title", "input", "output", "GFLOP", "MB moved", "FLOP/byte"), rows)


def _gpu_table(gpus: list[GpuSpec]) -> str:
    rows = [
        (
            gpu.key,
            gpu.name,
            gpu.arch,
            str(gpu.sm_count),
            f"{gpu.memory_bandwidth_gb_s:g}",
            f"{gpu.dense_peak_tflops.fp32:g}",
            f"{gpu.dense_peak_tflops.tf32:g}" if gpu.dense_peak_tflops.tf32 else "-",
            ", ".join(gpu.aliases),
        )
        for gpu in gpus
    ]
    return table(("gpu", "name", "arch", "SMs", "GB/s", "fp32 TFLOP/s", "tf32 TFLOP/s", "also known as"), rows)


def _as_json(problem: Problem, facts: ProblemFacts) -> dict[str, object]:
    return {
        "problem": problem.key,
        "title": problem.title,
        "arithmetic_intensity": facts.arithmetic_intensity,
        **facts.model_dump(mode="json"),
    }
