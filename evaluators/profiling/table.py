"""The table Nsight Compute prints (`--csv --page raw`), read: one row a launch, figures by metric name.

    "ID","Process ID",...,"Kernel Name",...,"dram__bytes.sum","gpu__time_duration.sum",...     names
    "","",...,"",...,"byte","ns",...                                                           units
    "0","4711",...,"conv_kernel",...,"1,073,741,824","2,604,384",...                           launches

Lines of the profiler itself (`==PROF== ...`) stand between. Limits: columns nobody asked for (every attribute of the
device is printed) are dropped here.
"""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evaluators.measurement import DURATION, Metric, MetricSource
from evaluators.profiling.wanted import LAUNCHES

_KERNEL = "Kernel Name"


@dataclass(frozen=True)
class Launch:
    """One kernel launch: figures that were delivered, by metric name; what stood there in place of the others."""

    kernel: str
    values: Mapping[str, float]
    units: Mapping[str, str]
    refused: Mapping[str, str]


def read(text: str, wanted: Sequence[str]) -> list[Launch]:
    """The launches of a report, with the wanted columns only. Text that holds no table gives none."""
    lines = [line for line in text.splitlines() if line.startswith('"')]
    rows = list(csv.reader(lines))
    if len(rows) < 3 or _KERNEL not in rows[0]:
        return []
    names, units = rows[0], dict(zip(rows[0], rows[1], strict=False))
    return [_launch(dict(zip(names, row, strict=False)), units, wanted) for row in rows[2:]]


def metrics_of(launches: Sequence[Launch], source: MetricSource) -> tuple[Metric, ...]:
    """Figures by kernel, in the order of first launch; several launches of one kernel are put together.

    Sums add up. Everything else (shares, ratios, averages) is weighted with the launches' durations.
    """
    by_kernel: dict[str, list[Launch]] = {}
    for launch in launches:
        by_kernel.setdefault(launch.kernel, []).append(launch)
    return tuple(metric for kernel, mine in by_kernel.items() for metric in _metrics(kernel, mine, source))


def refusals(launches: Iterable[Launch], wanted: Iterable[str]) -> dict[str, str]:
    """For every wanted metric that no launch delivered: what the table held in its place."""
    all_launches = list(launches)
    found: dict[str, str] = {}
    for name in wanted:
        if any(name in launch.values for launch in all_launches):
            continue
        said = next((launch.refused[name] for launch in all_launches if name in launch.refused), None)
        found[name] = "Nsight Compute printed no such column" if said is None else f"Nsight Compute printed '{said}'"
    return found


def _launch(row: Mapping[str, str], units: Mapping[str, str], wanted: Sequence[str]) -> Launch:
    printed = {name: row[name].strip() for name in wanted if name in row}
    read_as = {name: _number(text) for name, text in printed.items()}
    values = {name: value for name, value in read_as.items() if value is not None}
    refused = {name: printed[name] for name, value in read_as.items() if value is None}
    return Launch(row[_KERNEL], values, {name: units.get(name, "") for name in values}, refused)


def _number(text: str) -> float | None:
    """`1,234.5` -> 1234.5; None for what is no figure (`n/a`, `nan`, nothing)."""
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _metrics(kernel: str, launches: Sequence[Launch], source: MetricSource) -> list[Metric]:
    made = [Metric(kernel=kernel, name=LAUNCHES, value=len(launches), unit="", source=source)]
    names = dict.fromkeys(name for launch in launches for name in launch.values)
    for name in names:
        having = [launch for launch in launches if name in launch.values]
        value = _together(name, having)
        made.append(Metric(kernel=kernel, name=name, value=value, unit=having[0].units[name], source=source))
    return made


def _together(name: str, launches: Sequence[Launch]) -> float:
    values = [launch.values[name] for launch in launches]
    if name.endswith(".sum"):
        return math.fsum(values)
    weights = [launch.values.get(DURATION, 0.0) for launch in launches]
    if math.fsum(weights) <= 0:
        return math.fsum(values) / len(values)
    return math.fsum(v * w for v, w in zip(values, weights, strict=True)) / math.fsum(weights)
