"""What the judge says about a candidate: Passed, Failed or Unverified, with the evidence.

A figure carries where it came from: `measured` (a clock), `compiled` (read from the binary) or `estimated` (a
model). They are never mixed in one field. Limits: values only; the ladder that makes them is evaluators/ladder.py.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from evaluators.frozen import Frozen
from evaluators.measurement import Duel, Profile, Timing

Rung = Literal["screen", "build", "correctness", "estimate", "timing", "profile"]
Kind = Literal[
    "rejected",
    "compile_error",
    "runtime_error",
    "incorrect_shape",
    "incorrect_dtype",
    "incorrect_numerical",
    "incorrect_weights",
    "out_of_memory",
    "timeout",
    "crashed",
    "untrustworthy_timing",
]
Status = Literal["passed", "failed", "not_checked"]


class Check(Frozen):
    """One question the ladder asked and its answer; `detail` says on what evidence, or why it was not checked."""

    name: str
    status: Status
    detail: str = ""


class KernelResources(Frozen):
    """One kernel launch at the problem's published shapes, as compiled for the target (origin: compiled)."""

    name: str
    grid: tuple[int, int, int]
    registers: int
    spills: int  # bytes of local memory per thread used by spilled registers
    shared_memory_bytes: int
    theoretical_occupancy_pct: float
    occupancy_limiter: str
    num_warps: int
    num_stages: int
    waves: float  # blocks of the grid / blocks resident on the whole GPU
    launches: int = 1  # equal launches of this binary with this grid
    config: dict[str, str] = {}  # the autotune configuration this was compiled with
    sass_mix_pct: dict[str, float] = {}  # share of instructions by class inside the hottest loop
    global_load_bits: dict[str, int] = {}  # static count of global loads by width in bits


class Estimate(Frozen):
    """A lower bound on the latency from compiled instructions and exact trip counts (estimated, never measured)."""

    kind: Literal["lower_bound"] = "lower_bound"
    value_ms: float
    limiter: str
    components_ms: dict[str, float] = {}
    assumptions: tuple[str, ...]
    unmodelled: tuple[str, ...]
    left_out: tuple[str, ...] = ()  # work that could not be counted: then the bound is too low to rank by
    calibrated: bool = False
    calibration: str = ""  # how bounds and measured times compared on this GPU, or that nobody looked
    target: str = ""
    toolchain: str = ""


class NumericError(Frozen):
    """Largest relative error seen (||y-y64||/||y64||), the bound it was held to, and where."""

    worst: float
    allowed: float
    reference_own: float
    geometry: str
    elements_compared: int
    precision: Literal["fp32", "tf32"] = (
        "fp32"  # the class that held in every comparison (evaluators.problem.Tolerance)
    )


class _Judged(Frozen):
    """What every verdict carries."""

    candidate_id: str
    problem: str
    gpu: str
    checks: tuple[Check, ...] = ()
    kernels: tuple[KernelResources, ...] = ()
    estimate: Estimate | None = None
    numeric_error: NumericError | None = None
    timing: Timing | None = None
    duel: Duel | None = None
    profile: Profile | None = None
    scope: tuple[str, ...] = ()  # geometries the candidate refused by raising
    build_log: str = ""
    listings: dict[str, str] = Field(default={}, exclude=True, repr=False)  # SASS and PTX: files, never in a record
    environment: dict[str, str] = {}
    duration_s: float = 0.0
    rung_seconds: dict[str, float] = {}


class Passed(_Judged):
    """Everything this machine can check was checked and held."""

    verdict: Literal["passed"] = "passed"
    rung: Rung = "estimate"
    kind: None = None
    message: str = ""


class Failed(_Judged):
    """The candidate is wrong; `message` is for a person and a model to act on."""

    verdict: Literal["failed"] = "failed"
    rung: Rung
    kind: Kind
    message: str


class Unverified(_Judged):
    """Nothing wrong was found, but something that decides could not be checked here; `message` says what and why."""

    verdict: Literal["unverified"] = "unverified"
    rung: Rung
    kind: None = None
    message: str


Evaluation = Annotated[Passed | Failed | Unverified, Field(discriminator="verdict")]
evaluation_adapter: TypeAdapter[Passed | Failed | Unverified] = TypeAdapter(Evaluation)
