"""A SPACE is read from the text, its points differ from the file in their literals alone, and what is wrong is said."""

import ast

import pytest

from agent.space import MOST_POINTS, BadSpace, read_space

FILE = """import triton.language as tl

ä, PATH = "ä", "x"
BLOCK_M = 64  # rows
BLOCK_K: tl.constexpr = tl.constexpr(32); NUM_WARPS = 4
PRECISION = "tf32"
SPACE = {"BLOCK_M": [64, 128], "BLOCK_K": (16, 32, 64), "NUM_WARPS": [8], "PRECISION": ["tf32", "ieee"]}


def launch(x, BLOCK_M=BLOCK_M):
    NUM_WARPS = 2
    return x, "BLOCK_M = 64"
"""


MANY = "".join(f"P{n} = 0\n" for n in range(8)) + f"SPACE = { ({f'P{n}': [0, 1, 2, 3] for n in range(8)}) }\n"


def test_values_own_point_and_neighbours():
    space = read_space(FILE)
    assert space.values(space.own) == {"BLOCK_M": 64, "BLOCK_K": 32, "NUM_WARPS": 4, "PRECISION": "tf32"}
    assert [parameter.values for parameter in space.parameters] == [(64, 128), (16, 32, 64), (4, 8), ("tf32", "ieee")]
    near = [space.values(point) for point in space.neighbours(space.own)]
    assert [values["BLOCK_K"] for values in near] == [32, 64, 16, 32, 32]
    every = space.by_distance(space.own)
    assert len(every) == 2 * 3 * 2 * 2 - 1
    assert every[: len(near)] and {*every[: len(near)]} == {*space.neighbours(space.own)}


def test_a_point_changes_its_literals_and_nothing_else():
    space = read_space(FILE)
    assert space.at(space.own) == FILE
    moved = space.at((1, 2, 1, 1))
    changed = [(old, new) for old, new in zip(FILE.split("\n"), moved.split("\n"), strict=True) if old != new]
    assert changed == [
        ("BLOCK_M = 64  # rows", "BLOCK_M = 128  # rows"),
        (
            "BLOCK_K: tl.constexpr = tl.constexpr(32); NUM_WARPS = 4",
            "BLOCK_K: tl.constexpr = tl.constexpr(64); NUM_WARPS = 8",
        ),
        ('PRECISION = "tf32"', "PRECISION = 'ieee'"),
    ]
    again = read_space(moved)
    assert again.values(again.own) == space.values((1, 2, 1, 1))


def test_a_space_without_a_parameter_leaves_it_alone():
    space = read_space(FILE).without({"BLOCK_K", "PRECISION"})
    assert len(space.by_distance(space.own)) == 3
    assert all("tl.constexpr(32)" in space.at(point) for point in space.by_distance(space.own))


@pytest.mark.parametrize("text", ["", "x = 1\n", "def broken(:\n", "def f():\n    SPACE = {'A': [1]}\n"])
def test_no_space_is_none(text):
    assert read_space(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SPACE = make()\n", "literal dict"),
        ("SPACE = {}\n", "1 to 8 names"),
        ("SPACE = {'A': 64}\n", "list of 1 to 16"),
        ("SPACE = {'A': [1, None]}\n", "numbers or strings"),
        ("SPACE = {'A': [1, 2]}\n", "A must be assigned exactly once"),
        ("A = 1\nA = 2\nSPACE = {'A': [1, 2]}\n", "A must be assigned exactly once"),
        ("A, B = 1, 2\nSPACE = {'A': [1, 2]}\n", "A must be assigned exactly once"),
        ("A = 1\ndef f():\n    global A\n    A = 2\nSPACE = {'A': [1, 2]}\n", "A must be assigned exactly once"),
        ("A = B\nSPACE = {'A': [1, 2]}\n", "a number or a string on one line"),
        ("A = '''x\ny'''\nSPACE = {'A': ['p', 'q']}\n", "on one line"),
        ("A = 1\nSPACE = {'A': [1]}\nSPACE = {'A': [2]}\n", "SPACE must be assigned exactly once"),
        (MANY, f"{MOST_POINTS} are allowed"),
    ],
)
def test_what_cannot_be_searched_says_why(text, words):
    ast.parse(text)
    with pytest.raises(BadSpace, match=words):
        read_space(text)
