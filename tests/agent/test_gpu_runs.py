"""The table of tests/gpu_runs.py, from a run that was recorded on a GPU and from what `agent verify` says."""

import json
from pathlib import Path

import gpu_runs

from evaluators.evaluation import Passed

RECORDED = Path(__file__).parents[2] / "examples" / "convt3d-68-on-an-h100"


def test_a_recorded_run_fills_the_table_with_its_own_figures(tmp_path):
    (tmp_path / "68").mkdir()
    (tmp_path / "68" / RECORDED.name).symlink_to(RECORDED)
    sittings = [gpu_runs.Sitting("68", "reference", tmp_path / "68", 80.0, "holds, 1.87 ms")]
    sittings.append(gpu_runs.Sitting("73", "reference", tmp_path / "73"))
    head, _, own, unmade, *below = gpu_runs.table(sittings).splitlines()
    row = dict(zip(head.split(" | "), own.split(" | "), strict=True))
    assert row["best baseline of the class, ms"] == "33.34 (channels_last)"
    assert row["ours, ms (20 % to 80 %)"] == "1.868 (1.864 to 1.872)", "the confirmation's, not the attempt's 1.865"
    assert (row["clock"], row["of the floor"], row["gain over eager"]) == ("device events", "70 %", "19.7x")
    assert unmade.count("| - ") == 9 and unmade.endswith("| 0 | 0 | not verified |")
    assert "geometric mean of 1 problems: 19.7x over eager, 17.9x over the best" in below[1]
    assert below[-1] == "73: no run"


def test_verify_is_quoted_not_assumed():
    passed = Passed(candidate_id="c", problem="t", gpu="g").model_dump(mode="json")
    assert gpu_runs.verdict_of(0, json.dumps({"evaluation": passed, "regressions": []})) == "holds"
    slower = gpu_runs.verdict_of(1, json.dumps({"evaluation": passed, "regressions": ["measured time: 3 ms"]}))
    assert slower == "REGRESSION: measured time: 3 ms"
    assert gpu_runs.verdict_of(3, "error: no GPU") == "nothing: exit code 3"
