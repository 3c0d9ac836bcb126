"""Candidates written in CUDA on a real GPU. Skipped, with the reason, where there is none."""

import shutil
from pathlib import Path

import pytest

from evaluators.candidate import candidate_from
from evaluators.client import JudgeClient
from evaluators.gpu_catalog import load_gpu
from evaluators.problem import Problem

HERE = Path(__file__).parent
TEXTS = HERE.parent / "cuda" / "data"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="no NVIDIA GPU on this machine"),
    pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on this machine"),
]

LARGE = (TEXTS / "doubled_large.py").read_text()
TWICE = """
import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r'''
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>
__global__ void twice(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) { BODY }
}
torch::Tensor run(torch::Tensor x) {
  auto y = torch::empty_like(x);
  const int n = COUNT;
  LAUNCH
  return y;
}
'''
extension = load_inline(name="twice", cpp_sources="torch::Tensor run(torch::Tensor x);", cuda_sources=CUDA,
                        functions=["run"])


class ModelNew(nn.Module):
    def forward(self, x):
        return extension.run(x.contiguous())
"""
ON_CURRENT_STREAM = "twice<<<(n + 255) / 256, 256, 0, c10::cuda::getCurrentCUDAStream()>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);"
ON_ANOTHER = """static cudaStream_t other = nullptr;
  if (!other) cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  for (int i = 0; i < 40; ++i) twice<<<(n + 255) / 256, 256, 0, other>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);"""


def text(body="y[i] = 2.f * x[i];", count="x.numel()", launch=ON_CURRENT_STREAM):
    return TWICE.replace("BODY", body).replace("COUNT", count).replace("LAUNCH", launch)


@pytest.fixture(scope="module")
def judge():
    with JudgeClient(device="cuda") as client:
        yield client


def judged(judge, source, rungs=None):
    problem = Problem(key="doubled", title="doubled", source=LARGE)
    return judge.evaluate(problem, candidate_from(source), load_gpu("auto"), rungs=rungs)


def test_an_honest_text_is_right_timed_and_profiled(judge):
    evaluation = judged(judge, text())
    assert evaluation.verdict == "passed", evaluation.message
    assert evaluation.timing.build_s > 0.5
    assert evaluation.timing.latency.median_ms > evaluation.timing.floor_ms
    assert {check.name: check.status for check in evaluation.checks}["on_device"] == "passed"
    assert any(metric.kernel.startswith("twice") for metric in evaluation.profile.metrics)


def test_a_transposed_convolution_in_cuda_is_right_on_the_device(judge):
    problem = Problem(key="transposed", title="transposed", source=(TEXTS / "transposed.py").read_text())
    candidate = candidate_from((TEXTS / "honest.py").read_text())
    evaluation = judge.evaluate(problem, candidate, load_gpu("auto"))
    assert evaluation.verdict == "passed", evaluation.message
    assert evaluation.timing.latency.samples >= 7


def test_what_the_emulation_does_not_cover_is_judged_on_the_device(judge):
    evaluation = judged(judge, text('float t = x[i]; asm volatile("add.f32 %0, %0, %0;" : "+f"(t)); y[i] = t;'))
    assert evaluation.verdict == "passed", evaluation.message
    assert "inline PTX" in {check.name: check.detail for check in evaluation.checks}["interpreted"]


def test_a_text_that_needs_more_of_pytorch_is_built_with_its_headers(judge):
    evaluation = judged(judge, text(count="x.sym_numel().expect_int()"))
    assert evaluation.verdict == "passed", evaluation.message
    assert "PyTorch" in evaluation.build_log
    assert evaluation.timing.build_s > 5


@pytest.mark.parametrize(
    ("launch", "rungs"),
    [(ON_ANOTHER, ("timing",)), ("", None), (ON_CURRENT_STREAM.replace("n);", "n / 2);"), None)],
    ids=["on a stream of its own", "no launch", "half the work"],
)
def test_cheats_in_cuda_fail(judge, launch, rungs):
    evaluation = judged(judge, text(launch=launch), rungs)
    assert evaluation.verdict == "failed", evaluation
    # a stream of its own may still write when its memory is gone: then the cheat has ended itself
    kinds = ("untrustworthy_timing", "incorrect_numerical", "rejected", "runtime_error")
    assert evaluation.kind in kinds, evaluation.message


def test_a_wild_address_ends_that_candidate_only(judge):
    assert judged(judge, text("y[i + (1ll << 40)] = x[i];"), ("correctness",)).kind in ("crashed", "runtime_error")
    assert judged(judge, text()).verdict == "passed"
