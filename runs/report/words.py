"""The verdict of a run in words: what won, by how much of which kind of figure, why, and what is not known.

Limits: sentences from recorded figures. A ratio of two bounds is called that, never a speedup; a time that was taken
on another device than the target is said to be.
"""

from collections.abc import Sequence

from evaluators.evaluation import Evaluation
from evaluators.measurement import Timing
from runs.inert import one_line
from runs.measured_text import duel_text, floor_text, on_device, speedup_text, time_text
from runs.numbers import number_text, ratio_text
from runs.report.figures import BOUND
from runs.report.model import Row, path_to
from runs.report.reading import Reading
from runs.report.roofline import Roof
from runs.verdict_text import pairs_text

SAME_BOUND = 1.01  # a bound less than 1 % lower is no progress, as in agent/decision.py
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
    if best.timing is not None:
        return [*_timed_words(best, best.timing, reading, rows), *_why(reading, best, rows)]
    return [
        f"Attempt {best.attempt.number} won: {best.verdict}, {_bound_words(best)}.",
        *_ratio(best, rows),
        *_floor(best, roof),
        "It was not timed: no clock took part in its verdict, so how it compares with eager PyTorch or torch.compile "
        "is not known.",
        *_why(reading, best, rows),
    ]


def timed_row(rows: Sequence[Row]) -> Row | None:
    """The row whose baselines and environment speak for the run: the best if it was timed, else the last that was."""
    timed = [row for row in rows if row.timing is not None]
    return next((row for row in timed if row.is_best), timed[-1] if timed else None)


def facts_of_run(reading: Reading, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The head of the page: what was asked, of what, on which machine."""
    if reading.run is None:
        return [("run", f"{reading.id} (its head cannot be read)")]
    config, gpu, state = reading.run.config, reading.gpu, reading.state
    timed = timed_row(rows)
    judged = [row.evaluation for row in ([timed] if timed else reversed(rows)) if row.evaluation]
    environment = judged[0].environment if judged else {}
    tier = environment.get("sandbox", "")
    facts = [
        ("problem", f"{config.problem}: {reading.problem.title}" if reading.problem else config.problem),
        ("shapes", _shapes(reading)),
        ("GPU", f"{gpu.name} ({gpu.arch}, {gpu.sm_count} SMs)" if gpu else config.gpu),
        ("timed on", _device(timed.timing) if timed and timed.timing else ""),
        ("baselines", _baselines(timed.timing if timed else None)),
        ("written by", config.model),
        ("started", reading.run.created_at),
        ("ended", state.finished or "not ended"),
        ("spent", _spent(reading)),
        ("judged with", pairs_text({name: text for name, text in environment.items() if name != "sandbox"})),
        ("trust tier", f"{tier}: {TIERS[tier]}" if tier in TIERS else tier),
        ("versions", pairs_text(reading.run.versions)),
    ]
    return [(name, one_line(text, 400)) for name, text in facts if text]


def _timed_words(best: Row, timing: Timing, reading: Reading, rows: Sequence[Row]) -> list[str]:
    """The time of the winner, what it is worth, and against which attempt it won."""
    duel = duel_words(best, reading)
    return [
        f"Attempt {best.attempt.number} won: {best.verdict}, {time_text(timing)}.",
        f"{speedup_text(timing)}; {floor_text(timing)}{on_device(timing)}.",
        *([f"In a duel{on_device(timing)} it was {duel}."] if duel else []),
        *([] if best.confirmation else ["It was not judged once more on fresh seeds."]),
        *_since_first(best, timing, rows),
        *([] if timing.is_target else [f"On the target itself it was not timed; there it is {_bound_words(best)}."]),
    ]


def duel_words(row: Row, reading: Reading) -> str:
    """How it did against the attempt that was the best before it; empty where there was no duel."""
    duel = row.evaluation.duel if row.evaluation and row.status != "failed" else None
    if duel is None:
        return ""
    judged = reading.state.judged(duel.incumbent_id)
    return duel_text(duel, f"attempt {judged.number}" if judged else "the incumbent")


def _since_first(best: Row, timing: Timing, rows: Sequence[Row]) -> list[str]:
    """Against the first attempt that was timed on the same device."""
    first = next((row for row in rows if row.timing and row.timing.device == timing.device), best)
    if first is best or first.timing is None or not timing.latency.median_ms:
        return []
    old_ms, new_ms = first.timing.latency.median_ms, timing.latency.median_ms
    times = f"{number_text(old_ms)} ms to {number_text(new_ms)} ms{on_device(timing)}"
    return [f"{ratio_text(old_ms / new_ms)}x over attempt {first.attempt.number}, the first that was timed ({times})."]


def _device(timing: Timing) -> str:
    return timing.device if timing.is_target else f"{timing.device}, which is not the target"


def _baselines(timing: Timing | None) -> str:
    if timing is None:
        return "not timed: no clock took part in this run"
    found = timing.baselines
    if found is None:
        return "not timed"
    timed = sum(baseline.latency is not None for baseline in found.measured)
    return f"{timed} of {len(found.measured)} timed on {found.device}, see below; eager is of class {found.precision}"


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
    if not new.value or old.value < SAME_BOUND * new.value:
        return []
    return [
        f"Its bound is {old.value / new.value:.3g}x lower than that of attempt {first.attempt.number} "
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
    ordered = sorted(best.changes, key=lambda change: change.after.origin != "measured")  # what counts, first
    changed = [f"{change.after.name} {change.before.text} to {change.after.text}" for change in ordered[:4]]
    plan = one_line(best.attempt.plan, 300)
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
