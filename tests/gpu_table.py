"""What rows of tests/gpu_playbook_bench.py amount to: a table of the fastest right kernels, means, wrong kernels, reasons.

Limits: rows of one sitting; which kernel a search would have exported is for the search to say.
"""

import math
from collections.abc import Sequence
from typing import Any

from agent.proposers.playbook.family import ROUNDED_ERROR

HEAD = (
    "problem",
    "class",
    "eager, graph",
    "eager, single call",
    "channels last",
    "ours, graph",
    "ours, single call",
    "gain, graph",
    "gain, single call",
    "floor",
    "of the floor",
    "error (eager's)",
    "kernel",
)
_NO_WIN = 1.05


def table(rows: Sequence[Any], subjects: Sequence[Any]) -> str:
    """Markdown: a line per problem and class, the geometric means, and what went wrong."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    below: list[str] = []
    gains: dict[str, list[tuple[float, float]]] = {}
    for subject in subjects:
        own = [row for row in rows if (row.problem, row.precision) == (subject.problem, subject.precision)]
        eager = next((row.result for row in own if row.what == "eager" and "graph_ms" in row.result), None)
        kernels = [row for row in own if row.is_kernel and row.result]
        right = [row for row in kernels if eager and is_right(row.result, eager)]
        below += [_wrong(row, subject) for row in kernels if row not in right]
        best = min(right, key=lambda row: _graph_ms(row.result), default=None)
        if eager is None or best is None:
            below.append(f"{subject.problem} {subject.precision}: no {'right kernel' if eager else 'time of eager'}")
            continue
        gain = _gain(eager, best.result)
        gains.setdefault(subject.precision, []).append(gain)
        lines.append(_line(subject, own, eager, best, gain))
        below += _about(subject, eager, best, gain)
    return "\n".join([*lines, "", *_means(gains), *below])


def _line(subject: Any, own: Sequence[Any], eager: dict[str, Any], best: Any, gain: tuple[float, float]) -> str:
    floor_ms, limiter = subject.floor_ms()
    rearranged: dict[str, Any] = next((row.result for row in own if row.what == "channels_last"), {})
    cells = (
        subject.problem,
        said_class(subject),
        *(_figure(_quiet(eager, name)) for name in ("graph_ms", "events_ms")),
        _figure(rearranged.get("events_ms")),
        *(_figure(_quiet(best.result, name)) for name in ("graph_ms", "events_ms")),
        *(f"{value:.3g}x" for value in gain),
        f"{floor_ms:.3g} ({limiter})",
        f"{100 * floor_ms / _graph_ms(best.result):.0f} %",
        f"{best.result['error']:.2g} ({eager['error']:.2g})",
        best.what,
    )
    return f"| {' | '.join(cells)} |"


def _about(subject: Any, eager: dict[str, Any], best: Any, gain: tuple[float, float]) -> list[str]:
    """Where the time of the best goes, and why nothing was won where nothing was."""
    said = f"{subject.problem} {subject.precision}"
    kernels = best.result.get("quiet kernels", {})
    lines = [f"{said}: " + ", ".join(f"{name} {ms:g}" for name, ms in kernels.items())] if kernels else []
    if gain[0] < _NO_WIN:
        floor_ms, limiter = subject.floor_ms()
        share = 100 * floor_ms / _graph_ms(eager)
        lines.append(f"{said}: no win: {subject.why(best.what)}; eager is at {share:.0f} % of the {limiter} floor")
    return lines


def said_class(subject: Any) -> str:
    """The class of a sitting; where eager does not use the TF32 it may use, its own."""
    is_same = subject.kernel_class == subject.precision
    return subject.precision if is_same else f"{subject.kernel_class} (eager's own, {subject.precision} allowed)"


def _wrong(row: Any, subject: Any) -> str:
    errors = {name: value for name, value in row.result.items() if name.startswith("error")}
    is_coarse = subject.kernel_class != row.precision and all(value <= ROUNDED_ERROR for value in errors.values())
    said = "too coarse beside an eager in fp32" if errors and is_coarse else "WRONG or without a time"
    return f"{row.problem} {row.precision}: {said}: {row.what} {row.result.get('note', errors)}"


def _means(gains: dict[str, list[tuple[float, float]]]) -> list[str]:
    lines = []
    for precision, pairs in gains.items():
        graph, single = (math.exp(sum(map(math.log, values)) / len(values)) for values in zip(*pairs, strict=True))
        said = f"geometric mean over eager, class {precision}, {len(pairs)} problems"
        lines.append(f"{said}: {graph:.3g}x by graph replays, {single:.3g}x in single calls")
    return [*lines, ""]


def is_right(row: dict[str, Any], eager: dict[str, Any]) -> bool:
    """Timed, and no error beyond twice eager's own (of fp32: 5e-7)."""
    errors = [value for name, value in row.items() if name.startswith("error")]
    return "graph_ms" in row and bool(errors) and all(error <= max(2 * eager["error"], 5e-7) for error in errors)


def _gain(eager: dict[str, Any], best: dict[str, Any]) -> tuple[float, float]:
    """(by graph replays, in single calls)."""
    graph, single = (_quiet(eager, name) / _quiet(best, name) for name in ("graph_ms", "events_ms"))
    return graph, single


def _graph_ms(row: dict[str, Any]) -> float:
    return _quiet(row, "graph_ms")


def _quiet(row: dict[str, Any], name: str) -> float:
    """The last timing where there is one."""
    return float(row.get(f"quiet {name}", row[name]))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
