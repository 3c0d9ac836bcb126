"""Moves from one configuration to its neighbours, by stage, the most promising first.

    grid      program order, number of programs        memory   stages in flight, width of a reduction step
    tiling    BLOCK_M, BLOCK_N, BLOCK_K                tuning   warps and stages

Limits: one change at a time (warps and stages follow a tile), only what the target can build and what can matter.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.evidence import Evidence
from agent.proposers.playbook.family import Cost, Family, Move, Situation
from agent.proposers.playbook.tiling import ACCUMULATORS, is_buildable

ORDER = ("tiling", "memory", "tuning", "grid")  # by what it gained where it was measured
PAIRS = "pairs"  # no stage: what is left when all of them have been through
_FEW_WAVES = 4.0  # below this the last, partly empty wave is a visible share of the time
NOISE = 1.02  # expected bounds closer than this are equal
_MANY_STALLS_PCT = 20  # the memory stage's own threshold for more stages
_LOW_OCCUPANCY_PCT = 25  # the tiling stage's own target for kernels with tl.dot
_MANY_REGISTERS = 96  # the tuning stage's own threshold


@dataclass(frozen=True)
class Standing:
    """Where a search stands: the configuration to improve and everything known about it."""

    current: Configuration
    family: Family
    situation: Situation
    evidence: Evidence

    @property
    def columns(self) -> int:
        """Programs that share one pixel tile: channel tiles, groups and, where the family splits them, phases."""
        shape = self.situation.shape
        if not self.current.has("BLOCK_N"):
            return 1
        phases = shape.phases if self.family.splits_phases else 1
        phases = phases // shape.stride[2] if self.current.word("JOIN") == "width" else phases
        phases = 1 if self.current.word("JOIN") == "all" else phases
        return shape.groups * math.ceil(shape.out_channels / self.current.number("BLOCK_N")) * phases


def moves(stage: str, standing: Standing) -> list[Move]:
    """What this stage may change, best first; empty where nothing it changes can matter."""
    make = _MOVES.get(stage) if standing.current.has("BLOCK_M") else None
    found = [*_choices(stage, standing), *(make(standing) if make else ())]
    buildable = [move for move in found if _is_buildable(move.configuration, standing.situation)]
    return _ranked(buildable, standing) if stage == "tiling" else buildable


def _choices(stage: str, standing: Standing) -> Iterator[Move]:
    """What only the family knows to change."""
    for choice in standing.family.choices:
        if choice.stage == stage and choice.when(standing.current, standing.situation):
            changed = choice.change(standing.current)
            if changed != standing.current:
                yield Move(changed, choice.reason)


def _grid(standing: Standing) -> Iterator[Move]:
    current, waves = standing.current, standing.evidence.waves
    if waves is not None and waves < _FEW_WAVES and current.number("BLOCK_M") > 32:
        smaller = _resized(standing, "BLOCK_M", current.number("BLOCK_M") // 2)
        yield Move(smaller, f"the grid is only {waves:.1f} waves; smaller tiles fill the SMs more evenly")
    for group in (1, 8, 0):
        if standing.columns > 1 and group != current.number("GROUP_M"):
            yield Move(current.having(GROUP_M=group), _order_reason(group, standing))


def _order_reason(group: int, standing: Standing) -> str:
    hit = standing.evidence.l2_hit_pct
    seen = f"L2 hit rate {hit:.0f} %" if hit is not None else "no profiler figure here"
    order = {
        0: "all pixel tiles of one column first: its weights stay in the caches",
        1: f"the {standing.columns} columns of a pixel tile together (channel tiles, phases), x stays in the L2",
    }
    turns = order.get(group, f"{group} pixel tiles take turns over {standing.columns} columns")
    return f"program order decides what the L2 can reuse ({seen}): {turns}"


def _tiling(standing: Standing) -> Iterator[Move]:
    """Both neighbours of every tile size; no larger one while registers spill."""
    current, cramped = standing.current, _cramped(standing.evidence)
    for name in ("BLOCK_M", "BLOCK_N", "BLOCK_K"):
        if not current.has(name):
            continue
        smaller, larger = current.number(name) // 2, current.number(name) * 2
        if not standing.evidence.spill_bytes and _is_useful(name, larger, standing):
            yield Move(_resized(standing, name, larger), "")
        yield Move(_resized(standing, name, smaller), cramped or "smaller tiles, more of them resident")


def _cramped(evidence: Evidence) -> str:
    """Why a smaller tile may pay, "" where nothing says so."""
    if evidence.spill_bytes:
        return f"{evidence.spill_bytes} bytes per thread spill"
    if evidence.occupancy_pct is not None and evidence.occupancy_pct < _LOW_OCCUPANCY_PCT:
        return _resources(evidence)
    return ""


def _is_useful(name: str, value: int, standing: Standing) -> bool:
    """Whether a tile of this size is not mostly padding."""
    limits = standing.family.extents(standing.situation.shape)
    return name not in limits or value < 2 * limits[name]


def _memory(standing: Standing) -> Iterator[Move]:
    current, stalls = standing.current, standing.evidence.memory_stall_pct
    seen = f"memory stalls {stalls:.0f} %" if stalls is not None else "stalls are not measured here"
    if current.has("NUM_STAGES"):
        stages = current.number("NUM_STAGES")
        for value in (stages + 1, stages - 1) if stalls is None or stalls > _MANY_STALLS_PCT else (stages - 1,):
            yield Move(
                current.having(NUM_STAGES=value), f"{seen}: {max(0, value - 1)} tiles in flight while one is multiplied"
            )
    if current.has("BLOCK_K") and _is_useful("BLOCK_K", current.number("BLOCK_K") * 2, standing):
        wider = _resized(standing, "BLOCK_K", current.number("BLOCK_K") * 2)
        yield Move(wider, f"{seen}: wider steps mean longer contiguous reads and half the loop overhead")


def _tuning(standing: Standing) -> Iterator[Move]:
    current, evidence = standing.current, standing.evidence
    warps, seen = current.number("NUM_WARPS"), _resources(evidence)
    more_first = evidence.registers is None or evidence.registers > _MANY_REGISTERS
    for value in (warps * 2, warps // 2) if more_first else (warps // 2, warps * 2):
        goal = "fewer registers per thread" if value > warps else "more work per warp between barriers"
        yield Move(current.having(NUM_WARPS=value), f"{seen}: {value} warps give {goal}")
    if current.has("NUM_STAGES"):
        for value in (current.number("NUM_STAGES") - 1, current.number("NUM_STAGES") + 1):
            yield Move(current.having(NUM_STAGES=value), f"{seen}: {value} stages trade shared memory against latency")


def _pairs(standing: Standing) -> Iterator[Move]:
    """Two knobs at a time, where a clock can tell: positions, warps and stages pay for each other."""
    current = standing.current
    if standing.evidence.measured_ms is None or not current.has("NUM_STAGES"):
        return
    for factor, warps, stages in product((0.5, 1, 2), (0.5, 1, 2), (-1, 0, 1)):
        if (factor != 1) + (warps != 1) + (stages != 0) == 2:
            changed = current.having(
                BLOCK_M=int(current.number("BLOCK_M") * factor),
                NUM_WARPS=int(current.number("NUM_WARPS") * warps),
                NUM_STAGES=current.number("NUM_STAGES") + stages,
            )
            yield Move(changed, f"measured one by one they gained nothing, so two: {changed.changes_from(current)}")


def _resources(evidence: Evidence) -> str:
    if evidence.registers is None or evidence.occupancy_pct is None:
        return "resources unknown"
    limited = f" limited by {evidence.occupancy_limiter}" if evidence.occupancy_limiter else ""
    return f"{evidence.registers} registers, occupancy at most {evidence.occupancy_pct:.0f} %{limited}"


_MOVES: dict[str, Callable[[Standing], Iterator[Move]]] = {
    "grid": _grid,
    "tiling": _tiling,
    "memory": _memory,
    "tuning": _tuning,
    PAIRS: _pairs,
}


def _ranked(found: list[Move], standing: Standing) -> list[Move]:
    """Tiles by expected bound (differences under 2 % do not count), then by the bytes they load; none expected to be
    slower unless the compiled evidence asks for it or a clock can tell."""
    situation, cost = standing.situation, standing.family.cost
    limit_ms = cost(standing.current, situation).bound_ms * NOISE
    costed = [(cost(move.configuration, situation), move) for move in found]
    cramped = _cramped(standing.evidence)
    is_open = bool(cramped) or standing.evidence.measured_ms is not None
    worthwhile = [(cost, move) for cost, move in costed if is_open or cost.bound_ms <= limit_ms]
    worthwhile.sort(
        key=lambda pair: (
            not (cramped and pair[1].reason),
            _rounded(pair[0].bound_ms),
            pair[0].tile_bytes,
            pair[1].reason,
        )
    )
    return [Move(move.configuration, _tile_reason(move, cost)) for cost, move in worthwhile]


def _rounded(bound_ms: float) -> int:
    return round(math.log(bound_ms) / math.log(NOISE))


def _tile_reason(move: Move, cost: Cost) -> str:
    loads = f"tiles load {cost.tile_bytes / 1e9:.3g} GB through L2, " if math.isfinite(cost.tile_bytes) else ""
    expected = f"{loads}bound by the playbook's model {cost.bound_ms:.3g} ms ({cost.limiter})"
    return f"{move.reason}; {expected}" if move.reason else expected


def _is_buildable(configuration: Configuration, situation: Situation) -> bool:
    if not configuration.has("BLOCK_M"):
        return True  # a family with knobs of its own offers only what can be built
    if configuration.has("BLOCK_K"):
        item_bytes = 2 if configuration.word("PRECISION") == "half" else situation.shape.item_bytes  # split: two of 2
        return is_buildable(configuration, situation, item_bytes)
    block_m, block_n, warps = (configuration.number(name) for name in ("BLOCK_M", "BLOCK_N", "NUM_WARPS"))
    return min(block_m // 32, block_n, warps) >= 1 and warps <= 16 and block_m * block_n <= 32 * warps * ACCUMULATORS


def _resized(standing: Standing, name: str, value: int) -> Configuration:
    """Another tile size, with the warps and stages that go with it: registers and shared memory stay about as full."""
    changed = standing.current.having(**{name: value})
    if not changed.has("BLOCK_K"):
        return changed
    tile = changed.number("BLOCK_M") * changed.number("BLOCK_N")
    warps = max(1, min(8, tile // (32 * standing.family.accumulators)))
    if standing.situation.gpu.capability == 90 and changed.has("LEFT"):
        warps = max(4, min(8, tile // (32 * 2 * standing.family.accumulators)))  # its instruction takes four warps
    changed = changed.having(NUM_WARPS=warps)
    while changed.number("NUM_STAGES") > 2 and not _is_buildable(changed, standing.situation):
        changed = changed.having(NUM_STAGES=changed.number("NUM_STAGES") - 1)
    return changed
