"""Exports as their consumers load them."""

import base64
import hashlib
import importlib
import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import replace
from pathlib import Path

import measured
import pytest
import torch

from evaluators.errors import UsageError
from evaluators.evaluation import Check
from evaluators.problem import Problem
from runs.exports import hf, kernelbench, standalone, torch_op
from runs.exports.card import card_of, code_sha256, kernel_code, read_card
from runs.exports.winner import verified, winner_of
from runs.store import RunDirectory


@pytest.fixture
def winner(recorded):
    return winner_of(recorded)


def write(files, folder):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def test_a_standalone_file_carries_a_card_and_its_kernel_verbatim(winner):
    (text,) = standalone.files(winner).values()
    card = read_card(text)
    assert card == card_of(winner)
    assert (card.verdict, card.estimated_bound_ms, card.registers, card.spills) == ("passed", 3.25, 40, 12)
    assert kernel_code(text).strip() == winner.source.strip()
    assert code_sha256(kernel_code(text)) == card.code_sha256


def test_only_a_file_that_can_be_imported_is_said_to_be(winner):
    assert standalone.loading(winner, Path("my_kernel.py")).endswith("from my_kernel import ModelNew")
    assert standalone.loading(winner, Path("out/my-kernel.py")) == "check it: python out/my-kernel.py"
    assert standalone.loading(winner, Path("my k.py")) == "check it: python 'my k.py'"
    assert "pip install --no-deps './my op', " in torch_op.loading(winner, Path("my op"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# run:", "import os\n# run:"),
        ("# run:", "# -*- coding: utf-7 -*-\n# run:"),
        ("# run:", "#\rimport os\r# run:"),
        ('if __name__ == "__main__":', "if True:"),
        ('if __name__ == "__main__":', 'if __name__ == "__main__" or ModelNew:'),
        ("class ModelNew", '__name__ = "__main__"\n\n\nclass ModelNew'),
        ("\n\n# --- self-check:", "\n\n# --- self-check:\nModelNew = None\n# --- self-check:"),
    ],
)
def test_a_file_that_does_more_than_its_kernel_has_no_kernel_to_judge(winner, old, new):
    (text,) = standalone.files(winner).values()
    changed = text.replace(old, new, 1)
    assert changed != text
    with pytest.raises(UsageError, match="outside its kernel"):
        kernel_code(changed)


def test_what_is_changed_in_the_kernel_is_judged(winner):
    (text,) = standalone.files(winner).values()
    assert "import os" in kernel_code(text.replace("import torch\n", "import torch\nimport os\n", 1))


def test_no_file_of_a_tree_shadows_the_standard_library(winner):
    for form in (hf, torch_op):
        names = {path.rpartition("/")[2].removesuffix(".py") for path in form.files(winner) if path.endswith(".py")}
        assert names.isdisjoint(sys.stdlib_module_names), names


def test_the_lines_of_a_card_can_be_pasted(winner, tmp_path):
    """The lines for a machine without the package `kernels`."""
    folder = write(hf.files(winner), tmp_path / "kernel")
    card = (folder / "CARD.md").read_text()
    plain = (
        card.partition("Without it:")[2].partition("Then:")[0] + card.partition("Then:")[2].partition("`Operator`")[0]
    )
    code = "\n".join(line.removeprefix("    ") for line in plain.split("\n") if line.startswith("    "))
    smaller = code.replace("for x in operator_package.reference.get_inputs()", "for x in [torch.rand(2, 3, 48)]")
    assert smaller != code and "loading" not in card
    done = subprocess.run([sys.executable, "-c", smaller], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "takes the kernel: False" in done.stdout, done.stderr


def test_a_card_that_is_missing_or_damaged_is_said(winner):
    (text,) = standalone.files(winner).values()
    for broken in ("import torch", text.replace("# ///\n", ""), text.replace('"attempt": 2', '"attempt": "x"')):
        with pytest.raises(UsageError, match="card"):
            read_card(broken)


def test_a_kernel_that_did_not_pass_is_refused_unless_asked_for(recorded):
    with pytest.raises(UsageError, match="--allow-unverified"):
        verified(winner_of(recorded, 1))
    header = standalone.files(winner_of(recorded, 1)).popitem()[1].partition("\n\n")[0]
    assert "verdict: failed: incorrect_numerical" in header and '"verdict": "failed"' in header


def test_the_operator_package_passes_its_own_tests(winner, tmp_path):
    """float64, opcheck, torch.compile(fullgraph=True) and the fallback, in a process of its own."""
    evaluation = winner.attempt.evaluation
    checks = (*evaluation.checks, Check(name="general", status="passed"))
    attempt = winner.attempt.model_copy(update={"evaluation": evaluation.model_copy(update={"checks": checks})})
    folder = write(torch_op.files(replace(winner, attempt=attempt)), tmp_path / "package")
    assert "4 passed" in own_tests(folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="what a machine without a GPU says")
def test_the_tests_of_an_operator_that_nothing_interprets_are_skipped_without_a_gpu(tmp_path):
    winner = winner_of(RunDirectory(Path(__file__).parents[3] / "examples" / "convt3d-68-on-an-h100"))
    said = own_tests(write(torch_op.files(winner), tmp_path / "package"))
    assert "1 passed, 3 skipped" in said and "the kernel does not run in the interpreter" in said


def own_tests(folder):
    """What pytest says of a package, in a process of its own."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", "tests"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


@pytest.mark.parametrize(
    ("held", "taken"),
    [((), (False, False)), (("general",), (True, False)), (("general", "larger_sizes"), (True, True))],
)
def test_no_larger_size_takes_the_kernel_unless_larger_ones_were_judged(winner, held, taken):
    checks = tuple(Check(name=name, status="passed", detail="right") for name in held)
    evaluation = winner.attempt.evaluation.model_copy(update={"checks": checks})
    text = torch_op.operator_sources(
        replace(winner, attempt=winner.attempt.model_copy(update={"evaluation": evaluation}))
    )["torch_operator.py"]
    names = {"IS_GENERAL": f"IS_GENERAL = {taken[0]}", "IS_LARGER_JUDGED": f"IS_LARGER_JUDGED = {taken[1]}"}
    assert all(said in text for said in names.values())
    guard = text.partition("    @staticmethod\n")[2].partition("\n\n")[0]
    namespace = {"IS_GENERAL": taken[0], "IS_LARGER_JUDGED": taken[1]}
    exec(textwrap.dedent(guard), namespace)
    is_judged_size = namespace["is_judged_size"]
    assert is_judged_size((16, 1000), (16, 1000))
    assert (is_judged_size((3, 1000), (16, 1000)), is_judged_size((3, 1001), (16, 1000))) == taken


@pytest.mark.parametrize("variant", ["torch-cuda", "torch-universal"])
def test_the_hugging_face_tree_is_what_the_loader_reads(winner, tmp_path, variant):
    folder = write(hf.files(winner), tmp_path / "kernel")
    build = tomllib.loads((folder / "build.toml").read_text())
    assert isinstance(build["general"]["version"], int) and "torch-noarch" in build
    built = folder / "build" / variant
    metadata = json.loads((built / "metadata.json").read_text())
    assert metadata["id"].isidentifier()
    assert set(metadata["digest"]["files"]) == {str(path.relative_to(built)) for path in built.rglob("*.py")}
    for name, digest in metadata["digest"]["files"].items():
        assert base64.b64encode(hashlib.sha256((built / name).read_bytes()).digest()).decode() == digest
    assert f"torch.ops.{metadata['id']}" in (built / "_ops.py").read_text()


def test_a_cuda_kernel_is_no_universal_one(winner):
    source = "from torch.utils.cpp_extension import load_inline\nmodule = load_inline(name='k')\n"
    found = hf.files(replace(winner, source=source))
    assert {path.split("/")[1] for path in found if path.startswith("build/")} == {"torch-cuda"}


IN_PROCESS = """
import importlib.util, sys
from pathlib import Path
folder = Path(sys.argv[1])
if sys.argv[2] == "kernels":
    import kernels
    module = kernels.get_local_kernel(folder, backend="cpu")  # universal: the one variant that suits a CPU
else:
    (inner,) = (folder / "build" / "torch-universal").glob("*/__init__.py")
    spec = importlib.util.spec_from_file_location("x", inner)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
import torch
operator = module.Operator(48)
assert not operator.uses_kernel(torch.rand(2, 3, 48)), "no GPU, no gradient-free call: the reference"
assert operator(torch.rand(2, 3, 48)).shape == (2, 3, 48)
"""


@pytest.mark.parametrize("loader", ["kernels", "the folder of its name"])
def test_the_universal_tree_is_loaded(winner, tmp_path, loader):
    """By `kernels.get_local_kernel` where it is installed, and as earlier loaders did it; in a process of its own."""
    if loader == "kernels":
        pytest.importorskip("kernels", reason="the package `kernels` is not installed")
    folder = write(hf.files(winner), tmp_path / "kernel")
    command = [sys.executable, "-c", IN_PROCESS, str(folder), loader]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_kernelbench_reads_sample_0_and_is_told_that_nothing_was_timed(recorded, tmp_path):
    with pytest.raises(UsageError, match="level and number"):
        kernelbench.files(winner_of(recorded))
    run, path = recorded.run, recorded.path / "run.json"
    problem = Problem.model_validate_json(run.config.problem_source).model_copy(
        update={"title": "Scale (KernelBench level 1, problem 68)"}
    )
    config = run.config.model_copy(update={"problem_source": problem.model_dump_json()})
    path.write_text(run.model_copy(update={"config": config}).model_dump_json())
    folder = write(kernelbench.files(winner_of(type(recorded)(recorded.path))), tmp_path / "kb") / "runs" / recorded.id
    (kernel,) = folder.glob("*_kernel.py")
    assert re.fullmatch(r"level_1_problem_68_sample_0_kernel\.py", kernel.name)
    (entry,) = json.loads((folder / "eval_results.json").read_text())["68"]
    assert set(entry) == {"sample_id", "compiled", "correctness", "metadata", "runtime", "runtime_stats"}
    assert (entry["sample_id"], entry["compiled"], entry["correctness"], entry["runtime"]) == (0, True, True, -1.0)
    assert entry["metadata"]["runtime"] == "not measured"


def test_kernelbench_is_told_the_measured_median(recorded_measured):
    entry = kernelbench.entry_of(recorded_measured.state().best.evaluation, "rtx-4090")
    assert entry["runtime"] == 2.5 and entry["runtime_stats"]["p80"] == 2.525
    assert entry["metadata"]["device"] == measured.TARGET and entry["metadata"]["estimated_lower_bound_ms"] == 3.25


def test_a_card_carries_what_was_measured(recorded_measured):
    (text,) = standalone.files(winner_of(recorded_measured)).values()
    card = read_card(text)
    assert card.timing == measured.timing() and card.duel.pairs == 30
    assert card.baselines.best("tf32").name == "channels_last_3d" and card.environment["driver"] == "999.99"
    assert read_card(standalone.files(winner_of(recorded_measured, 7)).popitem()[1]).timing is None, "not believed"


def test_every_format_of_the_command_line_is_a_file():
    review_cli = importlib.import_module("agent.review_cli")
    for kind in review_cli.Format:
        assert importlib.import_module(f"runs.exports.{kind.value.replace('-', '_')}").files
    for destination in review_cli.Destination:
        assert importlib.import_module(f"runs.exporters.{destination.value}").send
