"""One pass of Nsight Compute over a candidate, behind the sandbox: ncu runs inside it, beside the candidate.

ncu starts the candidate's process, injects its library and talks to it over sockets; what that needs is granted to this
program alone (`GRANTS`), behind namespaces and a root of its own. Where the sandbox cannot give that, nothing is
profiled this way.

Limits: the candidate could forge its own figures. They reach prompts and gates, never a verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluators.profiling import command, reasons, table
from sandbox import ChildEnded, Limits, SandboxUnavailable, Zygote
from sandbox.tiers import Grant, Strictness

GRANTS: tuple[Grant, ...] = ("sockets", "counters")
LIMIT_S = 90.0  # importing torch and compiling takes 10 s of it; a pass over a 300 ms kernel 10 s
_ENTRY = "evaluators.inside.command:main"
_MEMORY_MB = 32768
_SCRATCH_MB = 16384
_PROCESSES = 256  # compilers, and the threads of ncu
_RETRIES = 3


@dataclass(frozen=True)
class Material:
    """What a candidate is run with: its text, the requests that load, build and call it, its inputs (a memfd)."""

    source: str
    requests: str
    inputs: int


@dataclass(frozen=True)
class Delivered:
    """Launches with their figures; `missing`: by metric, why it is not there. `reason`: why nothing is."""

    launches: Sequence[table.Launch] = ()
    missing: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    note: str = ""


def sandbox_for_ncu(strictness: Strictness = "auto") -> Zygote:
    """A fork server whose programs may run a profiler."""
    return Zygote(preload=("evaluators.inside.command",), strictness=strictness, grants=GRANTS)


def profile(zygote: Zygote, ncu: str, material: Material, wanted: Sequence[str]) -> Delivered:
    """Profile one marked call; metrics this ncu does not know are left out and said."""
    names, unknown = list(wanted), dict[str, str]()
    for _ in range(_RETRIES):
        try:
            answer, report = _run(zygote, command.command(ncu, names), material)
        except SandboxUnavailable as error:
            return Delivered(reason=f"the sandbox does not allow a profiler here: {error}")
        except ChildEnded as ended:
            return Delivered(reason=f"the profiler's process ended: {ended}. {ended.outcome.output.strip()[-300:]}")
        printed = f"{answer['output']}\n{report}"
        launches = table.read(report, names)
        if launches:
            missing = unknown | table.refusals(launches, names)
            return Delivered(launches, missing, note=_note(launches))
        new = [name for name in reasons.unknown_metrics(printed) if name in names]
        if not new:
            return Delivered(missing=unknown, reason=_reason(answer, printed))
        unknown |= dict.fromkeys(new, "this Nsight Compute does not know the metric on this GPU")
        names = [name for name in names if name not in new]
    return Delivered(missing=unknown, reason="Nsight Compute kept refusing metrics")


def _run(zygote: Zygote, line: list[str], material: Material) -> tuple[dict[str, Any], str]:
    arguments = {
        "command": line,
        "files": {command.REQUESTS: material.requests, command.SOURCE: material.source},
        "inputs": command.INPUTS,
        "environment": command.ENVIRONMENT,
        "report": command.REPORT,
        "limit_s": LIMIT_S,
    }
    limits = Limits(wall_s=LIMIT_S + 10, memory_mb=_MEMORY_MB, scratch_mb=_SCRATCH_MB, processes=_PROCESSES)
    with zygote.start(_ENTRY, arguments, limits, shared=(material.inputs,)) as child:
        answer, report = child.receive(LIMIT_S + 10)
    return answer, report.decode("utf-8", "replace")


def _note(launches: Sequence[table.Launch]) -> str:
    if len(launches) < command.MOST_LAUNCHES:
        return ""
    return f"only the first {command.MOST_LAUNCHES} kernel launches of the call were profiled"


def _reason(answer: dict[str, Any], printed: str) -> str:
    code = answer.get("exit_code")
    if '"fault"' in printed:  # the candidate's own process said so
        line = next((line for line in printed.splitlines() if '"fault"' in line), "")
        return f"the candidate failed under the profiler: {line[:300]}"
    return reasons.reason_in(printed, code if isinstance(code, int) else None)
