"""A benchmark as KernelBench keeps one: `runs/<name>/eval_results.json` with every problem, kernels, baselines.

KernelBench's analysis pairs results and baselines by their place in the file, so both hold every problem of a level, in
one order; a problem without a kernel is an entry that neither compiled nor is correct. A runtime nobody measured is
-1.0, as KernelBench writes a missing one: its fast_p counts it as not faster, its geometric mean is then meaningless.

Limits: sample 0 is the best kernel. Baselines are eager, of the problems that were measured on the same device.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluators.measurement import Timing
from runs.bench.rows import Row
from runs.bench.store import BenchDirectory
from runs.exports.kernelbench import entry_of, runtime_stats
from runs.store import slug, write_durably

FOLDER = "kernelbench"


def write_kernelbench(directory: BenchDirectory, rows: Sequence[Row]) -> Path:
    """Write the folder and return where it is. Raises RecordNotWritten."""
    folder = directory.path / FOLDER
    for level in sorted({row.member.level for row in rows}):
        among = sorted((row for row in rows if row.member.level == level), key=lambda row: row.member.number)
        _write_results(directory, among, folder / "runs" / f"{directory.id}-level{level}")
        for device in {timing.device for timing in map(_timing, among) if timing}:
            target = folder / "results" / "timing" / slug(device) / f"baseline_time_torch_level{level}.json"
            baselines = {row.member.file: _eager(row, device) for row in among}
            write_durably(target, json.dumps({f"level{level}": baselines}, indent=2))
    return folder


def _write_results(directory: BenchDirectory, rows: Sequence[Row], folder: Path) -> None:
    gpu = directory.bench.config.gpu
    results = {str(row.member.number): [entry_of(row.evaluation or row.last, gpu)] for row in rows}
    write_durably(folder / "eval_results.json", json.dumps(results, indent=2))
    for row in rows:
        best = directory.path / row.run / "best.py" if row.run else None
        if best is not None and best.exists():
            name = f"level_{row.member.level}_problem_{row.member.number}_sample_0_kernel.py"
            write_durably(folder / name, best.read_text(encoding="utf-8"))


def _timing(row: Row) -> Timing | None:
    return row.evaluation.timing if row.evaluation else None


def _eager(row: Row, device: str) -> dict[str, Any]:
    """The baseline of a problem; not a number where it was not measured, which no threshold counts as faster."""
    timing = _timing(row)
    eager = timing.baselines.eager if timing and timing.device == device and timing.baselines else None
    return runtime_stats(eager.latency, device) if eager and eager.latency else {"mean": math.nan}
