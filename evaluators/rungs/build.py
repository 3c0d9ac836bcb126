"""The build rung: does every kernel of the candidate compile for the target, and what does it need there?

Triton candidates run once on meta tensors in a sandboxed child (evaluators/inside/capture.py), which compiles
every launch at the problem's published shapes. Registers, spills and instructions are then read here, from the
cubins. CUDA candidates go to evaluators/cuda/build.py.

Limits: nothing is executed on a device. The child runs the candidate, so which kernels were launched with which
arguments is the candidate's claim; correctness and timing do not rest on it.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from evaluators.compiled import sass
from evaluators.compiled.arithmetic_floor import too_little_work
from evaluators.compiled.capturing import Capture, capture
from evaluators.compiled.cubin import UnreadableCubin
from evaluators.compiled.listings import listings_of
from evaluators.compiled.messages import Output
from evaluators.compiled.operator_audit import audit
from evaluators.compiled.register_race import race_in
from evaluators.compiled.resources import resources_of
from evaluators.compiled.toolkit import assembler, assembler_version, triton_version
from evaluators.evaluation import Check, KernelResources
from evaluators.gpu import GpuSpec
from evaluators.judge.facts import facts_of
from evaluators.problem import TensorFact
from evaluators.rungs import MAX_PROCESSES, Failure, Findings, Task
from sandbox import Limits

WALL_LIMIT_S = 60.0
_LOGGED_REFUSALS = 50


def check(task: Task) -> Findings:
    """Compile the candidate for the task's GPU."""
    if task.candidate.language == "cuda":
        from evaluators.cuda import build as cuda_build

        return cuda_build.check(task)
    return check_triton(task, limits=Limits(wall_s=WALL_LIMIT_S, processes=MAX_PROCESSES))


def check_triton(task: Task, *, limits: Limits) -> Findings:
    """Capture the candidate's launches, read their binaries, compare the output's shape."""
    # The disassembler takes 0.3 s to start, so it reads one binary while the child compiles the next.
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as readers:
        captured = capture(task, limits=limits, on_cubin=lambda binary: readers.submit(sass.listings, binary))
    kernels: tuple[KernelResources, ...] = ()
    try:
        kernels = tuple(resources_of(launch, task.gpu) for launch in captured.launches)
    except UnreadableCubin as error:
        captured.failure = captured.failure or Failure("crashed", f"a compiled kernel cannot be read: {error}")
    failure = (
        captured.failure
        or _nothing_launched(captured)
        or audit(captured.operators, task.problem.library_ops)
        or _too_little_work(task, captured)
        or _wrong_outputs(captured, task.reference.output_facts)
        or race_in(((_configured(launch.config), launch.cubin) for launch in captured.launches), _assembler(task.gpu))
    )
    return Findings(
        checks=(_verdict(captured, kernels, failure, task.gpu),),
        kernels=kernels,
        launches=tuple(captured.launches),
        operators=captured.operators,
        build_log=_log(captured, kernels, task.gpu),
        listings=listings_of(captured.launches, task.gpu.arch),
        environment=_environment(task.gpu),
        failure=failure,
        unverified="" if failure else _unverified(captured),
    )


def _too_little_work(task: Task, captured: Capture) -> Failure | None:
    if captured.uncaptured or task.problem.library_ops:
        return None
    return too_little_work(captured.launches, facts_of(task.problem).flop)


def _nothing_launched(captured: Capture) -> Failure | None:
    if captured.launches or captured.uncaptured:
        return None
    if captured.refusals:
        last = captured.refusals[-1]
        return Failure(last.kind, f"{last.message}\n(the candidate caught this error and went on without a kernel)")
    instead = ", ".join(f"aten::{operator.name}" for operator in captured.operators)
    return Failure(
        "rejected",
        "no Triton kernel was launched: forward() returned at the published shapes without launching one"
        f"{f' and executed {instead} instead' if instead else ''}; "
        "compute the result in a @triton.jit kernel and launch it with kernel[grid](...)",
    )


def _wrong_outputs(captured: Capture, expected: Sequence[TensorFact]) -> Failure | None:
    if captured.uncaptured:
        return None
    got = captured.outputs
    if any(output.shape is None for output in got):
        return Failure("incorrect_shape", f"forward returned {_types(got)}, expected {_shapes(expected)}")
    if [output.shape for output in got] != [fact.shape for fact in expected]:
        return Failure("incorrect_shape", f"forward returned {_shapes(got)}, expected {_shapes(expected)}")
    if [output.dtype for output in got] != [fact.dtype for fact in expected]:
        return Failure("incorrect_dtype", f"forward returned {_dtypes(got)}, expected {_dtypes(expected)}")
    return None


def _types(outputs: Sequence[Output]) -> str:
    return ", ".join(output.type for output in outputs) or "nothing"


def _shapes(tensors: Sequence[Output] | Sequence[TensorFact]) -> str:
    return ", ".join(f"shape {tensor.shape}" for tensor in tensors) or "nothing"


def _dtypes(tensors: Sequence[Output] | Sequence[TensorFact]) -> str:
    return ", ".join(tensor.dtype for tensor in tensors)


def _unverified(captured: Capture) -> str:
    if not captured.uncaptured:
        return ""
    return (
        "the launches depend on values of tensors, which do not exist before the candidate runs on a device: "
        f"{captured.uncaptured}"
    )


def _verdict(captured: Capture, kernels: Sequence[KernelResources], failure: Failure | None, gpu: GpuSpec) -> Check:
    if failure:
        return Check(name="build", status="failed", detail=failure.message.splitlines()[0])
    if captured.uncaptured:
        return Check(name="build", status="not_checked", detail=_unverified(captured).splitlines()[0])
    names = ", ".join(dict.fromkeys(kernel.name for kernel in kernels))
    detail = f"{len(kernels)} distinct launches compiled for {gpu.arch} at the published shapes: {names}"
    return Check(name="build", status="passed", detail=detail)


def _environment(gpu: GpuSpec) -> dict[str, str]:
    return {"triton": triton_version(), "ptxas": _assembler(gpu), "target": gpu.arch}


def _assembler(gpu: GpuSpec) -> str:
    return f"{assembler(gpu.capability)} {assembler_version(gpu.capability)}"


def _log(captured: Capture, kernels: Sequence[KernelResources], gpu: GpuSpec) -> str:
    head = f"target {gpu.name} ({gpu.arch}), triton {triton_version()}, ptxas {assembler_version(gpu.capability)}"
    lines = [head, *(_line(kernel) for kernel in kernels)]
    lines += [
        f"PyTorch operator {operator.name} x{operator.calls}: {operator.bytes_moved / 1e6:.4g} MB"
        for operator in captured.operators
    ]
    lines += [f"refused: {refusal.message}" for refusal in captured.refusals[:_LOGGED_REFUSALS]]
    if captured.failure:
        lines.append(f"failed: {captured.failure.message}")
    return "\n".join(lines) + "\n"


def _configured(config: Mapping[str, str]) -> str:
    return f" [{', '.join(f'{name}={value}' for name, value in config.items())}]" if config else ""


def _line(kernel: KernelResources) -> str:
    times = f" x{kernel.launches}" if kernel.launches > 1 else ""
    return (
        f"{kernel.name}{_configured(kernel.config)} grid {kernel.grid}{times}: {kernel.num_warps} warps, "
        f"{kernel.num_stages} stages, {kernel.registers} registers, {kernel.spills} bytes spilled, "
        f"{kernel.shared_memory_bytes} bytes shared, "
        f"theoretical occupancy <= {kernel.theoretical_occupancy_pct:g} % (limited by {kernel.occupancy_limiter}), "
        f"{kernel.waves:g} waves"
    )
