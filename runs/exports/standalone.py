"""Format `standalone`: one file with `ModelNew`, its provenance and a self-check (runs/export.py).

Limits: KernelBench reads it as it is; the self-check is one draw of inputs.
"""

import shlex
from pathlib import Path

from runs.export import export_source
from runs.exports.winner import Winner


def files(winner: Winner) -> dict[str, str]:
    """The one file."""
    return {f"{winner.identifier}.py": export_source(winner.directory, winner.attempt.number)}


def loading(winner: Winner, at: Path) -> str:
    """How the file is used."""
    used = f"; use it from its folder: from {at.stem} import ModelNew" if at.stem.isidentifier() else ""
    return f"check it: python {shlex.quote(str(at))}{used}"
