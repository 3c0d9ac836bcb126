"""Format `standalone`: one file with `ModelNew`, its provenance and a self-check (runs/export.py).

Limits: KernelBench reads it as it is; the self-check is one draw of inputs.
"""

from runs.export import export_source
from runs.exports.winner import Winner


def files(winner: Winner) -> dict[str, str]:
    """The one file."""
    return {f"{winner.identifier}.py": export_source(winner.directory, winner.attempt.number)}
