"""Behind which layers of the sandbox does Nsight Compute work on this machine? Found once for a judge, by trying.

ncu starts its program through named pipes, talks to it over sockets, and that program uses CUDA as a child: the first
combination grants that much (GRANTS in sandbox/tiers.py) with every layer on. Where it does not do, a /tmp and tracing
are granted too, and at last Landlock is left off; the figures then say so. The trial profiles a tiny kernel of our own.

Limits: asks for namespaces and a root of its own in every case, since they keep the files when Landlock does not;
without them nothing is profiled this way. What failed once is not tried again by this judge.
"""

import re
from dataclasses import dataclass

from evaluators.measurement import DRAM_BYTES, DURATION
from evaluators.profiling import command, reasons, table
from evaluators.profiling.box import MODULE, Job, run
from sandbox import ChildEnded, SandboxUnavailable, Zygote
from sandbox.tiers import Grant, Strictness

_TRIAL_S = 20.0  # 2.5 s on an H100
_SAID = re.compile(r"no CUDA driver: .*|cu\w+ failed with CUDA error \d+")  # the tiny kernel's own words
_TRIAL_METRICS = (DURATION, DRAM_BYTES)  # the second is a counter: it needs the permission
_NARROW: tuple[Grant, ...] = ("sockets", "children", "counters")
_WIDE: tuple[Grant, ...] = (*_NARROW, "tmp", "tracing")


@dataclass(frozen=True)
class Combination:
    """What is granted, which layers are left off, and what is said of it beside the figures."""

    grants: tuple[Grant, ...]
    without: tuple[str, ...] = ()
    note: str = ""


COMBINATIONS = (
    Combination(_NARROW),
    Combination(_WIDE),
    Combination(
        _WIDE,
        ("landlock",),
        "profiled without Landlock, behind which this Nsight Compute does not start a program; namespaces and a root "
        "of its own keep the files",
    ),
)


@dataclass(frozen=True)
class Place:
    """A fork server behind which Nsight Compute works; none with the `reason`."""

    zygote: Zygote | None = None
    note: str = ""
    reason: str = ""


class Profiler:
    """Finds the place on first use and keeps its fork server until it is closed."""

    def __init__(self, strictness: Strictness = "auto", *, search_path: tuple[str, ...] = ()) -> None:
        """`strictness`: as everywhere, but "unsafe" counts as "auto": no bare process is granted counters and pipes.

        search_path: directories beside the system's that its programs may read.
        """
        self._strictness: Strictness = "auto" if strictness == "unsafe" else strictness
        self._search_path = search_path
        self._place: Place | None = None

    def place(self, ncu: str) -> Place:
        """Where `ncu` works; the trials run in the first call only."""
        if self._place is None:
            self._place = self._found(ncu)
        return self._place

    def close(self) -> None:
        """End the fork server; the next use tries anew."""
        if self._place is not None and self._place.zygote is not None:
            self._place.zygote.close()
        self._place = None

    def _found(self, ncu: str) -> Place:
        reasons_seen: list[str] = []
        for combination in COMBINATIONS:
            zygote = Zygote(
                (MODULE,),
                search_path=self._search_path,
                strictness=self._strictness,
                without=combination.without,
                grants=combination.grants,
            )
            reason = _problem(zygote, ncu)
            if not reason:
                return Place(zygote, combination.note)
            zygote.close()
            reasons_seen.append(reason)
        return Place(reason="; with less of the sandbox: ".join(dict.fromkeys(reasons_seen)))


def _problem(zygote: Zygote, ncu: str) -> str:
    """Why the tiny kernel is not profiled here; empty where it is."""
    line = command.command(ncu, _TRIAL_METRICS, ("evaluators.inside.tiny_kernel",))
    try:
        printed = run(zygote, Job(line, limit_s=_TRIAL_S))
    except SandboxUnavailable as error:
        return f"the sandbox does not allow a profiler here: {error}"
    except ChildEnded as ended:
        return f"the profiler's process ended: {ended}"
    launches = table.read(printed.report, _TRIAL_METRICS)
    if launches and not table.refusals(launches, _TRIAL_METRICS):
        return ""
    own = _SAID.search(printed.everything)
    return f"under Nsight Compute: {own.group()}" if own else reasons.reason_in(printed.everything, printed.exit_code)
