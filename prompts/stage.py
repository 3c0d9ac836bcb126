"""Stages of optimization as data: one TOML file in prompts/stages/ per stage, its stem is its key.

A gate is a list of conditions on figures of the code a stage would start from; agent/gates.py holds them against the
evidence. `overrides` replaces or adds to fields for a category of operators or a group of categories.

Limits: no code in a stage. Order is the `order` field, so a new stage is one new file.
"""

from typing import Literal, Self

from pydantic import model_validator

from evaluators.frozen import Frozen

Knob = Literal["algorithm", "layout", "access", "grid", "block", "block_k", "num_warps", "num_stages"]
Origin = Literal["measured", "compiled", "estimated"]
Category = Literal["matmul", "conv", "transposed_conv", "normalization", "activation", "reduction", "fusion", "other"]
Group = Literal["convolution", "product"]  # several categories that share advice: convolutions, and all of tl.dot
EVERY_GROUP: frozenset[Group] = frozenset(("convolution", "product"))
COMPILED_FIGURES = (
    "registers",
    "spills",
    "shared_memory_bytes",
    "theoretical_occupancy_pct",
    "num_warps",
    "num_stages",
    "waves",
    "narrow_load_pct",  # share of the global loads that are at most 32 bits wide
    "tensor_core_pct",  # share of tensor core instructions in the hottest loop
)
ESTIMATED_FIGURES = ("bound_ms", "memory_share_pct")  # share: what memory alone would take of the whole lower bound


class StageMetric(Frozen):
    """A metric the stage looks at. `name` is Nsight Compute's own or of the compiled evidence (`registers`, ...)."""

    name: str
    target: str = ""  # as shown to the model, e.g. "< 20 %"
    origin: str = "measured"  # measured | compiled | estimated
    why: str = ""


class Condition(Frozen):
    """One figure against one limit. A `measured` figure has Nsight Compute's own name."""

    figure: str
    origin: Origin = "compiled"
    above: float | None = None
    below: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _is_one_comparison(self) -> Self:
        if len(self._limits()) != 1:
            raise ValueError(f"{self.figure}: give exactly one of above, below, at_least, at_most")
        known = {"compiled": COMPILED_FIGURES, "estimated": ESTIMATED_FIGURES}.get(self.origin)
        if known is not None and self.figure not in known:
            raise ValueError(f"{self.figure} is no {self.origin} figure; known: {', '.join(known)}")
        return self

    def holds(self, value: float) -> bool:
        """Whether `value` satisfies the condition."""
        ((sign, limit),) = self._limits()
        return {">": value > limit, "<": value < limit, ">=": value >= limit, "<=": value <= limit}[sign]

    def __str__(self) -> str:
        ((sign, limit),) = self._limits()
        return f"{self.figure} {sign} {limit:g} ({self.origin})"

    def _limits(self) -> list[tuple[str, float]]:
        given = ((">", self.above), ("<", self.below), (">=", self.at_least), ("<=", self.at_most))
        return [(sign, limit) for sign, limit in given if limit is not None]


class StageOverride(Frozen):
    """What a category or a group of them changes of a stage: texts and gates replace, rules and ideas come first."""

    focus: str | None = None
    rules: tuple[str, ...] = ()
    ideas: tuple[str, ...] = ()
    proposals: int | None = None
    enter_when: tuple[Condition, ...] | None = None
    skip_when: tuple[tuple[Condition, ...], ...] | None = None
    done_when: tuple[Condition, ...] | None = None
    skip: str | None = None


class Stage(Frozen):
    """One step of the optimization: what to look at, what may change, what must stay.

    Gates are held against the code the stage would start from. `enter_when`: one of these makes the stage worthwhile.
    `skip_when`: groups; where all conditions of one group hold the stage is passed over. `done_when`: where all hold a
    visit ends. A figure nobody has decides nothing. `skip`: passed over always, for this reason.
    """

    key: str
    order: int
    title: str
    focus: str
    metrics: tuple[StageMetric, ...] = ()
    rules: tuple[str, ...] = ()
    ideas: tuple[str, ...] = ()
    autotune: tuple[str, ...] = ()
    allowed_knobs: tuple[Knob, ...] = ()
    frozen_knobs: tuple[Knob, ...] = ()
    names_families: bool = False  # the plan names the algorithm families that fit and the one it believes in
    proposals: int = 1  # most proposals one visit makes; it goes on only while the last one was kept
    entry_gate: str = ""  # the gates in words, for the prompt
    exit_gate: str = ""
    enter_when: tuple[Condition, ...] = ()
    skip_when: tuple[tuple[Condition, ...], ...] = ()
    done_when: tuple[Condition, ...] = ()
    skip: str = ""
    overrides: dict[Category | Group, StageOverride] = {}
    shows_cards: bool = False  # the cards of kernel families that fit the problem stand in its prompts

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        both = sorted(set(self.allowed_knobs) & set(self.frozen_knobs))
        if both:
            raise ValueError(f"{', '.join(both)} cannot be allowed and frozen at once")
        return self

    @property
    def measured_names(self) -> tuple[str, ...]:
        """Nsight Compute's names of what a profiler is to measure for this stage, gates included."""
        gates = (*self.enter_when, *(c for group in self.skip_when for c in group), *self.done_when)
        looked_at = [metric.name for metric in self.metrics if metric.origin == "measured"]
        asked_by_gates = [condition.figure for condition in gates if condition.origin == "measured"]
        return tuple(dict.fromkeys((*looked_at, *asked_by_gates)))

    def for_category(self, category: Category, groups: frozenset[Group] | None = None) -> "Stage":
        """The stage as it is for operators of this category; `groups`: of a fusion, the groups of what is in it."""
        stage = self
        named = groups_of_category(category) if groups is None else groups
        for key in (*sorted(named), category):  # the category last, so that its rules come first
            override = self.overrides.get(key)
            stage = stage._with(override) if override else stage
        return stage

    def _with(self, override: StageOverride) -> "Stage":
        given = {name: getattr(override, name) for name in override.model_fields_set if name not in ("rules", "ideas")}
        added = {"rules": override.rules + self.rules, "ideas": override.ideas + self.ideas}
        return self.model_copy(update={**given, **added})


def groups_of_category(category: Category) -> frozenset[Group]:
    """The groups a category belongs to."""
    if category in ("conv", "transposed_conv"):
        return EVERY_GROUP
    return frozenset(("product",)) if category == "matmul" else frozenset()
