"""A plain aligned table, the same on a terminal and in a file.

Limits: text cells, no colour, no wrapping.
"""

from collections.abc import Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns two spaces apart; columns whose cells all start with a digit or minus are right-aligned."""
    widths = [
        max(len(column), *(len(row[i]) for row in rows)) if rows else len(column) for i, column in enumerate(columns)
    ]
    right = [_is_numeric([row[i] for row in rows]) for i in range(len(columns))]
    lines = [_line(row, widths, right) for row in (tuple(columns), *rows)]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    )
    return "  ".join(padded).rstrip()


def _is_numeric(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell not in ("", "-", "n/a")]
    return bool(filled) and all(cell.lstrip("-$<").replace(".", "", 1).isdigit() for cell in filled)
