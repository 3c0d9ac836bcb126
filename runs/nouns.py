"""The nouns of a record: Usage, Attempt, RunConfig, Run and the events of the journal.

Limits: values only; journal.py writes and reads them, store.py finds runs.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, TypeAdapter

from evaluators.evaluation import Evaluation
from evaluators.frozen import Frozen
from prompts.context import Analysis, Tuning

_PLAN_LABEL = re.compile(r"\s*[*_#]*plan[*_]*:[*_]*\s*", re.IGNORECASE)
SCHEMA = 1  # raised when a journal of this version cannot be read by older code
Decision = Literal["keep", "discard", "crash"]
Role = Literal["propose", "optimize", "repair"]


def without_label(plan: str) -> str:
    """A plan without the `Plan:` that a reply begins it with: whoever shows it has a label of its own."""
    label = _PLAN_LABEL.match(plan)
    return plan[label.end() :] if label else plan


class Usage(Frozen):
    """Tokens of one proposal (all requests of it) and their price; an unknown `cost_usd` is None, never 0."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    requests: int = 0
    cost_usd: float | None = None
    cost_source: str = ""  # provider | genai-prices <version> | free | unknown


def total(parts: Iterable[Usage]) -> Usage:
    """All of them together; the cost is None as soon as one price is unknown."""
    usages = list(parts)
    costs = [usage.cost_usd for usage in usages if usage.requests]
    counts = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "requests")
    return Usage(
        **{name: sum(getattr(usage, name) for usage in usages) for name in counts},
        cost_usd=None if any(cost is None for cost in costs) else sum(cost for cost in costs if cost is not None),
        cost_source=" + ".join(sorted({usage.cost_source for usage in usages if usage.cost_source})),
    )


class Budget(Frozen):
    """Limits of a run; None is unlimited. They count what the whole run spent, resumed or not."""

    max_attempts: int = 8
    max_seconds: float | None = None
    max_cost_usd: float | None = None
    max_tokens: int | None = None  # input and output of the whole run


class RunConfig(Frozen):
    """What a user asked for; enough to resume."""

    problem: str
    problem_source: str
    gpu: str
    model: str  # "playbook", "replay:RUN" or the model's name at the endpoint
    base_url: str | None = None
    budget: Budget = Budget()
    seed_code: str | None = None
    sandbox: str = "auto"  # which sandbox tiers are accepted
    device: str = "auto"  # auto | cpu | cuda: whether a GPU of the machine is used
    strategy: str = "linear"
    stages_dir: str | None = None  # a folder of the user's stages
    provider: str | None = None
    analyst_model: str | None = None  # says what to do before the author writes; None: nobody is asked
    repair_model: str | None = None  # None: the author repairs
    parallel: int = 1  # proposals asked for at the same time
    tune_points: int = 0  # most points of a candidate's SPACE that are tried beside its own values
    playbook_hints: bool = True  # prompts of the algorithm stage show the cards of kernel families that fit
    start: str | None = None  # who makes the first attempt where that is not `model`: "playbook"


class Run(Frozen):
    """The head of a run directory (run.json): identity, configuration, versions. Never changes after creation."""

    schema_version: int = SCHEMA
    id: str
    created_at: str  # ISO 8601, UTC
    config: RunConfig
    versions: dict[str, str] = {}


class Attempt(Frozen):
    """One finished attempt.

    Texts live beside it in attempts/NNN/; `candidate_id` is None when the reply held no code.
    """

    number: int
    parent: int | None
    stage: str
    role: Role
    plan: Annotated[str, BeforeValidator(without_label)]
    candidate_id: str | None
    evaluation: Evaluation | None  # None: no candidate could be read from the reply
    reused_from: int | None = None  # equal code was judged in that attempt
    decision: Decision
    reason: str  # why it was kept or not, in words
    usage: Usage = Usage()
    started_at: str
    seconds: float
    reply_problem: str = ""  # why the reply held no candidate
    program: str = ""  # hash of the syntax tree: equal for code that differs in comments and blanks only
    behaviour: str = ""  # family/memory/precision as read from the code (agent/behaviour.py)
    skipped: tuple[str, ...] = ()  # stages passed over on the way to this one, each with the reason
    knob_violations: tuple[str, ...] = ()  # frozen knobs that were changed all the same
    knobs_not_checked: tuple[str, ...] = ()  # frozen knobs that cannot be read from the code
    prompt_chars: int = 0
    prompt_dropped: tuple[str, ...] = ()  # parts left out so that the prompt fits
    analysis: Analysis | None = None  # the analyst's, where one was asked; its cost is part of `usage`
    families: tuple[str, ...] = ()  # algorithm families the plan names, the one it believes in first
    tuning: Tuning | None = None  # the points of the candidate's SPACE that were tried


class Planned(Frozen):
    """Journal event: an attempt was planned while others are in flight; whoever goes on makes this one, no other."""

    event: Literal["planned"] = "planned"
    number: int
    after: int  # attempts that were finished when it was planned: what its prompt may tell of
    stage: str
    role: Role
    parent: int | None
    skipped: tuple[str, ...] = ()
    partners: tuple[int, ...] = ()
    hint: str = ""


class Analyzed(Frozen):
    """Journal event: the analyst's reply was paid for and is on disk; resume must not ask again."""

    event: Literal["analyzed"] = "analyzed"
    number: int
    analysis: Analysis
    model: str
    usage: Usage
    reply_sha256: str
    at: str


class Proposed(Frozen):
    """Journal event: a reply was paid for and is on disk; resume must not ask again."""

    event: Literal["proposed"] = "proposed"
    number: int
    parent: int | None
    stage: str
    role: Role
    usage: Usage
    reply_sha256: str
    started_at: str


class Unanswered(Frozen):
    """Journal event: a call brought no reply; `usage` is what it cost all the same."""

    event: Literal["unanswered"] = "unanswered"
    number: int
    reason: str
    usage: Usage
    at: str


class Attempted(Frozen):
    """Journal event: the attempt is finished."""

    event: Literal["attempted"] = "attempted"
    attempt: Attempt


class Confirmed(Frozen):
    """Journal event: a measured best was judged once more, on fresh seeds; where it did not pass it is no best."""

    event: Literal["confirmed"] = "confirmed"
    number: int
    evaluation: Evaluation
    at: str


class Finished(Frozen):
    """Journal event: the run ended; `resume` with a larger budget may go on after it."""

    event: Literal["finished"] = "finished"
    reason: str
    at: str


class Resumed(Frozen):
    """Journal event: the run was taken up again."""

    event: Literal["resumed"] = "resumed"
    at: str
    budget: Budget


AnyEvent = Planned | Analyzed | Proposed | Unanswered | Attempted | Confirmed | Finished | Resumed
event_adapter: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="event")])
