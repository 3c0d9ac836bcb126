"""An export is a file of its own: it says where it comes from, and run as a program it checks itself."""

import ast
import os
import subprocess
import sys

import pytest
import torch

from evaluators.errors import UsageError
from runs.export import export_best, export_source


def run_file(path, source, **variables):
    path.write_text(source)
    environment = {"PATH": os.environ["PATH"], "HOME": str(path.parent), "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        cwd=path.parent,
        env=environment,
        timeout=100,
        check=False,
    )


def test_the_best_is_written_and_its_header_says_what_is_known(recorded):
    path = export_best(recorded, recorded.state().best)
    text = path.read_text()
    assert text == export_source(recorded) == export_source(recorded, 2)
    header = text.partition("\n\n")[0]
    assert all(line.startswith("# ") and len(line) <= 120 for line in header.split("\n"))
    facts = " ".join(line.removeprefix("# ").strip() for line in header.split("\n"))
    for fact in (
        recorded.id,
        "attempt 2",
        "rtx-4090",
        "written by: a-model",
        "verdict: passed",
        "NOT CHECKED: timing: no GPU here",
        "relative error against float64 1e-07",
        "40 registers, 12 bytes spilled",
        "compiled for rtx-4090, not measured",
        "time: NOT MEASURED",
        "estimated lower bound (uncalibrated): 3.25 ms",
        "triton 3.7.1",
    ):
        assert fact in facts, fact
    assert header.replace("\n", "").isprintable()


def test_importing_an_export_runs_no_check(recorded):
    names = {node.name for node in ast.parse(export_source(recorded)).body if hasattr(node, "name")}
    assert names == {"scale", "ModelNew"}


def test_a_right_kernel_checks_itself(recorded, tmp_path):
    done = run_file(tmp_path / "kernel.py", export_source(recorded, 2))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "self-check passed" in done.stdout and "'batch_size': 2" in done.stdout


def test_a_wrong_kernel_fails_its_check(recorded, tmp_path):
    done = run_file(tmp_path / "kernel.py", export_source(recorded, 1), TRITON_INTERPRET="1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "WRONG" in done.stdout and "self-check FAILED" in done.stdout
    assert "failed: incorrect_numerical: off by 2.5" in export_source(recorded, 1)


def test_a_module_that_launches_nothing_is_not_called_right(recorded, tmp_path):
    source = export_source(recorded, 2).replace("if not x.is_cuda:", 'if x.device.type != "cuda":')
    done = run_file(tmp_path / "kernel.py", source, TRITON_INTERPRET="1")
    assert (done.returncode, "no kernel was launched" in done.stdout) == (4, True), done.stdout + done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="what a machine without a GPU says")
def test_a_kernel_that_asks_for_a_device_is_not_checked_without_one_in_one_line(recorded, tmp_path):
    source = export_source(recorded, 2).replace("if not x.is_cuda:", "if torch.cuda.get_device_capability(0) < (9, 0):")
    done = run_file(tmp_path / "kernel.py", source, TRITON_INTERPRET="1")
    assert (done.returncode, done.stderr) == (4, ""), done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("not checked: the kernel does not run in the interpreter (")


def test_a_cuda_kernel_says_that_it_needs_a_gpu(recorded, tmp_path):
    recorded.write(
        2,
        "kernel.py",
        "from torch.utils.cpp_extension import load_inline\n"
        'ext = load_inline(name="e", cpp_sources="", cuda_sources="", functions=[])\n'
        "class ModelNew: pass\n",
    )
    done = run_file(tmp_path / "kernel.py", export_source(recorded, 2))
    assert (done.returncode, done.stdout) == (4, "not checked: a CUDA kernel needs a GPU and nvcc\n"), done.stderr


def test_what_cannot_be_exported_is_said(recorded):
    with pytest.raises(UsageError, match="holds no code to export: the reply holds no code"):
        export_source(recorded, 3)
    with pytest.raises(UsageError, match="has no attempt 9"):
        export_source(recorded, 9)
