"""Hold estimated bounds against measured times: one calibration file, its pairs and their picture.

    python tests/calibrate.py rows.jsonl RUN_FOLDER ... --gpu h100-sxm --commit

`rows.jsonl`: what `tests/gpu_playbook_bench.py --json` measured; run folders: attempts with an estimate and a measured
time, both made on the machine with the GPU. Bounds of rows are computed here, so Triton must be of the version that
measured. Without --commit it prints; with it, evaluators/calibrations/ and docs/calibration/ are written.

Limits: kernels of our own families, most of them good ones; Gluon kernels have no bound and are left out.
"""

import argparse
import csv
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from checkout import ROOT

from agent.proposers.playbook.configuration import read_configuration
from agent.proposers.playbook.emission import candidate_source
from agent.proposers.playbook.family import family_of
from agent.proposers.playbook.reference import read_reference
from evaluators.calibration import Calibration
from evaluators.candidate import candidate_from
from evaluators.compiled.toolkit import triton_version
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.reference import Reference
from evaluators.judge.zygotes import Zygotes
from evaluators.problem_catalog import load_problem
from evaluators.rungs import Task, build, estimate
from runs.store import RunDirectory

CLOCK = "median of single calls between device events, L2 emptied before each"
LIBRARY = ("eager", "channels_last")


@dataclass(frozen=True)
class Pair:
    """One kernel: its bound and its measured time, ms."""

    problem: str
    kernel: str
    bound_ms: float
    measured_ms: float


def main() -> None:
    """Read, compute, print; write with --commit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", type=Path)
    parser.add_argument("--gpu", required=True)
    parser.add_argument("--commit", action="store_true")
    options = parser.parse_args()
    pairs = [
        pair for path in options.sources for pair in (of_run(path) if path.is_dir() else of_rows(path, options.gpu))
    ]
    found = calibration(pairs, options.gpu, _command(options.sources, options.gpu))
    print(found.said)
    if options.commit:
        write(found, pairs)


def _command(sources: list[Path], gpu: str) -> str:
    """How these figures come about, for the record."""
    rows = ["rows.jsonl"] * any(path.is_file() for path in sources)
    runs = ["RUNS/*"] * any(path.is_dir() for path in sources)
    measured = ["python3 tests/gpu_playbook_bench.py --json rows.jsonl"] * len(rows)
    measured += ["python3 tests/gpu_runs.py --directory RUNS"] * len(runs)
    return "; ".join((*measured, f"python tests/calibrate.py {' '.join((*rows, *runs))} --gpu {gpu}"))


def of_run(path: Path) -> Iterator[Pair]:
    """Measured attempts of a run, with the estimates made beside them."""
    for attempt in RunDirectory(path).state().attempts:
        evaluation = attempt.evaluation
        if evaluation and evaluation.timing and evaluation.estimate and not evaluation.estimate.left_out:
            name = f"{path.name}, attempt {attempt.number}"
            yield Pair(evaluation.problem, name, evaluation.estimate.value_ms, evaluation.timing.latency.median_ms)


def of_rows(path: Path, gpu: str) -> Iterator[Pair]:
    """Measured rows, each kernel once, with bounds computed here."""
    rows = {(row["problem"], row["what"]): row for row in map(json.loads, path.read_text().splitlines())}
    with Zygotes() as zygotes:
        for (number, what), row in rows.items():
            if "events_ms" not in row or what.split()[0] in LIBRARY:
                continue
            if bound_ms := bound_of(f"convt3d-{number}", what, gpu, zygotes):
                print(f"{number} {what}: bound {bound_ms:.4g} ms, measured {row['events_ms']:.4g} ms", file=sys.stderr)
                yield Pair(f"convt3d-{number}", what, bound_ms, row["events_ms"])


def bound_of(key: str, what: str, gpu: str, zygotes: Zygotes) -> float | None:
    """The bound of one configuration, None where there is none."""
    problem, configuration = load_problem(key), read_configuration(what)
    family = family_of(configuration)
    if family is None or "gluon" in candidate_source(configuration, family, read_reference(problem.source)):
        return None
    candidate = candidate_from(candidate_source(configuration, family, read_reference(problem.source)))
    task = Task(problem, candidate, load_gpu(gpu), Reference(problem), zygotes)
    found = estimate.check(task.having(build.check(task))).estimate
    return None if found is None or found.left_out else found.value_ms


def calibration(pairs: list[Pair], gpu: str, command: str) -> Calibration:
    """What the pairs say."""
    ratios = sorted(pair.measured_ms / pair.bound_ms for pair in pairs)
    fifths = statistics.quantiles(ratios, n=5, method="inclusive")
    scale: dict[str, tuple[float, float]] = {}
    by_problem = defaultdict(list)
    for pair in pairs:
        by_problem[pair.problem].append(pair)
    for problem, some in by_problem.items():
        means = (statistics.geometric_mean(x) for x in ([p.bound_ms for p in some], [p.measured_ms for p in some]))
        scale[problem] = tuple(means)  # type: ignore[assignment]
    shared = [pair for pair in pairs if len(by_problem[pair.problem]) > 1]
    return Calibration(
        gpu=load_gpu(gpu).key,
        triton=triton_version(),
        kernels=len(pairs),
        problems=len(by_problem),
        spearman=round(spearman([p.bound_ms for p in pairs], [p.measured_ms for p in pairs]), 3),
        spearman_within=round(
            spearman(
                [p.bound_ms / scale[p.problem][0] for p in shared],
                [p.measured_ms / scale[p.problem][1] for p in shared],
            ),
            3,
        ),
        median_ratio=round(statistics.median(ratios), 3),
        p20_ratio=round(fifths[0], 3),
        p80_ratio=round(fifths[3], 3),
        clock=CLOCK,
        date=date.today().isoformat(),
        command=command,
    )


def spearman(a: list[float], b: list[float]) -> float:
    """Rank correlation; equal values share their mean rank."""
    return statistics.correlation(_ranks(a), _ranks(b))


def _ranks(values: list[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]


def write(found: Calibration, pairs: list[Pair]) -> None:
    """The file the estimate reads, the pairs, the picture."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in found.model_dump(mode="json").items()]
    (ROOT / "evaluators" / "calibrations" / f"{found.gpu}.toml").write_text("\n".join(lines) + "\n")
    folder = ROOT / "docs" / "calibration"
    folder.mkdir(exist_ok=True)
    with (folder / f"{found.gpu}.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("problem", "kernel", "bound_ms", "measured_ms"))
        rows.writerows((p.problem, p.kernel, f"{p.bound_ms:.4g}", f"{p.measured_ms:.4g}") for p in pairs)
    (folder / f"{found.gpu}.svg").write_text(picture(found, pairs))


def picture(found: Calibration, pairs: list[Pair]) -> str:
    """Bound across, measured time up, both logarithmic; the line is where they are equal."""
    values = [v for p in pairs for v in (p.bound_ms, p.measured_ms)]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    size, edge = 460, 60

    def at(ms: float) -> float:
        return edge + (math.log10(ms) - low) / (high - low) * (size - 2 * edge)

    colours = ("#1b6ca8", "#c8553d", "#588b8b", "#8f5db7", "#b8860b", "#444444", "#2a9d3a")
    keys = sorted({p.problem for p in pairs})
    marks = [
        f'<circle cx="{at(p.bound_ms):.1f}" cy="{size - at(p.measured_ms):.1f}" r="4" fill="{colours[keys.index(p.problem) % 7]}"'
        f' fill-opacity="0.7"><title>{p.problem} {p.kernel}: bound {p.bound_ms:.3g} ms, measured {p.measured_ms:.3g} ms</title></circle>'
        for p in pairs
    ]
    ticks = [
        f'<text x="{at(10.0**e):.0f}" y="{size - edge + 18}" text-anchor="middle">{10.0**e:g}</text>'
        f'<text x="{edge - 8}" y="{size - at(10.0**e) + 4:.0f}" text-anchor="end">{10.0**e:g}</text>'
        for e in range(low, high + 1)
    ]
    legend = [
        f'<text x="{edge + 10}" y="{edge + 14 + 15 * i}" fill="{colours[i % 7]}">{key}</text>'
        for i, key in enumerate(keys)
    ]
    body = "\n".join([*ticks, *legend, *marks])
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" font-family="sans-serif" font-size="12">
<rect width="{size}" height="{size}" fill="white"/>
<path d="M{edge} {size - edge}H{size - edge}M{edge} {size - edge}V{edge}" stroke="#888" fill="none"/>
<path d="M{edge} {size - edge}L{size - edge} {edge}" stroke="#bbb" stroke-dasharray="4 4"/>
{body}
<text x="{size / 2}" y="{size - 18}" text-anchor="middle">estimated lower bound, ms</text>
<text x="16" y="{size / 2}" text-anchor="middle" transform="rotate(-90 16 {size / 2})">measured, ms</text>
<text x="{size / 2}" y="24" text-anchor="middle">{found.gpu}, Triton {found.triton}: {found.kernels} kernels, Spearman {found.spearman:.2f}</text>
</svg>
"""


if __name__ == "__main__":
    main()
