"""A benchmark's figures against KernelBench's own definitions, its table and its files. Measured values are made up."""

import json
import math

import pytest

from evaluators.evaluation import Estimate, Failed, Passed, Unverified
from evaluators.measurement import Baseline, Baselines, Latency, Timing
from evaluators.problem import Problem
from evaluators.problem_sets import Member
from runs.bench.figures import THRESHOLDS, speedups, totals
from runs.bench.kernelbench import write_kernelbench
from runs.bench.page import write_page
from runs.bench.rows import Row
from runs.bench.store import Bench, create_bench
from runs.bench.text import bench_json, bench_lines
from runs.nouns import Budget, RunConfig, Usage

JUDGED = {"candidate_id": "c", "problem": "p", "gpu": "h100-sxm"}
BOUND = Estimate(value_ms=0.5, limiter="memory", assumptions=(), unmodelled=())


def latency(ms):
    return Latency(median_ms=ms, p20_ms=ms, p80_ms=ms, samples=10)


def timed(ms, eager_ms, best_ms):
    baselines = Baselines(
        device="H100",
        precision="fp32",
        measured=(
            Baseline(name="eager", latency=latency(eager_ms), precision="fp32"),
            Baseline(name="compile", latency=latency(best_ms), precision="fp32"),
        ),
    )
    common = {
        "device": "H100",
        "is_target": True,
        "clock": "device events",
        "protocol_ms": 0.1,
        "protocol_spread_ms": 0.01,
    }
    floor = {"verified_calls": 3, "floor_ms": 0.1, "floor_limiter": "memory", "precision": "fp32"}
    return Timing(latency=latency(ms), outside=latency(ms), baselines=baselines, **common, **floor)


def row(number, outcome, evaluation=None, **more):
    problem = Problem(key=f"{number}_P", title="P", source=f"# {number}")
    member = Member(key=problem.key, file=f"{number}_P.py", level=1, number=number, problem=problem)
    return Row(member, outcome, evaluation=evaluation, **more)


@pytest.fixture
def rows():
    paid = Usage(input_tokens=1000, output_tokens=100, requests=2, cost_usd=0.25)
    return [
        row(
            10,
            "passed",
            Passed(timing=timed(1.0, 3.0, 1.4), estimate=BOUND, **JUDGED),
            attempts=3,
            seconds=9.0,
            usage=paid,
        ),
        row(2, "passed", Passed(timing=timed(2.0, 1.8, 1.0), **JUDGED), attempts=2),
        row(1, "passed", Passed(estimate=BOUND, **JUDGED), attempts=1),  # correct, not measured
        row(
            3,
            "failed",
            last=Failed(rung="correctness", kind="incorrect_numerical", message="off", **JUDGED),
            attempts=4,
        ),
        row(
            4,
            "unverified",
            Unverified(rung="correctness", message="no emulation", timing=timed(1.0, 9.0, 9.0), **JUDGED),
        ),
        row(5, "nothing proposed", why="no family"),
    ]


def kernelbench_fast_p(entries, baselines, p):
    """KernelBench's definition (src/score.py there) over the two files, paired by place as its analysis pairs them."""
    correct = [entry["correctness"] for entry in entries]
    ratios = [base / entry["runtime"] for base, entry, ok in zip(baselines, entries, correct, strict=True) if ok]
    return sum(ratio > p for ratio in ratios) / len(entries)


@pytest.fixture
def written(rows, tmp_path):
    config = RunConfig(problem="", problem_source="", gpu="h100-sxm", model="playbook")
    members = tuple(one.member for one in rows)
    bench = Bench(source="level1", created_at="2026-01-01", members=members, config=config, budget=Budget())
    return create_bench(tmp_path, bench)


def test_fast_p_is_that_of_kernelbench_over_the_files_it_reads(rows, written):
    folder = write_kernelbench(written, rows)
    (results,) = folder.glob("runs/*/eval_results.json")
    (timing,) = folder.glob("results/timing/H100/*.json")
    entries = {key: value[0] for key, value in json.loads(results.read_text()).items()}
    baselines = json.loads(timing.read_text())["level1"]
    assert list(entries) == ["1", "2", "3", "4", "5", "10"]
    assert list(baselines) == [f"{key}_P.py" for key in entries]
    means = [baseline["mean"] for baseline in baselines.values()]
    ours = speedups(rows, "eager")
    for p in THRESHOLDS:
        assert ours.fast_p[p] == pytest.approx(kernelbench_fast_p(list(entries.values()), means, p))
    assert ours.fast_p == {0.0: 2 / 6, 0.5: 2 / 6, 0.8: 2 / 6, 1.0: 1 / 6, 1.5: 1 / 6, 2.0: 1 / 6}
    assert entries["1"]["runtime"] == -1.0 and entries["3"]["compiled"] and not entries["4"]["correctness"]


def test_middles_are_over_measured_speedups_of_correct_kernels_only(rows):
    eager, best = speedups(rows, "eager"), speedups(rows, "best")
    assert eager.measured == 2
    assert eager.geometric_mean.value == pytest.approx(math.sqrt(3.0 * 0.9))
    assert eager.geometric_mean.low is None, "two figures have no interval worth the name"
    assert best.median.value == pytest.approx((1.4 + 0.5) / 2)
    many = speedups([rows[0], rows[1]] * 4, "eager").geometric_mean
    assert many.low <= many.value <= many.high
    assert speedups(rows[2:], "eager") is None


def test_the_table_keeps_measured_and_estimated_apart(rows):
    text = "\n".join(bench_lines(rows))
    cells = next(line for line in text.splitlines() if line.startswith("10_P")).split()
    assert cells == ["10_P", "passed", "yes", "3.00x", "1.40x", "1", "0.5", "3", "$0.2500", "9"]
    nothing = next(line for line in text.splitlines() if "nothing proposed" in line).split()
    assert nothing[:4] == ["5_P", "nothing", "proposed", "-"], "nothing was judged, so nothing is wrong"
    assert "5_P: nothing proposed: no family" in text
    assert [line.split()[4:7] for line in text.splitlines() if line.startswith("1_P")] == [["-", "-", "0.5"]]
    assert "correct: 3 of 6" in text and "of all 6 problems, 2 measured" in text
    assert "- (no speedup was measured)" in "\n".join(bench_lines(rows[2:]))
    assert bench_json(rows)["speedups"]["eager"]["fast_p"]["1"] == pytest.approx(1 / 6)
    assert totals(rows).cost_usd == 0.25


def test_the_page_links_reports_and_shows_hostile_text_as_text(rows, written):
    (written.path / "run-1").mkdir()
    (written.path / "run-1" / "report.html").write_text("x")
    hostile = row(7, "failed", why="<script>alert(1)</script>", run="run-1")
    text = write_page(written, [*rows, hostile]).read_text()
    assert 'href="run-1/report.html"' in text and "<script>alert" not in text
