"""Workloads as the judge describes them, without torch, and a small stand-in for the loop."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.proposers.playbook import PlaybookProposer
from agent.proposers.playbook.configuration import Configuration, read_configuration
from agent.proposers.playbook.emission import candidate_source
from agent.proposers.playbook.family import Situation, family_of
from agent.proposers.playbook.reference import read_reference
from agent.proposers.playbook.shape import shape_from
from evaluators.evaluation import Estimate, Failed, KernelResources, Passed, Unverified
from evaluators.gpu import GpuSpec
from evaluators.gpu_catalog import load_gpu
from evaluators.measurement import Latency, Timing
from evaluators.problem import Problem, ProblemFacts, TensorFact
from prompts.context import Base, Context, PastAttempt
from prompts.stage import Stage

REFERENCE = '''
import torch
import torch.nn as nn


class Model(nn.Module):
    """Transposed convolution."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1,
                 bias=False, dilation=1):
        super(Model, self).__init__()
        self.conv_transpose3d = nn.ConvTranspose3d(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, output_padding=output_padding,
            groups=groups, bias=bias, dilation=dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One call."""
        return self.conv_transpose3d(x)


def get_inputs():
    return [torch.rand(2, 4, 3, 4, 5)]


def get_init_inputs():
    return [4, 6, 3]
'''

PROBLEM = Problem(key="t", title="t", source=REFERENCE)


def facts(
    x, w, y, *, stride=(1, 1, 1), padding=(0, 0, 0), dilation=(1, 1, 1), groups=1, operator="conv_transpose3d"
) -> ProblemFacts:
    hyperparameters = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    tensors = [TensorFact(name=name, shape=shape, dtype="float32") for name, shape in (("x", x), ("w", w), ("y", y))]
    return ProblemFacts(
        inputs=(tensors[0],),
        parameters=(tensors[1].model_copy(update={"name": "conv_transpose3d.weight"}),),
        outputs=(tensors[2],),
        init_args="",
        operator=operator,
        hyperparameters={name: str(value) for name, value in hyperparameters.items()},
        flop=None,
        bytes_moved=1,
    )


WORKLOADS = {
    "58": facts((16, 32, 16, 32, 64), (32, 16, 3, 5, 7), (16, 16, 18, 36, 70)),
    "61": facts((8, 48, 64, 64, 64), (48, 48, 3, 3, 3), (8, 48, 66, 66, 66)),
    "68": facts((16, 32, 64, 64, 64), (32, 64, 3, 5, 5), (16, 64, 66, 68, 68)),
    "72": facts(
        (8, 32, 12, 24, 48), (32, 8, 3, 5, 7), (8, 32, 24, 48, 96), stride=(2, 2, 2), padding=(1, 2, 3), groups=4
    ),
    "73": facts((4, 32, 32, 64, 128), (32, 32, 3, 3, 3), (4, 32, 63, 127, 255), stride=(2, 2, 2), padding=(1, 1, 1)),
    "77": facts(
        (16, 32, 16, 32, 32),
        (32, 64, 3, 3, 3),
        (16, 64, 33, 65, 65),
        stride=(2, 2, 2),
        padding=(1, 1, 1),
        dilation=(2, 2, 2),
    ),
}
STAGES = {
    key: Stage(key=key, order=order, title=key, focus=key)
    for order, key in enumerate(("algorithm", "grid", "tiling", "memory", "tuning"))
}


@dataclass
class Search:
    """Proposals one after the other, each judged by the playbook's own expectation; a stage is left when nothing is kept."""

    workload: str = "68"
    gpu: GpuSpec = field(default_factory=lambda: load_gpu("4090"))
    problem: Problem = PROBLEM
    base: Base | None = None
    history: tuple[PastAttempt, ...] = ()
    stage: str = "algorithm"
    role: str = "propose"

    def context(self, **changes) -> Context:
        values = {
            "role": self.role,
            "problem": self.problem,
            "facts": WORKLOADS[self.workload],
            "gpu": self.gpu,
            "stage": STAGES[self.stage],
            "base": self.base,
            "history": self.history,
        }
        return Context(**(values | changes))

    def situation(self) -> Situation:
        layer = read_reference(self.problem.source).layer
        return Situation(shape_from(WORKLOADS[self.workload], layer), self.gpu, 6e-4)

    def propose(self, **changes) -> tuple[Configuration, str]:
        """The configuration proposed next and its reason."""
        reply = PlaybookProposer().propose(self.context(**changes), "").reply
        plan = reply.partition("\n")[0]
        configuration = read_configuration(plan)
        assert configuration is not None, plan
        return configuration, plan

    def bound_ms(self, configuration: Configuration) -> float:
        return family_of(configuration).cost(configuration, self.situation()).bound_ms

    def keep(self, configuration: Configuration, **kernel) -> None:
        """Record it as the best so far, with the compiled evidence given."""
        number = len(self.history)
        self._remember(configuration, "keep")
        self.base, self.role = (
            Base(number=number, source=f'"""{configuration}: x."""', evaluation=passed(configuration, kernel)),
            "optimize",
        )

    def discard(self, configuration: Configuration, measured_ms: float | None = None) -> None:
        self._remember(configuration, "discard", measured_ms=measured_ms)

    def keep_measured(self, configuration: Configuration, measured_ms: float) -> None:
        """Record it as the best so far with a time from a clock."""
        number = len(self.history)
        self._remember(configuration, "keep", measured_ms=measured_ms)
        evaluation = passed(configuration, {}).model_copy(update={"timing": timing(measured_ms)})
        self.base, self.role = (
            Base(number=number, source=f'"""{configuration}: x."""', evaluation=evaluation),
            "optimize",
        )

    def leave_unverified(self, configuration: Configuration) -> None:
        """Record that this machine could not verify it; the first such kernel is the best so far."""
        number = len(self.history)
        self._remember(configuration, "discard" if self.base else "keep", verdict="unverified")
        if self.base is None:
            left = Unverified(candidate_id="c", problem="t", gpu="g", rung="correctness", message="no interpreter")
            self.base, self.role = Base(number=number, source=f'"""{configuration}: x."""', evaluation=left), "optimize"

    def fail(self, configuration: Configuration, kind: str, message: str = "") -> None:
        """Record a failure; the next proposal is its repair."""
        number = len(self.history)
        self._remember(configuration, "discard", kind, message=message)
        failed = Failed(candidate_id="c", problem="t", gpu="g", rung="correctness", kind=kind, message=message)
        self.base, self.role = Base(number=number, source=f'"""{configuration}: x."""', evaluation=failed), "repair"

    def _remember(
        self,
        configuration: Configuration,
        decision: str,
        kind: str | None = None,
        *,
        message: str = "",
        measured_ms: float | None = None,
        verdict: str = "passed",
    ) -> None:
        past = PastAttempt(
            number=len(self.history),
            stage=self.stage,
            plan=f"Plan: {configuration}: because",
            verdict="failed" if kind else verdict,
            kind=kind,
            message=message,
            estimate_ms=None,
            decision=decision,
            measured_ms=measured_ms,
        )
        self.history = (*self.history, past)


def timing(median_ms: float) -> Timing:
    latency = Latency(median_ms=median_ms, p20_ms=median_ms, p80_ms=median_ms, samples=100)
    return Timing(
        device="a GPU",
        is_target=True,
        latency=latency,
        clock="device events",
        outside=latency,
        protocol_ms=0.1,
        protocol_spread_ms=0.01,
        verified_calls=100,
        floor_ms=0.01,
        floor_limiter="memory",
        precision="tf32",
    )


def passed(configuration: Configuration, kernel: dict) -> Passed:
    values = {
        "name": configuration.family,
        "grid": (1000, 1, 1),
        "registers": 128,
        "spills": 0,
        "shared_memory_bytes": 0,
        "theoretical_occupancy_pct": 33.0,
        "occupancy_limiter": "registers",
        "num_warps": 4,
        "num_stages": 3,
        "waves": 20.0,
    }
    estimate = Estimate(value_ms=10.0, limiter="tensor cores", assumptions=(), unmodelled=())
    kernels = (KernelResources(**(values | kernel)),)
    return Passed(candidate_id="c", problem="t", gpu="g", kernels=kernels, estimate=estimate)


@pytest.fixture
def search() -> Search:
    return Search()


@pytest.fixture(params=sorted(WORKLOADS))
def workload(request) -> str:
    return request.param


@pytest.fixture
def emit():
    """The complete file of a configuration, for the general reference above."""

    def source(text: str, reference: str = REFERENCE) -> str:
        configuration = read_configuration(text)
        return candidate_source(configuration, family_of(configuration), read_reference(reference))

    return source


@pytest.fixture
def reference() -> str:
    return REFERENCE


@pytest.fixture(scope="session")
def interpreting():
    """Ask one interpreting process for all files that use it."""
    script = Path(__file__).parent / "interpreted.py"
    process = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(request):
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        assert line, f"the interpreting process ended with {process.wait()}; its error is on stderr"
        return json.loads(line)

    with process:
        yield ask
        process.stdin.close()


@pytest.fixture
def interpret(interpreting):
    """Answers for (sources, cases)."""

    def answers_of(sources, cases):
        answers = interpreting({"sources": sources, "cases": cases})
        assert len(answers) == len(sources) * len(cases)
        return answers

    return answers_of


@pytest.fixture
def compare(interpreting):
    """Answers for pairs of an emitted file and its reference."""
    return lambda pairs: interpreting({"pairs": pairs})
