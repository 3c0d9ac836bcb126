"""What was compiled and what was interpreted must be the same launches: kernels, grids and scalar arguments.

A candidate that can tell the interpreter from the compiler could compute honestly where its numbers are checked and
idle where its instructions are counted. Both runs are at the published size and see the same target, so they must
agree. Limits: both records are made beside the candidate's code, so they reject and never acquit; what a kernel's
own text decides at compile time is not seen in its arguments.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evaluators.judge.verdicts import Wrong
from evaluators.rungs import CapturedLaunch

CHECK = "same_launches"
Scalars = Mapping[str, int | float | bool | None]
_ARGUMENTS = TypeAdapter(list[dict[str, bool | int | float | None]])


def require_same_launches(compiled: Sequence[CapturedLaunch], report: Mapping[str, Any]) -> int:
    """How many interpreted launches have a compiled one of the same grid and arguments.

    Raises Wrong where one lacks it.
    """
    try:
        arguments = _ARGUMENTS.validate_python(report.get("arguments", []))
    except ValidationError:
        raise Wrong(CHECK, "crashed", "the candidate's process sent malformed launch arguments") from None
    launches = list(zip(report.get("launches", []), arguments, strict=False))
    for (name, grid, *_), scalars in launches:
        _require_one(compiled, str(name), tuple(grid), scalars)
    return len(launches)


def _require_one(compiled: Sequence[CapturedLaunch], name: str, grid: tuple[int, ...], scalars: Scalars) -> None:
    named = [launch for launch in compiled if launch.name == name]
    if any(launch.grid == grid and not _differing(launch.arguments, scalars) for launch in named):
        return
    if not named:
        raise Wrong(CHECK, "rejected", f"kernel {name} runs when interpreted and not when compiled: {_ADVICE}")
    nearest = min(named, key=lambda launch: (launch.grid != grid) + len(_differing(launch.arguments, scalars)))
    differences = _differing(nearest.arguments, scalars)
    said = [f"{key}={scalars[key]} (compiled: {nearest.arguments[key]})" for key in differences[:5]]
    said += [f"grid {grid} (compiled: {nearest.grid})"] * (nearest.grid != grid)
    raise Wrong(
        CHECK, "rejected", f"kernel {name} is launched differently when interpreted: {', '.join(said)}: {_ADVICE}"
    )


_ADVICE = "launches must depend on shapes, parameters and the device only, never on how the code is run"


def _differing(compiled: Scalars, interpreted: Scalars) -> list[str]:
    return [key for key in interpreted if key in compiled and not _equal(compiled[key], interpreted[key])]


def _equal(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or math.isclose(one, other, rel_tol=1e-6)
    return one == other
