"""Problems are found by key, word, path and KernelBench number; what is wrong with a file is said in one line."""

from pathlib import Path

import pytest

from evaluators.errors import BadProblem, UnknownProblem
from evaluators.problem import Tolerance
from evaluators.problem_catalog import all_problems, load_problem, problem_from

PLAIN = '''import torch
import torch.nn as nn

class Model(nn.Module):
    """Row-wise softmax.

    More words.
    """
    def forward(self, x):
        return torch.softmax(x, 1)

def get_inputs():
    return [torch.rand(4, 8)]

def get_init_inputs():
    return []
'''


def test_the_seven_transposed_convolutions_are_built_in():
    numbers = (58, 61, 68, 70, 72, 73, 77)
    assert [problem.key for problem in all_problems()] == [f"convt3d-{number}" for number in numbers]
    assert all(f"problem {n})" in p.title for n, p in zip(numbers, all_problems(), strict=True))


def test_convt3d_means_68_and_says_so():
    problem = load_problem("convt3d")
    assert problem.key == "convt3d-68"
    assert problem.source == load_problem("CONVT3D-68").source
    (note,) = problem.notes
    assert "taken as convt3d-68" in note
    assert "convt3d-73" in note
    assert load_problem("convt3d-68").notes == ()


def test_a_kernelbench_file_is_taken_unchanged(tmp_path):
    path = tmp_path / "23_Softmax.py"
    path.write_text(PLAIN)
    problem = load_problem(str(path))
    assert problem.source == PLAIN
    assert problem.key == "23_Softmax"
    assert problem.title == "Row-wise softmax."
    assert problem.tolerance == Tolerance()


@pytest.mark.parametrize(
    "key", ["1/23", "level1/23", "kernelbench:1/23", "kernelbench:1:23", "kernelbench-1-23", "Level1/23"]
)
@pytest.mark.parametrize("layout", ["KernelBench/level1", "level1"])
def test_kernelbench_numbers(tmp_path, monkeypatch, key, layout):
    folder = tmp_path / layout
    folder.mkdir(parents=True)
    (folder / "23_Softmax.py").write_text(PLAIN)
    (folder / "2_Other.py").write_text("nothing")
    monkeypatch.setenv("KERNELBENCH_DIR", str(tmp_path))
    problem = load_problem(key)
    assert problem.source == PLAIN
    assert load_problem(problem.key) == problem
    with pytest.raises(UnknownProblem, match="no problem 1/24"):
        load_problem("1/24")


def test_kernelbench_without_a_checkout_names_the_variable_and_the_twin(monkeypatch):
    monkeypatch.delenv("KERNELBENCH_DIR", raising=False)
    with pytest.raises(UnknownProblem, match=r"KERNELBENCH_DIR.*convt3d-68"):
        load_problem("1/68")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("convt3d-69", "convt3d-6"),
        ("conv3d", "nearest: convt3d-68"),
        ("convt4d", "convt3d-68"),
        ("zzz", "nothing"),
        ("absent.py", "no problem file"),
    ],
)
def test_unknown_problems_name_the_nearest(key, said):
    with pytest.raises(UnknownProblem) as caught:
        load_problem(key)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "no Model, get_inputs, get_init_inputs"),
        (PLAIN.replace("def get_init_inputs", "def other"), "no get_init_inputs"),
        (PLAIN.replace("class Model(nn.Module):", "class Model(nn.Module:"), ":4: syntax error"),
        ("a\0b", "null"),
    ],
)
def test_a_file_that_is_no_problem(tmp_path, text, said):
    path = tmp_path / "p.py"
    path.write_text(text)
    with pytest.raises(BadProblem) as caught:
        load_problem(str(path))
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_files_are_bad_problems(tmp_path):
    (tmp_path / "p.py").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "p.py", Path(f"{tmp_path}/")):
        with pytest.raises((BadProblem, UnknownProblem), match=str(tmp_path)):
            load_problem(f"{path}/" if path.is_dir() else str(path))


BLOCK = """# a comment may stand before it
# /// problem
# title = "Softmax"
# library_ops = ["torch.nn.functional.pad"]
#
# [tolerance]
# error_multiple = 3.0
# ///
"""


def test_the_block_adds_what_the_format_lacks():
    problem = problem_from(BLOCK + PLAIN, key="softmax")
    assert problem.title == "Softmax"
    assert problem.library_ops == ("torch.nn.functional.pad",)
    assert problem.tolerance == Tolerance(error_multiple=3.0)
    assert problem.source == BLOCK + PLAIN


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (('title = "Softmax"', 'titel = "Softmax"'), 3, "unknown field 'titel'"),
        (("error_multiple = 3.0", "error_multipel = 3.0"), 7, "unknown field 'tolerance.error_multipel'"),
        (("error_multiple = 3.0", 'error_multiple = "big"'), 7, "'tolerance.error_multiple'"),
        (('title = "Softmax"', "title = Softmax"), 3, "Invalid value"),
        (("# ///\n", ""), 8, "not closed"),
        (("# a comment may stand before it", "import os"), 2, "before the first line of code"),
    ],
)
def test_mistakes_in_the_block_name_file_and_line(change, line, said):
    assert change[0] in BLOCK
    text = BLOCK.replace(change[0], change[1]) if change[1] else BLOCK[: BLOCK.rindex("# ///")]
    with pytest.raises(BadProblem) as caught:
        problem_from(text + PLAIN, key="softmax", path="dir/softmax.py")
    assert str(caught.value).startswith(f"dir/softmax.py:{line}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
