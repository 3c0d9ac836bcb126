"""Folders and levels of KernelBench files: order, names, broken members."""

from pathlib import Path

import pytest

from evaluators.errors import UnknownProblem, UsageError
from evaluators.problem_sets import load_problem_set

FILE = "class Model: pass\ndef get_inputs(): pass\ndef get_init_inputs(): pass\n"
EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "problems"


def put(path, text=FILE):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_members_are_in_the_order_of_their_numbers_and_broken_ones_say_why(tmp_path):
    put(tmp_path / "10_b.py", FILE + "x = 1\n")
    put(tmp_path / "2_a.py")
    put(tmp_path / "3_broken.py", "def get_inputs(: pass")
    put(tmp_path / "_private.py")
    members = load_problem_set(str(tmp_path))
    assert [(member.key, member.number) for member in members] == [("2_a", 2), ("3_broken", 3), ("10_b", 10)]
    assert "syntax error" in members[1].broken and members[1].problem is None
    assert members[0].at_precision("fp32").problem.tolerance.precision == "fp32"


def test_a_level_of_a_checkout_and_all_of_them(tmp_path, monkeypatch):
    put(tmp_path / "KernelBench" / "level1" / "1_same.py")
    put(tmp_path / "KernelBench" / "level2" / "1_same.py", FILE + "x = 1\n")
    monkeypatch.setenv("KERNELBENCH_DIR", str(tmp_path))
    (only,) = load_problem_set("kernelbench:2")
    assert (only.key, only.level, only.number, only.file) == ("1_same", 2, 1, "1_same.py")
    both = load_problem_set("kernelbench")
    assert [(member.key, member.level) for member in both] == [("level1/1_same", 1), ("level2/1_same", 2)]


def test_what_is_no_set_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("KERNELBENCH_DIR", raising=False)
    with pytest.raises(UsageError, match="KERNELBENCH_DIR"):
        load_problem_set("kernelbench:1")
    with pytest.raises(UnknownProblem, match="no folder"):
        load_problem_set(str(tmp_path / "nowhere"))
    with pytest.raises(UnknownProblem, match=r"no \.py file"):
        load_problem_set(str(tmp_path))


def test_the_examples_are_problems():
    members = load_problem_set(str(EXAMPLES))
    assert len(members) >= 30 and not [member.broken for member in members if member.broken]
    assert [member.number for member in members] == list(range(1, len(members) + 1))
