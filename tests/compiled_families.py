"""The families' first configurations compiled for several GPUs without one: a table of registers, spills, shared memory.

    python tests/compiled_families.py                                 # seven problems, every family, four architectures
    python tests/compiled_families.py --gpus 4090 --problems 68 --families packed_gemm
    python tests/compiled_families.py --classes fp32 --gpus h100 --sass /tmp/sass     # and the code of every kernel

Exit code 1 where a kernel does not compile, spills or asks for more shared memory than a block may have.

Limits: compiled by the judge's own build rung, never run; what it costs on a card only a card can say.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import checkout  # noqa: F401 - the packages below are found by it

from agent.proposers.playbook.emission import candidate_source
from agent.proposers.playbook.family import Situation
from agent.proposers.playbook.reference import read_reference
from agent.proposers.playbook.search import fitting
from agent.proposers.playbook.shape import shape_from
from evaluators.candidate import candidate_from
from evaluators.compiled.cubin import as_file
from evaluators.compiled.toolkit import run_tool
from evaluators.evaluation import KernelResources
from evaluators.gpu import GpuSpec
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.facts import facts_of
from evaluators.judge.reference import Reference
from evaluators.judge.zygotes import Zygotes
from evaluators.problem_catalog import load_problem
from evaluators.rungs import Findings, Task, build

PROBLEMS = ("58", "61", "68", "70", "72", "73", "77")
GPUS = ("a100-80gb", "rtx-3090", "4090", "5090")  # sm_80, sm_86, sm_89, sm_120
CLASSES = {"tf32": 6e-4, "fp32": 2e-6}


@dataclass(frozen=True)
class Job:
    """One configuration of one problem for one target."""

    problem: str
    configuration: str
    task: Task


def main() -> int:
    """Print a row per kernel; 1 where one of them cannot be used."""
    options = _arguments()
    print("| target | problem | kernel | registers | spilled bytes | shared memory, bytes | of | configuration |")
    print("|---|---|---|---|---|---|---|---|")
    unusable = 0
    with Zygotes() as zygotes:
        for job in _jobs(options, zygotes):
            found = build.check(job.task)
            rows = _rows(job, found)
            print("\n".join(rows), flush=True)
            unusable += found.failure is not None or any(not _is_usable(k, job.task.gpu) for k in found.kernels)
            if options.sass:
                _write_code(options.sass, job, found)
    return 1 if unusable else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="*", default=PROBLEMS)
    parser.add_argument("--gpus", nargs="*", default=GPUS)
    parser.add_argument("--families", nargs="*", default=(), help="default: all that fit")
    parser.add_argument("--classes", nargs="*", default=("tf32",), choices=tuple(CLASSES))
    parser.add_argument("--sass", type=Path, help="a directory for the code")
    return parser.parse_args()


def _jobs(options: argparse.Namespace, zygotes: Zygotes) -> Iterator[Job]:
    for number in options.problems:
        problem = load_problem(f"convt3d-{number}")
        reference, text = Reference(problem), read_reference(problem.source)
        shape = shape_from(facts_of(problem), text.layer)
        for key in options.gpus:
            for name in options.classes:
                situation = Situation(shape, load_gpu(key), CLASSES[name])
                for family in fitting(situation):
                    if not options.families or family.name in options.families:
                        configuration = family.start(situation)
                        candidate = candidate_from(candidate_source(configuration, family, text))
                        task = Task(problem, candidate, situation.gpu, reference, zygotes)
                        yield Job(number, str(configuration), task)


def _rows(job: Job, found: Findings) -> list[str]:
    gpu = job.task.gpu
    limit = gpu.shared_memory_per_block_kb * 1024
    if found.failure is not None:
        return [f"| {gpu.arch} | {job.problem} | - | - | - | - | {limit} | {job.configuration}: {found.failure} |"]
    return [
        f"| {gpu.arch} | {job.problem} | {k.name} | {k.registers} | {k.spills} | {k.shared_memory_bytes} | {limit} "
        f"| {job.configuration} |"
        for k in found.kernels
    ]


def _is_usable(kernel: KernelResources, gpu: GpuSpec) -> bool:
    return kernel.spills == 0 and kernel.shared_memory_bytes <= gpu.shared_memory_per_block_kb * 1024


def _write_code(directory: Path, job: Job, found: Findings) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for launch in found.launches:
        with as_file(launch.cubin) as path:
            name = f"{job.task.gpu.arch}-{job.problem}-{job.configuration.split()[0]}-{launch.name}.sass"
            (directory / name).write_text(run_tool("cuobjdump", "-sass", str(path)))


if __name__ == "__main__":
    sys.exit(main())
