"""What each stage gave back: how far it lowered the bound, for how many attempts, tokens, dollars and seconds.

The gain of a stage is the product of the ratios by which its kept attempts lowered the estimated bound of the best
before them. Limits: estimated figures only, as long as nothing is measured; a bound that could not be counted gives
no ratio.
"""

from dataclasses import asdict, dataclass
from typing import Any

from runs.nouns import Attempt
from runs.state import RunState
from runs.table import table

_COLUMNS = ("stage", "attempts", "kept", "bound_ratio", "tokens", "cost", "seconds", "skipped", "frozen_moved")


@dataclass(frozen=True)
class StageReturn:
    """One stage; `bound_ratio` above 1 is a lower bound on the latency that fell, None where nothing was comparable."""

    stage: str
    attempts: int
    kept: int
    bound_ratio: float | None
    requests: int  # 0: nobody was paid, so tokens and cost are not known
    tokens: int
    cost_usd: float | None
    seconds: float
    skipped: int  # times it was passed over because its gate was shut
    frozen_moved: int  # attempts that changed a knob the stage froze


def stage_returns(state: RunState) -> list[StageReturn]:
    """One entry per stage, in the order they were first visited or passed over."""
    names = [
        name
        for attempt in state.attempts
        for name in (*(reason.split(":")[0] for reason in attempt.skipped if ": " in reason), attempt.stage)
    ]
    ratios = _ratios(state)
    return [_stage_return(name, state, ratios) for name in dict.fromkeys(names) if name != "every gate is shut"]


def stage_return_lines(state: RunState) -> list[str]:
    """The table, for `agent show`."""
    returns = stage_returns(state)
    if not returns:
        return []
    rows = [_row(one) for one in returns]
    return ["return by stage (bound_ratio: estimated lower bound before / after):", *table(_COLUMNS, rows).split("\n")]


def stage_return_json(state: RunState) -> list[dict[str, Any]]:
    """The same as data."""
    return [asdict(one) for one in stage_returns(state)]


def _stage_return(name: str, state: RunState, ratios: dict[int, float]) -> StageReturn:
    mine = [attempt for attempt in state.attempts if attempt.stage == name]
    costs = [attempt.usage.cost_usd for attempt in mine if attempt.usage.requests]
    known = [cost for cost in costs if cost is not None]
    product = 1.0
    for attempt in mine:
        product *= ratios.get(attempt.number, 1.0)
    return StageReturn(
        stage=name,
        attempts=len(mine),
        kept=sum(attempt.decision == "keep" for attempt in mine),
        bound_ratio=round(product, 4) if any(attempt.number in ratios for attempt in mine) else None,
        requests=sum(attempt.usage.requests for attempt in mine),
        tokens=sum(attempt.usage.input_tokens + attempt.usage.output_tokens for attempt in mine),
        cost_usd=sum(known) if len(known) == len(costs) else None,
        seconds=round(sum(attempt.seconds for attempt in mine), 3),
        skipped=sum(any(reason.startswith(f"{name}: ") for reason in a.skipped) for a in state.attempts),
        frozen_moved=sum(bool(attempt.knob_violations) for attempt in mine),
    )


def _ratios(state: RunState) -> dict[int, float]:
    """For every kept attempt the bound of the best before it over its own."""
    ratios: dict[int, float] = {}
    best: Attempt | None = None
    for attempt in state.attempts:
        if attempt.decision != "keep":
            continue
        before, after = _bound_ms(best), _bound_ms(attempt)
        if before and after:
            ratios[attempt.number] = before / after
        best = attempt
    return ratios


def _bound_ms(attempt: Attempt | None) -> float | None:
    estimate = attempt.evaluation.estimate if attempt and attempt.evaluation else None
    return estimate.value_ms if estimate and not estimate.left_out else None


def _row(one: StageReturn) -> tuple[str, ...]:
    return (
        one.stage,
        str(one.attempts),
        str(one.kept),
        "-" if one.bound_ratio is None else f"{one.bound_ratio:.3g}",
        str(one.tokens) if one.requests else "-",
        "-" if not one.requests else "n/a" if one.cost_usd is None else f"${one.cost_usd:.4f}",
        f"{one.seconds:.1f}",
        str(one.skipped),
        str(one.frozen_moved),
    )
