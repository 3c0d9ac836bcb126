"""The rungs of the ladder, one file each: screen -> build -> correctness -> estimate -> timing -> profile.

Every rung is a module with `check(task: Task) -> Findings`. The ladder (evaluators/ladder.py) climbs them in order
and stops at the first failure. Rungs run in the judge (trusted, torch allowed); code of a candidate runs only in
the sandboxed child processes that `Task.zygotes` fork.

Limits: a rung reports findings; the verdict is put together in the ladder and nowhere else.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from evaluators.candidate import Candidate
from evaluators.cuda.extension import Extension
from evaluators.evaluation import Check, Estimate, KernelResources, Kind, NumericError
from evaluators.frozen import Frozen
from evaluators.gpu import GpuSpec
from evaluators.measurement import Duel, Profile, Timing
from evaluators.problem import Problem

if TYPE_CHECKING:
    from evaluators.judge.device.bench import Bench
    from evaluators.judge.reference import Reference
    from evaluators.judge.zygotes import Zygotes
    from evaluators.rungs.correctness import Begun

MAX_PROCESSES = 64  # of one candidate; ptxas and the gcc of Triton's launcher need a few, a fork bomb gets no further


@dataclass(frozen=True)
class Failure:
    """Why a candidate is wrong: a kind of the domain and a message a person and a model can act on."""

    kind: Kind
    message: str


@dataclass(frozen=True)
class CapturedLaunch:
    """One Triton launch captured at full size and compiled for the target, before anything is derived from it.

    arguments: scalar arguments by parameter name; pointer_bytes: bytes of the tensor by pointer parameter name.
    tuned_group: launches of one group are the configurations of one autotuned launch, of which a GPU keeps the fastest.
    """

    name: str
    grid: tuple[int, int, int]
    num_warps: int
    num_stages: int
    shared_memory_bytes: int
    config: dict[str, str]
    arguments: dict[str, int | float | bool | None]
    pointer_bytes: dict[str, int]
    cubin: bytes
    ttir: str
    ptx: str = ""
    launches: int = 1
    tuned_group: int | None = None


@dataclass(frozen=True)
class OperatorCalls:
    """A PyTorch operator that forward executes besides its kernels, with the bytes all its calls must move."""

    name: str
    calls: int
    bytes_moved: int


@dataclass(frozen=True)
class Findings:
    """What one rung adds to the evaluation. `unverified` says what decides and could not be checked, and why."""

    checks: tuple[Check, ...] = ()
    kernels: tuple[KernelResources, ...] = ()
    launches: tuple[CapturedLaunch, ...] = ()
    operators: tuple[OperatorCalls, ...] = ()
    estimate: Estimate | None = None
    numeric_error: NumericError | None = None
    timing: Timing | None = None
    duel: Duel | None = None
    profile: Profile | None = None
    scope: tuple[str, ...] = ()
    build_log: str = ""
    listings: dict[str, str] = field(default_factory=dict)  # compiled code by file name
    environment: dict[str, str] = field(default_factory=dict)
    first_call_s: float | None = None  # of the published size on a device
    build_s: float | None = None  # of CUDA's compilers, for the card
    extensions: tuple[Extension, ...] = ()  # what a candidate in CUDA asks to be built at the published size
    failure: Failure | None = None
    unverified: str = ""


def failed(name: str, failure: Failure) -> Findings:
    """The findings of a check that a candidate did not pass."""
    return Findings(checks=(Check(name=name, status="failed", detail=failure.message),), failure=failure)


class Incumbent(Frozen):
    """The best candidate so far, measured on this device: what a challenger is compared with, interleaved."""

    candidate: Candidate
    latency_ms: float


@dataclass(frozen=True)
class Task:
    """What a rung works on. `found` is what the rungs below have found so far."""

    problem: Problem
    candidate: Candidate
    gpu: GpuSpec
    reference: "Reference"
    zygotes: "Zygotes"
    bench: "Bench | None" = None  # the GPU of this machine, where there is one to be used
    incumbent: Incumbent | None = None
    metrics: tuple[str, ...] = ()  # what the stage wants a profiler to measure, by Nsight Compute's names
    found: Findings = Findings()
    begun: "Begun | None" = None  # correctness, where it was started beside the build

    def having(self, found: Findings) -> "Task":
        """The same task with more findings."""
        return replace(self, found=found)
