"""One run of a profiler's command line in the sandbox: its files laid down, what it printed and reported handed back.

Limits: the report was written beside the program that was profiled: a claim.
"""

from dataclasses import dataclass, field

from evaluators.profiling.command import ENVIRONMENT, REPORT
from sandbox import Limits, Zygote

MODULE = "evaluators.inside.command"
_GRACE_S = 10.0
_MEMORY_MB = 32768
_SCRATCH_MB = 16384
_PROCESSES = 256  # compilers, and the threads of ncu


@dataclass(frozen=True)
class Job:
    """A command line with the texts it reads by name, and the names under which shared memory files are laid down."""

    line: list[str]
    limit_s: float
    files: dict[str, str] = field(default_factory=dict)
    laid: tuple[str, ...] = ()
    shared: tuple[int, ...] = ()


@dataclass(frozen=True)
class Printed:
    """How it ended: `exit_code` None means that it did not in time."""

    exit_code: int | None
    output: str
    report: str

    @property
    def everything(self) -> str:
        """All its text."""
        return f"{self.output}\n{self.report}"


def run(zygote: Zygote, job: Job) -> Printed:
    """Raises SandboxUnavailable and ChildEnded."""
    arguments = {
        "command": job.line,
        "files": job.files,
        "laid": job.laid,
        "environment": ENVIRONMENT,
        "report": REPORT,
        "limit_s": job.limit_s,
    }
    wall_s = job.limit_s + _GRACE_S
    limits = Limits(wall_s=wall_s, memory_mb=_MEMORY_MB, scratch_mb=_SCRATCH_MB, processes=_PROCESSES)
    with zygote.start(f"{MODULE}:main", arguments, limits, shared=job.shared) as child:
        answer, report = child.receive(wall_s)
    code = answer.get("exit_code")
    text = report.decode("utf-8", "replace")
    return Printed(code if isinstance(code, int) else None, str(answer.get("output", "")), text)
