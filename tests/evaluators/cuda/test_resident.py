"""Telling written from untouched memory; in a process of its own, because the allocator is changed."""

import subprocess
import sys

PROGRAM = """
import torch
from evaluators.inside.resident import fresh_pages, written_elements
fresh_pages()
torch.full((5_000_000,), 3.0)  # freed: the next tensor must not get its memory
for make in (torch.empty, torch.zeros):
    x = make(4_000_000)
    x[1_000_000:1_000_256] = 2.0
    x[3_000_000:3_008_192] = 0.0  # at least three whole pages of zeros
    offsets, values = written_elements(x, 100_000)
    twos = offsets[values == 2.0]
    assert twos.tolist() == list(range(1_000_000, 1_000_256)), len(twos)
    rest = offsets[values != 2.0]
    assert ((rest >= 3_000_000 - 1024) & (rest < 3_008_192 + 1024)).all() and not values[values != 2.0].any()
    assert make is torch.zeros or len(rest) >= 3 * 1024, len(rest)
x.fill_(1.0)
assert len(written_elements(x, 1000)[0]) == 1000
assert len(written_elements(torch.ones(10), 1000)[0]) == 0
"""


def test_pages_that_exist_hold_what_was_written() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
