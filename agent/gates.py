"""Gates of stages, held against the evidence about one piece of code: is the stage worthwhile, is it done?

The evidence of an attempt are its compiled figures, its estimate and, where a profiler ran, the metrics of the kernels
that take the time. A condition for entering holds if it holds for one kernel; one for skipping or ending, if it holds
for all of them. What nobody has a figure for decides nothing: an unknown never skips a stage.

Limits: which stage comes next is agent/stage_walk.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from evaluators.evaluation import Evaluation, KernelResources
from prompts.stage import Condition, Origin, Stage

_NARROW_BITS = 32


@dataclass(frozen=True)
class Evidence:
    """Figures by origin and name, one value per kernel that has it."""

    figures: Mapping[tuple[Origin, str], Mapping[str, float]] = field(default_factory=dict)

    def of(self, condition: Condition) -> Mapping[str, float]:
        """The values the condition is about, by kernel; empty where nobody has them."""
        return self.figures.get((condition.origin, condition.figure), {})


@dataclass(frozen=True)
class GateVerdict:
    """Whether a stage is entered, and on what evidence."""

    enters: bool
    reason: str


def evidence_of(evaluation: Evaluation | None) -> Evidence:
    """Everything known about an attempt's code that a gate can ask for."""
    figures: dict[tuple[Origin, str], dict[str, float]] = {}
    for origin, kernel, name, value in (*_compiled(evaluation), *_estimated(evaluation), *_measured(evaluation)):
        figures.setdefault((origin, name), {})[kernel] = value
    return Evidence(figures)


def entry(stage: Stage, evidence: Evidence) -> GateVerdict:
    """Whether the evidence makes a stage worthwhile."""
    if stage.skip:
        return GateVerdict(False, stage.skip)
    for group in stage.skip_when:
        if group and all(_holds_for_all(condition, evidence) for condition in group):
            return GateVerdict(False, "; ".join(_said(condition, evidence) for condition in group))
    for condition in stage.enter_when:
        if any(condition.holds(value) for value in evidence.of(condition).values()):
            return GateVerdict(True, _said(condition, evidence))
    unknown = [condition.figure for condition in stage.enter_when if not evidence.of(condition)]
    if stage.enter_when and not unknown:
        return GateVerdict(False, "none of: " + ", ".join(_said(condition, evidence) for condition in stage.enter_when))
    return GateVerdict(True, f"no figure for {', '.join(unknown)}" if unknown else "no condition")


def is_done(stage: Stage, evidence: Evidence) -> bool:
    """Whether a visit of this stage has reached what it is for."""
    return bool(stage.done_when) and all(_holds_for_all(condition, evidence) for condition in stage.done_when)


def _holds_for_all(condition: Condition, evidence: Evidence) -> bool:
    values = evidence.of(condition).values()
    return bool(values) and all(condition.holds(value) for value in values)


def _said(condition: Condition, evidence: Evidence) -> str:
    values = sorted(evidence.of(condition).values())
    if len(values) > 1 and values[0] != values[-1]:
        return f"{condition}: {values[0]:g} to {values[-1]:g}"
    return f"{condition}: {values[0]:g}" if values else f"{condition}: unknown"


def _compiled(evaluation: Evaluation | None) -> Iterator[tuple[Origin, str, str, float]]:
    for number, kernel in enumerate(evaluation.kernels if evaluation else ()):
        for name, value in _kernel_figures(kernel).items():
            yield "compiled", f"{number} {kernel.name}", name, value


def _kernel_figures(kernel: KernelResources) -> dict[str, float]:
    plain = ("registers", "spills", "shared_memory_bytes", "theoretical_occupancy_pct")
    figures = {name: float(getattr(kernel, name)) for name in (*plain, "num_warps", "num_stages", "waves")}
    loads = {int(bits): count for bits, count in kernel.global_load_bits.items()}
    if sum(loads.values()):
        narrow = sum(count for bits, count in loads.items() if bits <= _NARROW_BITS)
        figures["narrow_load_pct"] = 100 * narrow / sum(loads.values())
    if kernel.sass_mix_pct:
        figures["tensor_core_pct"] = kernel.sass_mix_pct.get("tensor", 0.0)
    return figures


def _estimated(evaluation: Evaluation | None) -> Iterator[tuple[Origin, str, str, float]]:
    estimate = evaluation.estimate if evaluation else None
    if estimate is None or estimate.left_out:
        return
    yield "estimated", "all", "bound_ms", estimate.value_ms
    memory = estimate.components_ms.get("memory")
    if memory is not None and estimate.value_ms > 0:
        yield "estimated", "all", "memory_share_pct", 100 * memory / estimate.value_ms


def _measured(evaluation: Evaluation | None) -> Iterator[tuple[Origin, str, str, float]]:
    profile = evaluation.profile if evaluation else None
    for kernel, values in profile.main_kernels.items() if profile else ():
        for name, value in values.items():
            yield "measured", kernel, name, value
