"""Lower bounds on the time of one launch: memory, tensor cores, fp32, instruction issue, the integer pipe.

Work is exact (ttir.py), instructions are the compiled ones (sass.py), rates are the vendor's peaks at boost
clock. How often the hottest SASS loop runs follows from the work it must do: operations of the TTIR loop /
operations in one pass of the SASS loop.

Limits: nothing here knows latency, caches, bank conflicts or barriers; the true time can be many times the bound.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from evaluators.compiled import sass
from evaluators.compiled.opcodes import access_bits, class_of, mma_flop
from evaluators.compiled.ttir import AVERAGED, DATA_BRANCH, work_per_program
from evaluators.compiled.work import Work
from evaluators.gpu import GpuSpec
from evaluators.rungs import CapturedLaunch

_SCHEDULERS = 4  # per SM, each issues one instruction per clock (compute capability 7.0 on)
# The integer pipe takes a warp's instruction every second clock up to CC 9.0 (64 lanes per SM); later parts are
# taken as full rate.
_INTEGER_CLOCKS = {True: 2.0, False: 1.0}
_PEAKS = {"tf32": "tf32", "f16": "fp16", "bf16": "bf16", "f8E4M3FN": "fp8", "f8E5M2": "fp8"}


@dataclass(frozen=True)
class Bound:
    """The bounds of one launch by component; `notes` say what could not be evaluated exactly.

    most_ms: the same bound with every branch on data at its dearer side; None where none is taken.
    """

    components_ms: dict[str, float]
    hottest_mix_pct: dict[str, float]
    notes: tuple[str, ...] = ()
    most_ms: float | None = None

    @property
    def value_ms(self) -> float:
        """The largest component: no run can be faster."""
        return max(self.components_ms.values())

    @property
    def limiter(self) -> str:
        """The component that is largest."""
        return max(self.components_ms, key=lambda name: self.components_ms[name])


def bound(launch: CapturedLaunch, gpu: GpuSpec) -> Bound:
    """Lower bounds of one execution of `launch` on `gpu`."""
    work = work_per_program(launch.ttir, launch.arguments, launch.grid)
    code = sass.listing(launch.cubin, launch.name)
    notes = set(work.unknown)
    components = _components_ms(launch, gpu, work, notes)
    most_ms = _most_ms(launch, gpu) if DATA_BRANCH in notes else None
    return Bound(components, code.mix_pct(), tuple(sorted(notes)), most_ms)


def _most_ms(launch: CapturedLaunch, gpu: GpuSpec) -> float | None:
    """The bound with every branch on data at its dearer side; None where something else was left out too."""
    work = work_per_program(launch.ttir, launch.arguments, launch.grid, dearer=True)
    notes = set(work.unknown)
    components = _components_ms(launch, gpu, work, notes)
    others = {note for note in notes if note != DATA_BRANCH and not note.startswith(AVERAGED)}
    return None if others else max(components.values())


def _components_ms(launch: CapturedLaunch, gpu: GpuSpec, work: Work, notes: set[str]) -> dict[str, float]:
    code = sass.listing(launch.cubin, launch.name)
    if not code.counts()["tensor"]:
        work = work.without_tensor_cores()
    programs = math.prod(launch.grid)
    busiest = -(-programs // gpu.sm_count)  # programs that the busiest SM has to run
    uneven = busiest * gpu.sm_count / programs
    issued = instructions_per_warp(code, work, launch.num_warps, notes)
    clock_hz = gpu.boost_clock_mhz * 1e6
    schedulers = min(_SCHEDULERS, busiest * launch.num_warps)
    warp_slots_s = busiest * launch.num_warps / schedulers / clock_hz
    half_rate = _INTEGER_CLOCKS[gpu.capability <= 90]
    seconds = {
        "memory": _memory_s(launch, work, programs, gpu),
        "tensor cores": uneven * programs * _tensor_s(work, gpu, notes),
        "fp32": uneven * programs * 2 * work.float_instructions / (gpu.dense_peak_tflops.fp32 * 1e12),
        "instruction issue": warp_slots_s * sum(issued.values()),
        "integer pipe": warp_slots_s * half_rate * issued.get("integer", 0.0),
    }
    return {name: value * 1e3 for name, value in seconds.items()}


def instructions_per_warp(code: sass.Listing, work: Work, warps: int, notes: set[str]) -> dict[str, float]:
    """Instructions one warp issues, by class: every instruction once, those of the hottest loop as often as it runs."""
    once: dict[str, float] = dict(Counter(map(class_of, code.opcodes)))
    if code.hottest is None:
        return once
    body = code.within(code.hottest)
    trips = loop_trips(body, work, warps)
    if trips is None and code.counts()["tensor"]:
        return once  # the products were unrolled; loops that only move data count once beside any other loop too
    if trips is None:
        notes.add(
            "the hottest loop neither computes nor moves anything countable, so its instructions were counted once"
        )
        return once
    extra = max(0.0, trips - 1)
    counts = Counter(map(class_of, body))
    return {name: count + extra * counts[name] for name, count in once.items()}


def loop_trips(body: Iterable[str], work: Work, warps: int) -> float | None:
    """How often the SASS loop `body` runs: never more than the TTIR loop it came from, less if it was unrolled."""
    body = tuple(body)
    if work.trips <= 1:
        return 1.0  # no loop in the source: what loops is a slow path of an operator
    ours = max(
        work.loops.values(), key=lambda loop: loop.float_instructions + sum(loop.dot_flop.values()), default=work
    )
    estimates = [_by_tensor(body, ours, warps), _by_float(body, ours, warps)]
    known = [estimate for estimate in estimates if estimate] or _by_moves(body, work, warps)
    return min(max(known), work.trips) if known else None


def _by_tensor(body: tuple[str, ...], work: Work, warps: int) -> float | None:
    per_pass = sum(mma_flop(opcode) or 0 for opcode in body if class_of(opcode) == "tensor")
    flop = sum(amount for precision, amount in work.dot_flop.items() if precision != "ieee")
    return flop / warps / per_pass if per_pass else None


def _by_float(body: tuple[str, ...], work: Work, warps: int) -> float | None:
    per_pass = sum(class_of(opcode) in ("fp32", "fp16", "fp64", "special_function") for opcode in body)
    return work.float_instructions / (warps * 32) / per_pass if per_pass else None


def _by_moves(body: tuple[str, ...], work: Work, warps: int) -> list[float]:
    """From the bytes of a loop that only moves data; the least of all such loops, as it is not known which this is."""
    per_pass = sum(access_bits(opcode) / 8 for opcode in body if class_of(opcode) in ("global_load", "global_store"))
    moved = [sum(loop.read_bytes.values()) + sum(loop.written_bytes.values()) for loop in work.loops.values()]
    return [min(moved) / (warps * 32) / per_pass] if per_pass and min(moved, default=0.0) else []


def _memory_s(launch: CapturedLaunch, work: Work, programs: int, gpu: GpuSpec) -> float:
    """Every byte that is asked for moves once, but no tensor more than once in each direction."""
    moved = sum(
        min(launch.pointer_bytes.get(pointer, math.inf), programs * amount)
        for amounts in (work.read_bytes, work.written_bytes)
        for pointer, amount in amounts.items()
        if pointer
    )
    return moved / (gpu.memory_bandwidth_gb_s * 1e9)


def _tensor_s(work: Work, gpu: GpuSpec, notes: set[str]) -> float:
    """Seconds of one program on the whole GPU's tensor cores."""
    total = 0.0
    for precision, flop in work.dot_flop.items():
        peak = getattr(gpu.dense_peak_tflops, _PEAKS.get(precision, ""), None)
        if peak:
            total += flop / (peak * 1e12)
        elif precision != "ieee":
            notes.add(f"no peak rate of {gpu.name} is known for {precision} products")
    return total
