"""What each stage gave back: how far it lowered time and bound, for how many attempts, tokens, dollars and seconds.

The gain of a stage is the product of the ratios by which its kept attempts lowered the measured time, and apart from
that the estimated bound, of the best before them. Limits: times of one device; a bound that could not be counted gives
no ratio.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from runs.inert import one_line
from runs.measured import timing_of
from runs.nouns import Attempt
from runs.numbers import ratio_text
from runs.state import RunState
from runs.table import table

_COLUMNS = ("stage", "attempts", "kept", "bound_ratio", "tokens", "cost", "seconds", "skipped", "frozen_moved")
_TIMED_COLUMNS = (*_COLUMNS[:3], "time_ratio", *_COLUMNS[3:])


@dataclass(frozen=True)
class StageReturn:
    """One stage. Above 1: the measured time (`time_ratio`), the estimated bound (`bound_ratio`) fell.

    Each is None where nothing was comparable.
    """

    stage: str
    attempts: int
    kept: int
    time_ratio: float | None
    bound_ratio: float | None
    requests: int  # 0: nobody was paid, so tokens and cost are not known
    tokens: int
    cost_usd: float | None
    seconds: float
    skipped: int  # times it was passed over because its gate was shut
    frozen_moved: int  # attempts that changed a knob the stage froze
    numbers: tuple[int, ...]  # its attempts


def stage_returns(state: RunState) -> list[StageReturn]:
    """One entry per stage, in the order they were first visited or passed over."""
    names = [
        name
        for attempt in state.attempts
        for name in (*(reason.split(":")[0] for reason in attempt.skipped if ": " in reason), attempt.stage)
    ]
    times, bounds = _ratios(state, _time), _ratios(state, _bound)
    return [
        _stage_return(name, state, times=times, bounds=bounds)
        for name in dict.fromkeys(names)
        if name != "every gate is shut"
    ]


def stage_return_lines(state: RunState) -> list[str]:
    """The table, for `agent show`."""
    returns = stage_returns(state)
    if not returns:
        return []
    is_timed = any(one.time_ratio is not None for one in returns)
    rows = [_row(one, is_timed=is_timed) for one in returns]
    meaning = "time_ratio: measured time before / after; " if is_timed else ""
    return [
        f"return by stage ({meaning}bound_ratio: estimated lower bound before / after):",
        *table(_TIMED_COLUMNS if is_timed else _COLUMNS, rows).split("\n"),
    ]


def stage_return_json(state: RunState) -> list[dict[str, Any]]:
    """The same as data."""
    return [asdict(one) for one in stage_returns(state)]


def _stage_return(name: str, state: RunState, *, times: dict[int, float], bounds: dict[int, float]) -> StageReturn:
    mine = [attempt for attempt in state.attempts if attempt.stage == name]
    costs = [attempt.usage.cost_usd for attempt in mine if attempt.usage.requests]
    known = [cost for cost in costs if cost is not None]
    return StageReturn(
        stage=name,
        attempts=len(mine),
        kept=sum(attempt.decision == "keep" for attempt in mine),
        time_ratio=_product(mine, times),
        bound_ratio=_product(mine, bounds),
        requests=sum(attempt.usage.requests for attempt in mine),
        tokens=sum(attempt.usage.input_tokens + attempt.usage.output_tokens for attempt in mine),
        cost_usd=sum(known) if len(known) == len(costs) else None,
        seconds=round(sum(attempt.seconds for attempt in mine), 3),
        skipped=sum(any(reason.startswith(f"{name}: ") for reason in a.skipped) for a in state.attempts),
        frozen_moved=sum(bool(attempt.knob_violations) for attempt in mine),
        numbers=tuple(attempt.number for attempt in mine),
    )


def _product(attempts: Sequence[Attempt], ratios: dict[int, float]) -> float | None:
    found = [ratios[attempt.number] for attempt in attempts if attempt.number in ratios]
    return round(math.prod(found), 4) if found else None


def _ratios(state: RunState, figure: Callable[[Attempt | None], tuple[str, float] | None]) -> dict[int, float]:
    """For every kept attempt the figure of the best before it over its own, where both are of one device."""
    ratios: dict[int, float] = {}
    best: Attempt | None = None
    for attempt in state.attempts:
        if attempt.decision != "keep":
            continue
        before, after = figure(best), figure(attempt)
        if before and after and before[0] == after[0] and before[1] and after[1]:
            ratios[attempt.number] = before[1] / after[1]
        best = attempt
    return ratios


def _time(attempt: Attempt | None) -> tuple[str, float] | None:
    timing = timing_of(attempt.evaluation) if attempt else None
    return (timing.device, timing.latency.median_ms) if timing else None


def _bound(attempt: Attempt | None) -> tuple[str, float] | None:
    estimate = attempt.evaluation.estimate if attempt and attempt.evaluation else None
    return (estimate.target, estimate.value_ms) if estimate and not estimate.left_out else None


def _row(one: StageReturn, *, is_timed: bool) -> tuple[str, ...]:
    return (
        one_line(one.stage, 20),
        str(one.attempts),
        str(one.kept),
        *([ratio_text(one.time_ratio) or "-"] if is_timed else []),
        "-" if one.bound_ratio is None else f"{one.bound_ratio:.3g}",
        str(one.tokens) if one.requests else "-",
        "-" if not one.requests else "n/a" if one.cost_usd is None else f"${one.cost_usd:.4f}",
        f"{one.seconds:.1f}",
        str(one.skipped),
        str(one.frozen_moved),
    )
