"""What a proposer is told: one frozen value that a model reads rendered and the playbook reads as it is.

Limits: facts only; the words are in prompts/templates/*.j2 and prompts/stages/*.toml.
"""

from typing import Literal

from evaluators.evaluation import Evaluation
from evaluators.frozen import Frozen
from evaluators.gpu import GpuSpec
from evaluators.problem import Problem, ProblemFacts
from prompts.card import Card
from prompts.stage import Stage

Role = Literal["propose", "optimize", "repair", "analyze"]
Metrics = dict[str, dict[str, float | int | str | None]]  # kernel name -> metric name -> value


class PastAttempt(Frozen):
    """An earlier attempt as the model is shown it: what was tried and how it ended."""

    number: int
    stage: str
    plan: str
    verdict: str
    kind: str | None
    message: str
    estimate_ms: float | None
    decision: str
    measured_ms: float | None = None  # median on the device the run measures on
    note: str = ""  # what else the model should hear of it, e.g. that it changed a frozen knob


class Base(Frozen):
    """The code a proposal starts from: the best so far, or in a repair the failed code with its verdict."""

    number: int | None  # attempt number; None for code the user brought
    source: str
    evaluation: Evaluation | None = None


class Memory(Frozen):
    """What an earlier run found out: what was changed, and what came of it. `origin` is of both figures."""

    problem: str
    gpu: str
    stage: str
    change: str
    outcome: str  # gain | no gain | first | failed | not ranked
    detail: str = ""
    origin: str = "estimated"
    before_ms: float | None = None
    after_ms: float | None = None
    decision: str = ""


class Analysis(Frozen):
    """What the analyst found before the author writes: one bottleneck, one method, one plan, the gain it expects."""

    bottleneck: str = ""
    method: str = ""
    plan: str = ""
    expected_gain: str = ""


class TunedPoint(Frozen):
    """One point of a candidate's SPACE. `compiled`: it builds and was ranked, its numbers were not checked.

    registers, spills (bytes), shared_memory_bytes (the largest over its kernels) and theoretical_occupancy_pct (the
    lowest) are compiled; estimate_ms is a lower bound; latency_ms is measured.
    """

    values: dict[str, bool | int | float | str]
    candidate_id: str
    verdict: Literal["passed", "failed", "unverified", "compiled", "not judged"]
    detail: str = ""  # why it failed, in one line
    registers: int | None = None
    spills: int | None = None
    shared_memory_bytes: int | None = None
    theoretical_occupancy_pct: float | None = None
    estimate_ms: float | None = None
    latency_ms: float | None = None

    @property
    def name(self) -> str:
        """`BLOCK_M=64, NUM_WARPS=4`."""
        return ", ".join(f"{name}={value}" for name, value in self.values.items())


class Tuning(Frozen):
    """What the search of a candidate's SPACE found: the file as written first, then the points in the order tried."""

    points: tuple[TunedPoint, ...] = ()
    chosen: str = ""  # candidate_id of the point that became the candidate
    written: str = ""  # program hash of the file as the reply had it
    note: str = ""  # what was not searched, and why
    reason: str = ""  # why the chosen point and not the next one
    seconds: float | None = None  # judging the points, beside the verdict that the attempt has; None: not recorded


class Search(Frozen):
    """The tuning of one attempt, for the prompt."""

    attempt: int
    tuning: Tuning


class Context(Frozen):
    """Everything one proposal may depend on.

    role: `propose` without code yet, `optimize` from `base` (the best so far), `repair` of the failed `base`,
    `analyze`: say what to do, for whoever writes. metrics: profiler figures of `base` (origin: measured).
    missing_metrics: wanted by the stage and not delivered, by name with the reason where it is known.
    partners: other candidates to take over from. memories: outcomes of earlier runs that are about this problem.
    tune_points: how many points of a SPACE are tried, 0: none. cards: kernel families that fit the problem.
    """

    role: Role
    problem: Problem
    facts: ProblemFacts | None
    gpu: GpuSpec
    stage: Stage
    base: Base | None = None
    metrics: Metrics = {}
    missing_metrics: dict[str, str] = {}
    history: tuple[PastAttempt, ...] = ()
    hint: str = ""
    partners: tuple[Base, ...] = ()
    memories: tuple[Memory, ...] = ()
    number: int = 0  # of the attempt; 0 outside a run
    analysis: Analysis | None = None
    tune_points: int = 0
    searches: tuple[Search, ...] = ()
    cards: tuple[Card, ...] = ()
