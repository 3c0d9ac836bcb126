"""One pass of Nsight Compute over a candidate, behind the sandbox: ncu runs inside it, beside the candidate.

Where it runs, and what that needs, is found in place.py. Limits: the candidate could forge its own figures. They reach
prompts and gates, never a verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from evaluators.profiling import command, reasons, table
from evaluators.profiling.box import Job, Printed, run
from evaluators.profiling.place import Place, Profiler
from evaluators.profiling.wanted import ALWAYS
from sandbox import ChildEnded, SandboxUnavailable

LIMIT_S = 90.0  # importing torch and compiling takes 10 s of it; a pass over a 300 ms kernel 10 s
_RETRIES = 4
_UNKNOWN = "this Nsight Compute does not know the metric on this GPU"
_SILENT = "left out: Nsight Compute delivered nothing, and said nothing, when it was asked for with the others"


@dataclass(frozen=True)
class Material:
    """What a candidate is run with: its text, the requests that load, build and call it.

    Two memory files: its inputs, and what another process of it has compiled (evaluators/inside/kept_code.py).
    """

    source: str
    requests: str
    inputs: int
    code: int


@dataclass(frozen=True)
class Delivered:
    """Launches with their figures; `missing`: by metric, why it is not there. `reason`: why nothing is."""

    launches: Sequence[table.Launch] = ()
    missing: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    note: str = ""


def profile(profiler: Profiler, ncu: str, material: Material, wanted: Sequence[str]) -> Delivered:
    """Profile one marked call; metrics this ncu does not know are left out and said."""
    place = profiler.place(ncu)
    if place.zygote is None:
        return Delivered(reason=place.reason)
    names, unknown = list(wanted), dict[str, str]()
    for _ in range(_RETRIES):
        try:
            printed = run(place.zygote, _job(ncu, names, material))
        except SandboxUnavailable as error:
            return Delivered(reason=f"the sandbox does not allow a profiler here: {error}")
        except ChildEnded as ended:
            return Delivered(reason=f"the profiler's process ended: {ended}. {ended.outcome.output.strip()[-300:]}")
        launches = table.read(printed.report, names)
        if launches:
            missing = unknown | table.refusals(launches, names)
            return Delivered(launches, missing, note=_note(place, launches))
        new = _to_leave_out(printed, names)
        if not new:
            return Delivered(missing=unknown, reason=_reason(printed))
        unknown |= new
        names = [name for name in names if name not in new]
    return Delivered(missing=unknown, reason="Nsight Compute kept refusing metrics")


def _job(ncu: str, names: Sequence[str], material: Material) -> Job:
    program = ("evaluators.inside.profiled", command.REQUESTS, command.INPUTS, command.SOURCE, command.CODE)
    laid = (command.INPUTS, command.CODE)
    files = {command.REQUESTS: material.requests, command.SOURCE: material.source}
    return Job(command.command(ncu, names, program), LIMIT_S, files, laid, (material.inputs, material.code))


def _to_leave_out(printed: Printed, names: Sequence[str]) -> dict[str, str]:
    """Metrics to do without in the next try, with the reason. ncu 2025.3 ends well without a word of unknown ones."""
    unknown = [name for name in reasons.unknown_metrics(printed.everything) if name in names]
    if unknown or printed.exit_code != 0 or not reasons.is_silent(printed.everything):
        return dict.fromkeys(unknown, _UNKNOWN)
    return dict.fromkeys((name for name in names if name not in ALWAYS), _SILENT)


def _note(place: Place, launches: Sequence[table.Launch]) -> str:
    all_shown = len(launches) < command.MOST_LAUNCHES
    cut = "" if all_shown else f"only the first {command.MOST_LAUNCHES} kernel launches of the call were profiled"
    return "; ".join(filter(None, (place.note, cut)))


def _reason(printed: Printed) -> str:
    fault = next((line for line in printed.everything.splitlines() if '"fault"' in line), "")
    if fault:  # the candidate's own process said so
        return f"the candidate failed under the profiler: {fault[:300]}"
    return reasons.reason_in(printed.everything, printed.exit_code)
