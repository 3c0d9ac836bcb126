"""Options that several verbs of the command line share, with their help.

Limits: imports nothing but typer and the standard library, as agent/cli.py does.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Sandbox(StrEnum):
    """How strong a sandbox this machine must give (sandbox/tiers.py)."""

    auto = "auto"
    strict = "strict"
    unsafe = "unsafe"


class Device(StrEnum):
    """Where candidates run: on this machine's GPU where there is one, never, or there and nowhere else."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    """The precision class asked of a kernel (evaluators/problem.py `Tolerance`)."""

    reference = "reference"
    tf32 = "tf32"
    fp32 = "fp32"


ProblemOption = Annotated[
    str,
    typer.Option(
        "--problem", "-p", help="Built-in name (convt3d, convt3d-73), KernelBench file, or 1/68 with KERNELBENCH_DIR."
    ),
]
GpuOption = Annotated[
    str, typer.Option("--gpu", "-g", help="Target GPU (4090, 'RTX 4090', h200, ...) or auto: this machine's.")
]
RunsDirOption = Annotated[
    Path | None, typer.Option("--runs-dir", help="Where runs are kept (default: AGENT_RUNS_DIR or ./transcripts).")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout (on one line); everything else goes to stderr.")
]
PlainOption = Annotated[bool, typer.Option("--plain", help="One plain line per attempt instead of the live view.")]
AttemptsOption = Annotated[int | None, typer.Option("--max-attempts", min=1, help="Attempts of the whole run.")]
SecondsOption = Annotated[
    float | None,
    typer.Option("--max-seconds", min=0, help="Wall time of the whole run; an attempt in progress gets 60 s more."),
]
CostOption = Annotated[
    float | None, typer.Option("--max-cost", min=0, help="Dollars of the whole run, checked before each call.")
]
TokensOption = Annotated[
    int | None,
    typer.Option("--max-tokens", min=1, help="Tokens of the whole run, in and out, checked before each call."),
]
PendingOption = Annotated[
    str | None, typer.Option("--pending", help="Judge the reply that waits in this run, in place of a file.")
]
ProviderOption = Annotated[
    str | None,
    typer.Option(
        "--provider",
        help="openai, anthropic, gemini, deepseek, openrouter, vllm, ollama or llamacpp: sets the base URL.",
    ),
]
SandboxOption = Annotated[
    Sandbox, typer.Option("--sandbox", help="auto; strict: refuse without namespaces; unsafe: accept any machine.")
]
STDOUT = Path("-")  # as the file of an --output: standard output
RunArgument = Annotated[str, typer.Argument(help="Run id, its beginning, a path, or `last`.")]
StrategyOption = Annotated[
    str | None,
    typer.Option("--strategy", help="linear (default), beam[:width=3,branching=2] or evolve[:islands=2,migration=4]."),
]
AnalystOption = Annotated[
    str | None,
    typer.Option(
        "--analyst-model", help="Asked before each proposal: one bottleneck, one method, one plan. Off if unset."
    ),
]
RepairOption = Annotated[str | None, typer.Option("--repair-model", help="Asked for repairs (default: --model).")]
ParallelOption = Annotated[
    int | None,
    typer.Option("--parallel", min=1, max=16, help="Proposals asked for at the same time (default 1); judged in turn."),
]
TuneOption = Annotated[
    int | None,
    typer.Option(
        "--tune-points", min=0, max=64, help="Points of a kernel's SPACE tried without the model (default 8)."
    ),
]
StagesOption = Annotated[
    Path | None, typer.Option("--stages", help="Folder of your own stage files; they add or replace by name.")
]
DeviceOption = Annotated[
    Device, typer.Option("--device", help="auto: this machine's GPU if it has one; cpu: never; cuda: refuse without.")
]
PrecisionOption = Annotated[
    Precision, typer.Option("--precision", help="Class asked of a kernel: the reference's own, tf32 or fp32.")
]
EngineOption = Annotated[
    str, typer.Option("--engine", help="Where candidates are judged: local, or ray[:ADDRESS] (see docs/cluster.md).")
]
DevicesOption = Annotated[
    str | None, typer.Option("--devices", help="GPUs to measure on, like 0,1 (default: all there are).")
]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Judges at once (default: one per core, as memory allows).")
]


class Start(StrEnum):
    """Who makes the first attempt in place of the model."""

    playbook = "playbook"


StartOption = Annotated[
    Start | None,
    typer.Option("--start", help="playbook: its best guess is the first attempt, --model goes on from it."),
]
NoHintsOption = Annotated[
    bool, typer.Option("--no-playbook-hints", help="Leave the cards of kernel families out of the algorithm stage.")
]
