"""How far the estimated bounds lie below measured times: what was found, by GPU and version of Triton.

Files in evaluators/calibrations/ hold the findings; `python tests/calibrate.py` makes one from measured rows.
Limits: says how bounds ordered a few dozen kernels on one GPU; it scales no bound and ranks nothing.
"""

import tomllib
from functools import cache
from pathlib import Path

from evaluators.frozen import Frozen

_FOLDER = Path(__file__).parent / "calibrations"


class Calibration(Frozen):
    """Bounds against measured times of `kernels` kernels on one GPU.

    spearman: rank correlation over all; spearman_within: after dividing by each problem's geometric means, so that
    large problems do not do the ranking. ratios: measured time over bound.
    """

    gpu: str  # key of the catalog
    triton: str
    kernels: int
    problems: int
    spearman: float
    spearman_within: float
    median_ratio: float
    p20_ratio: float
    p80_ratio: float
    clock: str
    date: str
    command: str

    @property
    def said(self) -> str:
        """In words."""
        return (
            f"over {self.kernels} kernels of {self.problems} problems measured on {self.gpu} (Triton {self.triton}): "
            f"Spearman {self.spearman:.2f} ({self.spearman_within:.2f} within a problem), measured time "
            f"{self.median_ratio:.2g} times the bound (p20 to p80: {self.p20_ratio:.2g} to {self.p80_ratio:.2g})"
        )


def calibration_words(gpu: str, triton: str) -> tuple[bool, str]:
    """Whether bounds for this GPU and compiler were held against measured times, and what was found."""
    found = next((each for each in _all() if (each.gpu, each.triton) == (gpu, triton)), None)
    if found is not None:
        return True, f"calibrated {found.said}"
    near = next((each for each in _all() if each.gpu == gpu), None)
    said = f"not calibrated for {gpu} with Triton {triton}"
    return False, f"{said}; {near.said}" if near else said


@cache
def _all() -> tuple[Calibration, ...]:
    return tuple(Calibration.model_validate(tomllib.loads(path.read_text())) for path in sorted(_FOLDER.glob("*.toml")))
