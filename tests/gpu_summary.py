"""What rows of tests/gpu_families.py amount to: the fastest right kernel beside eager, and the geometric mean.

Limits: rows of one sitting; which kernel a search would have exported is for the search to say.
"""

import math
from typing import Any

SCALES = {"x1": 1.0, "x1e-5": 1e-5, "x1e5": 1e5}
COLUMNS = ("graph_ms", "events_ms", *(f"err {name}" for name in SCALES), "err new w")


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """The fastest right kernel of every problem and class beside eager, the geometric mean, and every wrong kernel."""
    lines, gains = [], []
    for eager in (row for row in rows if row["what"] == "eager" and "graph_ms" in row):
        same = [r for r in rows if all(r[k] == eager[k] for k in ("problem", "class")) and r is not eager]
        right = [row for row in same if is_right(row, eager)]
        best = min(right, key=lambda row: float(row["graph_ms"]), default=None)
        head = f"{eager['problem']} {eager['class']}: eager {eager['graph_ms']:.4g} ms"
        lines += [f"{head}: WRONG or without a time: {r['what']} {r.get('note', '')}" for r in same if r not in right]
        if best is None:
            lines.append(f"{head}, no right kernel")
            continue
        gains.append(eager["graph_ms"] / best["graph_ms"])
        once = eager["events_ms"] / best["events_ms"]
        lines.append(f"{head}, {best['graph_ms']:.4g} ms: {gains[-1]:.3g}x ({once:.3g}x single calls), {best['what']}")
    if gains:
        mean = math.exp(sum(map(math.log, gains)) / len(gains))
        lines.append(f"geometric mean over eager, graph replays: {mean:.3g}x of {len(gains)}")
    return lines


def is_right(row: dict[str, Any], eager: dict[str, Any]) -> bool:
    """Timed, and no error beyond twice eager's own (of fp32: 5e-7)."""
    names = [column for column in COLUMNS if column.startswith("err")]
    return "graph_ms" in row and all(row[name] <= max(2 * eager[name], 5e-7) for name in names)
