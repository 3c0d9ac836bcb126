"""A small recorded run: a problem, attempts of every kind, their files."""

import measured
import pytest

from evaluators.candidate import candidate_from
from evaluators.evaluation import Check, Estimate, Failed, KernelResources, NumericError, Passed
from evaluators.problem import Problem
from runs.nouns import Attempt, Attempted, Proposed, Run, RunConfig, Usage
from runs.record import open_record
from runs.store import create_run, now

REFERENCE = '''\
import torch
from torch import nn


class Model(nn.Module):
    """Scale by a learned vector; the text holds """ + "awkward \\\\ text" + """ on purpose."""

    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(width))

    def forward(self, x):
        return x * self.scale


batch_size = 4096
width = 48
depth = 4096


def get_inputs():
    return [torch.rand(batch_size, depth, width)]


def get_init_inputs():
    return [width]
'''.replace('"""Scale', "'''Scale").replace('purpose."""', "purpose.'''")

KERNEL = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.autotune(configs=[triton.Config({"BLOCK": 64}), triton.Config({"BLOCK": 128})], key=["n"])
@triton.jit
def scale(x_ptr, s_ptr, y_ptr, n, width, BLOCK: tl.constexpr):
    o = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x_ptr + o, mask=o < n) * tl.load(s_ptr + o % width, mask=o < n)
    tl.store(y_ptr + o, v, mask=o < n)


class ModelNew(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.empty(width))

    def forward(self, x):
        if not x.is_cuda:
            return x * self.scale
        y = torch.empty_like(x)
        grid = lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)
        scale[grid](x, self.scale, y, x.numel(), x.shape[-1])
        return y
"""
WRONG = KERNEL.replace("o % width", "o // width % width")
HOSTILE = "\x1b]0;owned\x07\x1b[2J \u202e reversed \r\ttab"


def judged(verdict_class, source, **more):
    common = {
        "candidate_id": candidate_from(source).id,
        "problem": "scale",
        "gpu": "rtx-4090",
        "checks": (
            Check(name="parse", status="passed"),
            Check(name="timing", status="not_checked", detail=f"no GPU here {HOSTILE}"),
        ),
        "environment": {"triton": "3.7.1"},
        "duration_s": 1.5,
        "rung_seconds": {"screen": 0.1},
    }
    return verdict_class(**{**common, **more})


PASSED = {
    "kernels": (
        KernelResources(
            name="scale",
            grid=(1000, 1, 1),
            registers=40,
            spills=12,
            shared_memory_bytes=0,
            theoretical_occupancy_pct=83.3,
            occupancy_limiter="registers",
            num_warps=4,
            num_stages=3,
            waves=2.0,
        ),
    ),
    "estimate": Estimate(
        value_ms=3.25, limiter="memory", assumptions=("boost clock",), unmodelled=("latency",), target="rtx-4090"
    ),
    "numeric_error": NumericError(
        worst=1e-7, allowed=1e-6, reference_own=5e-8, geometry="reduced", elements_compared=100
    ),
}


@pytest.fixture
def recorded(tmp_path):
    """attempt 1 failed, 2 passed and kept, 3 had no code, 4 repeats 2; 5 is paid for and pending."""
    problem = Problem(key="scale", title="Scale", source=REFERENCE)
    config = RunConfig(problem="scale", problem_source=problem.model_dump_json(), gpu="rtx-4090", model="a-model")
    run = Run(id="20260101-000000-scale-rtx-4090", created_at=now(), config=config, versions={"triton": "3.7.1"})
    directory = create_run(tmp_path, run)
    failed = judged(
        Failed, WRONG, rung="correctness", kind="incorrect_numerical", message=f"off by 2.5 {HOSTILE}\nsecond line"
    )
    passed = judged(Passed, KERNEL, **PASSED)
    usage = Usage(input_tokens=100, output_tokens=50, requests=1, cost_usd=0.0125)
    attempts = [
        {"number": 1, "evaluation": failed, "decision": "discard", "candidate_id": failed.candidate_id},
        {"number": 2, "parent": 1, "evaluation": passed, "decision": "keep", "candidate_id": passed.candidate_id},
        {"number": 3, "parent": 2, "reply_problem": f"the reply holds no code {HOSTILE}"},
        {"number": 4, "parent": 2, "evaluation": passed, "reused_from": 2, "candidate_id": passed.candidate_id},
    ]
    common = {"parent": None, "stage": "algorithm", "role": "optimize", "started_at": now(), "seconds": 2.0}
    with open_record(directory) as record:
        for given in attempts:
            number = given["number"]
            directory.write(number, "prompt.md", f"prompt {number}\n")
            directory.write(number, "reply.md", f"reply {number} {HOSTILE}\n")
            if given.get("candidate_id"):
                directory.write(number, "kernel.py", WRONG if number == 1 else KERNEL)
            filled = {"plan": f"plan {HOSTILE}", "reason": "r", "decision": "discard", "usage": usage}
            attempt = Attempt(**{**common, "candidate_id": None, "evaluation": None, **filled, **given})
            record.append(Attempted(attempt=attempt))
        pending = {"parent": 2, "stage": "grid", "role": "optimize", "reply_sha256": "x", "started_at": now()}
        record.append(Proposed(number=5, usage=usage, **pending))
    return directory


def timed(source, **more):
    """A passed evaluation with made-up measurements beside the compiled and the estimated figures."""
    fields = {**PASSED, "timing": measured.timing(), "profile": measured.profile(), "environment": measured.ENVIRONMENT}
    return judged(Passed, source, **{**fields, **more})


@pytest.fixture
def recorded_measured(recorded):
    """The recorded run, then, made up: 5 timed and kept, 6 beats it, 7 has clocks that disagree, 8 on another device."""
    wider, unrolled = KERNEL.replace("128", "256"), KERNEL.replace("128", "512")
    first = timed(KERNEL + "# first\n", timing=measured.timing(4.0), profile=measured.profile(40.0))
    second = timed(wider, duel=measured.duel(first.candidate_id))
    clocks = measured.timing(0.1, outside=measured.latency(4.1), inside=measured.latency(0.1))
    lying = timed(unrolled).model_dump() | {"timing": clocks, "verdict": "failed", "profile": None}
    lying |= {"rung": "timing", "kind": "untrustworthy_timing", "message": "the clocks disagree by a factor of 41"}
    away = timed(KERNEL + "# away\n", timing=measured.timing(3.0, device=measured.OTHER), profile=None)
    rows = (
        (5, 2, first, "keep", "first that was timed"),
        (6, 5, second, "keep", "beats attempt 5"),
        (7, 6, Failed(**lying), "discard", "failed at timing: untrustworthy_timing"),
        (8, 6, away, "discard", "timed on another device"),
    )
    with open_record(recorded) as record:
        for number, parent, evaluation, decision, reason in rows:
            recorded.write(number, "kernel.py", KERNEL + f"# attempt {number}\n")
            attempt = Attempt(
                number=number,
                parent=parent,
                stage="tiling",
                role="optimize",
                plan=f"plan {number}",
                candidate_id=evaluation.candidate_id,
                evaluation=evaluation,
                decision=decision,
                reason=reason,
                started_at=now(),
                seconds=3.0,
            )
            record.append(Attempted(attempt=attempt))
    return recorded
