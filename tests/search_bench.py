"""Runs of the real loop over a real socket, with a judge whose verdicts are a table: what a search does, not what is true."""

import re

from agent.context import Subject
from agent.draft import Planner
from agent.loop import Loop
from agent.policy import strategy_for
from agent.proposers import Caller
from agent.proposers.openai import OpenAIProposer
from agent.team import Team
from evaluators.evaluation import Estimate, Failed, KernelResources, Passed
from evaluators.gpu_catalog import load_gpu
from evaluators.problem import Problem, ProblemFacts
from prompts.stages import all_stages
from runs.nouns import Budget, Run, RunConfig
from runs.record import open_record
from runs.store import create_run, new_run_id, now

PROBLEM = Problem(key="scale", title="Scale", source="class Model: pass")
FACTS = ProblemFacts(
    inputs=(), parameters=(), outputs=(), init_args="", operator="conv_transpose3d", flop=None, bytes_moved=1
)


def source(family, tile, marker=""):
    """A candidate whose figures the table below reads from its text."""
    return (
        "import torch\nimport torch.nn as nn\nimport triton\nimport triton.language as tl\n\n"
        f"FAMILY = {family!r}\nTILE = {tile}\n{marker}\n\n"
        "@triton.jit\ndef kernel(x, y, BLOCK: tl.constexpr):\n"
        "    o = tl.arange(0, BLOCK)\n"
        f"    {'tl.atomic_add(y + o, tl.load(x + o))' if family == 'scatter' else 'tl.store(y + o, tl.load(x + o))'}\n\n\n"
        "class ModelNew(nn.Module):\n    def forward(self, x):\n"
        "        kernel[(1,)](x, x, BLOCK=TILE)\n        return x\n"
    )


def reply(family, tile, plan="p", marker=""):
    return f"Plan: {plan}\n\n```python\n{source(family, tile, marker)}```\n"


REPLIES = [
    reply("direct", 128, "plain"),
    reply("gemm", 256, "tensor cores"),
    reply("scatter", 64, "atomics"),
    reply("gemm", -1, "wrong"),
    reply("gemm", 128, "fixed"),
    "I cannot.",
    reply("direct", 64, "smaller"),
    reply("gemm", 64, "smaller tile"),
    reply("gemm", 64, "only a comment differs", "# again"),
    reply("scatter", 32, "narrow"),
]


class Table:
    """Bounds by family and tile; a negative tile fails."""

    BEST = {"direct": 8.0, "gemm": 2.0, "scatter": 4.0}

    def __init__(self):
        self.asked = []
        self.in_full = []  # for each of `asked`: whether the whole ladder was wanted

    def facts(self, problem):
        return FACTS

    def evaluate(self, problem, candidate, gpu, *, announce=print, incumbent=None, metrics=(), rungs=None):
        self.asked.append(candidate.id)
        self.in_full.append(rungs is None)
        family = re.search(r"FAMILY = '(\w+)'", candidate.source)[1]
        tile = int(re.search(r"TILE = (-?\d+)", candidate.source)[1])
        common = {"candidate_id": candidate.id, "problem": problem.key, "gpu": gpu.key}
        if tile < 0:
            return Failed(rung="correctness", kind="incorrect_numerical", message="off", **common)
        bound = self.BEST[family] * (1 + abs(tile - 64) / 64)
        kernel = KernelResources(
            name="kernel",
            grid=(1, 1, 1),
            registers=100,
            spills=0,
            shared_memory_bytes=0,
            num_warps=4,
            num_stages=3,
            theoretical_occupancy_pct=33.0,
            occupancy_limiter="registers",
            waves=1.0,
        )
        estimate = Estimate(value_ms=bound, limiter="memory", assumptions=(), unmodelled=())
        return Passed(kernels=(kernel,), estimate=estimate, **common)


class Quiet:
    """A view that keeps what it was told."""

    def __init__(self):
        self.notes = []

    def phase(self, number, stage, what): ...

    def attempt(self, attempt): ...

    def note(self, text):
        self.notes.append(text)

    def finish(self, summary): ...


class Bench:
    """Make runs against one scripted server."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.table, self.view = Table(), Quiet()

    def begin(self, strategy="linear", memories=(), **options):
        about = {"problem": "scale", "problem_source": PROBLEM.model_dump_json(), "gpu": "rtx-4090", "model": "gpt-4o"}
        config = RunConfig(**about, strategy=strategy, **options)
        run = Run(id=new_run_id("scale", "4090"), created_at=now(), config=config)
        directory = create_run(self.folder, run)
        directory.keep_beginning(FACTS, tuple(memories))
        return directory

    def go(self, directory, proposer=None, team=None, **limits):
        config = directory.run.config
        subject = Subject(PROBLEM, FACTS, load_gpu("4090"), None, directory.memories(), config.tune_points)
        planner = Planner(subject, all_stages(), strategy_for(config.strategy))
        caller = Caller(max_output_tokens=limits.pop("max_output_tokens", 2000))
        asked = proposer or OpenAIProposer("gpt-4o", self.server.url, caller=caller)
        try:
            with open_record(directory) as record:
                loop = Loop(planner, team or Team(asked), self.table, record, self.view, config.parallel)
                reason = loop.run(Budget(**limits))
        finally:
            if proposer is None:
                asked.close()
        return reason, directory.state()
