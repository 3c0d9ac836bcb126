"""Stages of optimization as data: one TOML file in prompts/stages/ per stage, its stem is its key.

Limits: no code in a stage. Order is the `order` field, so a new stage is one new file.
"""

from evaluators.frozen import Frozen


class StageMetric(Frozen):
    """A metric the stage looks at. `name` is Nsight Compute's own or of the compiled evidence (`registers`, ...)."""

    name: str
    target: str = ""  # as shown to the model, e.g. "< 20 %"
    origin: str = "measured"  # measured | compiled | estimated
    why: str = ""


class Stage(Frozen):
    """One step of the optimization: what to look at, what may change, what must stay."""

    key: str
    order: int
    title: str
    focus: str
    metrics: tuple[StageMetric, ...] = ()
    rules: tuple[str, ...] = ()
    ideas: tuple[str, ...] = ()
    autotune: tuple[str, ...] = ()
    allowed_knobs: tuple[str, ...] = ()
    frozen_knobs: tuple[str, ...] = ()
    proposals: int = 1  # most proposals one visit makes; it goes on only while the last one was kept
    entry_gate: str = ""
    exit_gate: str = ""
