"""The estimate rung: a lower bound on the latency, from the compiled instructions and the exact amount of work.

Launches follow each other, so their bounds add up; of an autotuned launch the cheapest configuration counts,
since which one a GPU would keep is not known here. Never measured, never compared with milliseconds from a clock.

Limits: orders candidates only where bounds differ by more than a factor of two; says nothing about CUDA
candidates, whose loops cannot be counted; of PyTorch operators between the kernels only the traffic is bounded.
"""

from collections import defaultdict
from collections.abc import Iterable

from evaluators.calibration import calibration_words
from evaluators.compiled.bounds import Bound, bound
from evaluators.compiled.toolkit import assembler, assembler_version, triton_version
from evaluators.compiled.ttir import AVERAGED
from evaluators.evaluation import Check, Estimate
from evaluators.gpu import GpuSpec
from evaluators.rungs import CapturedLaunch, Findings, OperatorCalls, Task

ASSUMPTIONS = (
    "boost clock and the vendor's peak rates",
    "every operand moves between memory and the chip once per launch, with a cold L2",
    "what the first call of forward does, every call does",
    "every instruction of the hottest loop is issued on every pass, predicated or not",
)
SMALL_SHARE = 0.5  # far below the factor of two from which on bounds are told apart
UNMODELLED = (
    "latency and occupancy",
    "repeated reads through L2 and DRAM",
    "excess sectors of uncoalesced accesses",
    "shared memory bank conflicts",
    "barriers",
    "launch overhead",
    "arithmetic of PyTorch operators outside the kernels",
)


def check(task: Task) -> Findings:
    """Bound the latency of what the build rung captured."""
    launches = [launch for launch in task.found.launches if launch.ttir]
    uncounted = ", ".join(dict.fromkeys(launch.name for launch in task.found.launches if not launch.ttir))
    if uncounted or not launches:
        which = f" of {uncounted} (Gluon and CUDA have none)" if uncounted else ""
        reason = f"no Triton IR{which} to count work in: lower bounds need the trip counts of every loop"
        return Findings(checks=(Check(name="estimate", status="not_checked", detail=reason),))
    estimate = estimate_of(launches, task.gpu, task.found.operators)
    return Findings(checks=(_check(estimate),), estimate=estimate)


def _check(estimate: Estimate) -> Check:
    """A bound that left work out is still a bound, but too low to compare with others: it counts as not checked."""
    detail = f"lower bound {estimate.value_ms:.4g} ms, not measured; limited by {estimate.limiter}"
    if estimate.left_out:
        return Check(
            name="estimate", status="not_checked", detail=f"incomplete: {'; '.join(estimate.left_out)}; {detail}"
        )
    return Check(name="estimate", status="passed", detail=detail)


def estimate_of(launches: Iterable[CapturedLaunch], gpu: GpuSpec, operators: Iterable[OperatorCalls] = ()) -> Estimate:
    """Sum of the bounds of all launches and of the memory traffic of PyTorch operators between them."""
    counted = [(launch, bound(launch, gpu)) for launch in launches]
    kept = _without_alternatives(counted)
    components: defaultdict[str, float] = defaultdict(float)
    for launch, limits in kept:
        for name, value in limits.components_ms.items():
            components[name] += launch.launches * value
    value_ms = sum(launch.launches * limits.value_ms for launch, limits in kept)
    operators_ms = sum(operator.bytes_moved for operator in operators) / (gpu.memory_bandwidth_gb_s * 1e6)
    if operators_ms:
        components["PyTorch operators"] = operators_ms
        value_ms += operators_ms
    notes, left_out = _notes(kept, value_ms)
    calibrated, calibration = calibration_words(gpu.key, triton_version())
    return Estimate(
        value_ms=_rounded(value_ms),
        limiter=_limiter(kept),
        components_ms={name: _rounded(value) for name, value in components.items()},
        assumptions=(*ASSUMPTIONS, *notes),
        left_out=left_out,
        unmodelled=UNMODELLED,
        calibrated=calibrated,
        calibration=calibration,
        target=gpu.arch,
        toolchain=f"triton {triton_version()}, {assembler(gpu.capability)} {assembler_version(gpu.capability)}",
    )


def _notes(kept: list[tuple[CapturedLaunch, Bound]], value_ms: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(assumptions, work left out). A branch on data leaves nothing out where its dearer side adds little to the call:
    a kernel that mends a rare case must not hide the bound of all the others."""
    more_ms = sum(launch.launches * (limits.most_ms - limits.value_ms) for launch, limits in kept if limits.most_ms)
    is_small = more_ms <= SMALL_SHARE * value_ms
    assumed, left_out = set[str](), set[str]()
    for _, limits in kept:
        averaged = {note for note in limits.notes if note.startswith(AVERAGED)}
        assumed |= averaged
        if is_small and limits.most_ms is not None:
            assumed.add(f"branches on data take the cheaper side; the dearer one adds at most {more_ms:.3g} ms")
        else:
            left_out |= set(limits.notes) - averaged
    return tuple(sorted(assumed)), tuple(sorted(left_out))


def _without_alternatives(counted: Iterable[tuple[CapturedLaunch, Bound]]) -> list[tuple[CapturedLaunch, Bound]]:
    """Of each autotuned launch the configuration with the least bound: whichever is kept takes at least that."""
    best: dict[object, tuple[CapturedLaunch, Bound]] = {}
    for number, (launch, limits) in enumerate(counted):
        key = ("tuned", launch.tuned_group) if launch.tuned_group is not None else ("single", number)
        if key not in best or limits.value_ms < best[key][1].value_ms:
            best[key] = (launch, limits)
    return list(best.values())


def _limiter(kept: list[tuple[CapturedLaunch, Bound]]) -> str:
    """What limits the launch that takes the most time, and what its hottest loop spends instructions on."""
    launch, limits = max(kept, key=lambda pair: pair[0].launches * pair[1].value_ms)
    text = f"{limits.limiter} in {launch.name}"
    if limits.limiter in ("instruction issue", "integer pipe"):
        shares = ", ".join(f"{share:g} % {name}" for name, share in list(limits.hottest_mix_pct.items())[:3])
        text += f" (hottest loop: {shares})"
    return text


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
