"""The verdict of a run in words: what won, by how much of which kind of figure, why, and what is not known.

Limits: sentences from recorded figures. A ratio of two bounds is called that, never a speedup.
"""

from collections.abc import Sequence

from evaluators.evaluation import Evaluation
from runs.inert import one_line
from runs.report.figures import BOUND, number_text
from runs.report.model import Row, path_to
from runs.report.reading import Reading
from runs.report.roofline import Roof
from runs.verdict_text import pairs_text

TIERS = {
    "T1": "namespaces, Landlock, seccomp and a root of its own",
    "T2": "namespaces, Landlock and seccomp",
    "T3": "Landlock without all of the other layers",
    "T4": "no Landlock; namespaces or a user of its own",
    "T5": "no isolation to speak of",
}


def verdict_words(reading: Reading, rows: Sequence[Row], roof: Roof | None) -> list[str]:
    """The outcome, most important first."""
    best = next((row for row in rows if row.is_best), None)
    if best is None:
        return [_nothing_found(rows), "No kernel is recommended; the native operator stands."]
    return [
        f"Attempt {best.attempt.number} won: {best.verdict}, {_bound_words(best)}.",
        *_ratio(best, rows),
        *_floor(best, roof),
        "It was not timed: this run had no clock, so how it compares with eager PyTorch or torch.compile is not known.",
        *_why(reading, best, rows),
    ]


def facts_of_run(reading: Reading, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The head of the page: what was asked, of what, on which machine."""
    if reading.run is None:
        return [("run", f"{reading.id} (its head cannot be read)")]
    config, gpu, state = reading.run.config, reading.gpu, reading.state
    environment = next((row.evaluation.environment for row in reversed(rows) if row.evaluation), {})
    tier = environment.get("sandbox", "")
    facts = [
        ("problem", f"{config.problem}: {reading.problem.title}" if reading.problem else config.problem),
        ("shapes", _shapes(reading)),
        ("GPU", f"{gpu.name} ({gpu.arch}, {gpu.sm_count} SMs)" if gpu else config.gpu),
        ("baselines", "not timed: no GPU took part in this run"),
        ("written by", config.model),
        ("started", reading.run.created_at),
        ("ended", state.finished or "not ended"),
        ("spent", _spent(reading)),
        ("judged with", pairs_text({name: text for name, text in environment.items() if name != "sandbox"})),
        ("trust tier", f"{tier}: {TIERS[tier]}" if tier in TIERS else tier),
        ("versions", pairs_text(reading.run.versions)),
    ]
    return [(name, one_line(text, 400)) for name, text in facts if text]


def _nothing_found(rows: Sequence[Row]) -> str:
    if not rows:
        return "No attempt is finished."
    passed = sum(row.status == "passed" for row in rows)
    return f"No better kernel was found in {len(rows)} attempts ({passed} passed)."


def _bound_words(row: Row) -> str:
    evaluation = row.evaluation
    estimate = evaluation.estimate if evaluation else None
    if estimate is None:
        return "without an estimate"
    limiter = one_line(estimate.limiter, 120)
    return f"estimated to take at least {number_text(estimate.value_ms)} ms, limited by {limiter}"


def _ratio(best: Row, rows: Sequence[Row]) -> list[str]:
    """Against the first attempt that had a bound and did not fail."""
    ranked = [row for row in rows if BOUND in row.figures and row.status != "failed" and row.is_bound_complete]
    first = ranked[0] if ranked else None
    if first is None or first is best or best not in ranked:
        return []
    old, new = first.figures[BOUND], best.figures[BOUND]
    if not new.value:
        return []
    return [
        f"Its bound is {old.value / new.value:.1f}x lower than that of attempt {first.attempt.number} "
        f"({old.text} ms to {new.text} ms). That orders the attempts; it is no speedup."
    ]


def _floor(best: Row, roof: Roof | None) -> list[str]:
    if roof is None:
        return ["The floor of the problem is not known here: its FLOP and bytes were not recorded."]
    bound = best.figures.get(BOUND)
    floor = f"The floor is {number_text(roof.floor_ms)} ms ({roof.limiter})"
    if bound is None or not bound.value:
        return [f"{floor}."]
    return [f"{floor}; it is {100 * roof.floor_ms / bound.value:.0f} % of the winner's bound."]


def _why(reading: Reading, best: Row, rows: Sequence[Row]) -> list[str]:
    path = path_to(best.attempt, reading.state.attempts)
    changed = [f"{change.after.name} {change.before.text} to {change.after.text}" for change in best.changes[:4]]
    plan = one_line(best.attempt.plan, 300).removeprefix("Plan: ")
    return [
        f"Why it won: {best.attempt.reason}" + (f"; path {' → '.join(map(str, path))}." if len(path) > 1 else "."),
        *([f"Its plan: {plan}"] if plan else []),
        *([f"Against its parent: {', '.join(changed)}."] if changed else []),
    ]


def _shapes(reading: Reading) -> str:
    facts = reading.facts
    if facts is None:
        return "not recorded"
    inputs = ", ".join(f"{fact.name} {list(fact.shape)} {fact.dtype}" for fact in facts.inputs)
    outputs = ", ".join(f"{list(fact.shape)} {fact.dtype}" for fact in facts.outputs)
    work = f"; {facts.flop:.4g} FLOP" if facts.flop else ""
    return f"{inputs} to {outputs}{work}, {facts.bytes_moved:.4g} bytes"


def _spent(reading: Reading) -> str:
    usage, seconds = reading.state.usage, reading.state.seconds
    count = len(reading.state.attempts)
    time = f"{count} attempts, {seconds:.0f} s"
    if not usage.requests:
        return f"{time}, no model was paid"
    price = "cost n/a (a price is unknown)" if usage.cost_usd is None else f"${usage.cost_usd:.4f}"
    return f"{time}, {usage.requests} requests, {usage.input_tokens} + {usage.output_tokens} tokens, {price}"


def held(evaluation: Evaluation) -> str:
    """Names of the checks that held."""
    return ", ".join(check.name for check in evaluation.checks if check.status == "passed")
