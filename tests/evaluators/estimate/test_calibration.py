"""What is said of a bound: calibrated, or not, and how well; and how pairs become that."""

import importlib.util
import json
from pathlib import Path

import pytest

from evaluators.calibration import Calibration, calibration_words

ROOT = Path(__file__).resolve().parents[3]
spec = importlib.util.spec_from_file_location("calibrate", ROOT / "tests" / "calibrate.py")
calibrate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(calibrate)
KNOWN = sorted((ROOT / "evaluators" / "calibrations").glob("*.toml"))


def pairs(*rows):
    return [calibrate.Pair(problem, f"k{i}", bound, measured) for i, (problem, bound, measured) in enumerate(rows)]


def test_ratios_and_ranks_are_those_of_the_pairs():
    found = calibrate.calibration(
        pairs(("a", 1, 3), ("a", 2, 5), ("a", 3, 4), ("b", 100, 200), ("b", 110, 180), ("c", 50, 150)),
        "h100",
        "a command",
    )
    assert (found.gpu, found.kernels, found.problems) == ("h100-sxm", 6, 3)
    assert found.median_ratio == pytest.approx(2.25, abs=0.01)
    assert 0.8 < found.spearman < 1
    assert found.spearman_within < found.spearman, "large problems must not do the ranking"


def test_equal_values_share_a_rank():
    assert calibrate.spearman([1, 2, 2, 3], [1, 2, 2, 3]) == pytest.approx(1)
    assert calibrate.spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)


def test_a_bound_is_calibrated_only_for_the_gpu_and_compiler_that_were_looked_at():
    assert calibration_words("t4", "9.9") == (False, "not calibrated for t4 with Triton 9.9")
    for path in KNOWN:
        gpu, triton = path.stem, next(line for line in path.read_text().splitlines() if line.startswith("triton"))
        is_known, said = calibration_words(gpu, json.loads(triton.split(" = ")[1]))
        assert is_known and said.startswith("calibrated over ") and "Spearman" in said
        is_known, said = calibration_words(gpu, "0.1")
        assert not is_known and said.startswith(f"not calibrated for {gpu} with Triton 0.1; over ")


def test_the_kept_pairs_give_the_kept_figures():
    assert KNOWN
    for path in KNOWN:
        rows = (ROOT / "docs" / "calibration" / f"{path.stem}.csv").read_text().splitlines()[1:]
        kept = Calibration.model_validate(calibrate_toml(path))
        assert len(rows) == kept.kernels >= 20
        parts = [row.rsplit(",", 2) for row in rows]
        assert calibrate.spearman([float(p[1]) for p in parts], [float(p[2]) for p in parts]) == pytest.approx(
            kept.spearman, abs=0.01
        )


def calibrate_toml(path):
    import tomllib

    return tomllib.loads(path.read_text())


def test_a_picture_holds_every_pair():
    some = pairs(("a", 1, 3), ("b", 20, 50))
    text = calibrate.picture(
        calibrate.calibration([*some, *pairs(("a", 2, 5), ("b", 30, 70))], "h100", "a command"), some
    )
    assert text.count("<circle") == 2 and "measured 50 ms" in text
