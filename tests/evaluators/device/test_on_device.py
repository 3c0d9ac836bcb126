"""What only a GPU can show. Skipped, with the reason, where there is none."""

import shutil
from pathlib import Path

import pytest

from evaluators.candidate import candidate_from
from evaluators.client import JudgeClient
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.constants import with_constants
from evaluators.problem import Problem

HERE = Path(__file__).parent
HONEST = HERE.parent / "data" / "candidates"
SMALL = (HERE.parent / "data" / "reference_small.py").read_text()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="no NVIDIA GPU on this machine"),
]


@pytest.fixture(scope="module")
def judge():
    with JudgeClient(device="cuda") as client:
        yield client


@pytest.fixture(scope="module")
def problem():
    """The small reference with enough work for a clock: 16 -> 24 channels, 16 x 24^3 inputs."""
    sizes = {"batch_size": 16, "in_channels": 16, "out_channels": 24, "depth": 24, "height": 24, "width": 24}
    return Problem(key="medium", title="medium", source=with_constants(SMALL, sizes))


def _judged(judge, problem, text, rungs=None):
    return judge.evaluate(problem, candidate_from(text), load_gpu("auto"), rungs=rungs)


@pytest.mark.parametrize("file", sorted(HONEST.glob("*.py")), ids=lambda path: path.stem)
def test_honest_candidates_pass_and_are_timed(judge, problem, file):
    evaluation = _judged(judge, problem, file.read_text())
    assert evaluation.verdict == "passed", evaluation.message
    timing = evaluation.timing
    assert timing.latency.samples >= 7
    assert timing.verified_calls >= 7
    assert abs(timing.outside.median_ms - timing.latency.median_ms) < 0.1 * timing.latency.median_ms + 0.1
    assert timing.latency.median_ms > timing.floor_ms
    assert timing.baselines.eager.latency.median_ms > 0
    assert timing.is_target


@pytest.mark.parametrize("name", ["side_stream", "patch_timer"])
def test_the_judges_clock_alone_finds_time_that_is_hidden(judge, problem, name):
    evaluation = _judged(judge, problem, (HERE / "data" / f"{name}.py").read_text(), rungs=("timing",))
    assert evaluation.verdict == "failed", evaluation
    assert evaluation.kind in ("untrustworthy_timing", "incorrect_numerical"), evaluation.message


def test_a_kernel_that_never_ends_is_ended_and_the_device_still_works(judge, problem):
    text = (HONEST / "direct_triton.py").read_text()
    hanging = text.replace(
        "offs = tl.program_id(0)",
        "while tl.load(x_ptr, volatile=True) < 1e30:\n        pass\n    offs = tl.program_id(0)",
        1,
    )
    assert hanging != text
    evaluation = _judged(judge, problem, hanging, rungs=("timing",))
    assert evaluation.verdict == "failed"
    assert evaluation.kind == "timeout", evaluation.message
    assert _judged(judge, problem, text, rungs=("timing",)).verdict == "passed"


def test_an_address_outside_ends_that_candidate_only(judge, problem):
    text = (HONEST / "direct_triton.py").read_text()
    wild = text.replace("tl.load(x_ptr +", "tl.load(x_ptr + (1 << 42) +", 1)
    assert wild != text
    evaluation = _judged(judge, problem, wild, rungs=("timing",))
    assert evaluation.verdict == "failed"
    assert evaluation.kind in ("runtime_error", "crashed"), evaluation.message
    assert _judged(judge, problem, text, rungs=("timing",)).verdict == "passed"


def test_memory_that_is_kept_is_found(judge, problem):
    text = (HONEST / "direct_triton.py").read_text() + (
        "\n\n_forward = ModelNew.forward\n_KEPT = []\n\n\ndef _keep(self, x):\n    y = _forward(self, x)\n"
        '    _KEPT.append(torch.empty(1 << 28, dtype=torch.uint8, device="cuda"))\n    return y\n\n\nModelNew.forward = _keep\n'
    )
    evaluation = _judged(judge, problem, text, rungs=("timing",))
    assert evaluation.verdict == "failed"
    assert evaluation.kind == "out_of_memory", evaluation.message


def test_baselines_of_all_settings(judge, problem):
    found, environment = judge.baselines(problem)
    names = {baseline.name for baseline in found.measured}
    assert {"eager", "fp32_highest", "cudnn_benchmark", "channels_last", "bf16"} <= names
    assert found.eager.latency.median_ms > 0
    assert found.best("tf32").latency.median_ms <= found.eager.latency.median_ms
    assert environment["driver"] != "unknown"


def test_the_reference_through_the_same_protocol_takes_as_long_as_in_the_judge(judge, problem):
    text = problem.source.replace("class Model(", "class ModelNew(").replace("super(Model", "super(ModelNew")
    allowed = problem.model_copy(update={"library_ops": ("aten.convolution",)})
    evaluation = _judged(judge, allowed, text, rungs=("timing",))
    assert evaluation.verdict == "passed", evaluation.message
    eager = evaluation.timing.baselines.eager.latency.median_ms
    assert evaluation.timing.latency.median_ms == pytest.approx(eager, rel=0.1, abs=0.03)
    assert 0 < evaluation.timing.protocol_error_ms < evaluation.timing.protocol_ms


def test_the_references_error_is_of_the_size_that_users_run(judge, problem):
    """As a library chooses its algorithm by size: here fewer bits for many batch items than for a single one."""
    rounded = problem.source.replace(
        "return self.conv_transpose3d(x)",
        "return self.conv_transpose3d(x.half().float() if len(x) > 1 else x)",
    )
    assert rounded != problem.source
    found, _ = judge.baselines(problem.model_copy(update={"source": rounded}))
    assert next(b for b in found.measured if b.name == "fp32_highest").error > 5e-5


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on this machine")
def test_a_device_that_is_not_the_target_is_named(judge, problem):
    evaluation = judge.evaluate(
        problem, candidate_from((HONEST / "direct_triton.py").read_text()), load_gpu("4090"), rungs=("build", "timing")
    )
    assert evaluation.verdict == "passed", evaluation.message
    assert not evaluation.timing.is_target
    assert evaluation.kernels  # compiled for the target as well


@pytest.mark.skipif(len(list(Path("/dev").glob("nvidia[0-9]*"))) < 2, reason="one GPU on this machine")
def test_a_judge_that_was_given_the_second_card_judges_there(problem):
    with JudgeClient(device="cuda", environment={"CUDA_VISIBLE_DEVICES": "1"}) as second:
        evaluation = _judged(second, problem, (HONEST / "direct_triton.py").read_text())
    assert evaluation.verdict == "passed", evaluation.message
