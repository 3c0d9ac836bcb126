"""What a proposer is told: one frozen value that a model reads rendered and the playbook reads as it is.

Limits: facts only; the words are in prompts/templates/*.j2 and prompts/stages/*.toml.
"""

from typing import Literal

from evaluators.evaluation import Evaluation
from evaluators.frozen import Frozen
from evaluators.gpu import GpuSpec
from evaluators.problem import Problem, ProblemFacts
from prompts.stage import Stage

Role = Literal["propose", "optimize", "repair"]
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
    outcome: str  # gain | no gain | first | failed
    detail: str = ""
    origin: str = "estimated"
    before_ms: float | None = None
    after_ms: float | None = None
    decision: str = ""


class Context(Frozen):
    """Everything one proposal may depend on.

    role: `propose` without code yet, `optimize` from `base` (the best so far), `repair` of the failed `base`.
    metrics: profiler figures of `base` (origin: measured). missing_metrics: wanted by the stage and not delivered, by
    name with the reason where it is known.
    partners: other candidates to take over from. memories: outcomes of earlier runs that are about this problem.
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
