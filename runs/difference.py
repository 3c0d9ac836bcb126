"""What an attempt changed: the unified diff of its code to its parent's.

Limits: lines of text; equal code gives nothing.
"""

import difflib

MAX_LINES = 4000  # difflib is quadratic; kernel files have 100 to 1000 lines


def difference(before: str, after: str, names: tuple[str, str]) -> list[str]:
    """Lines of a unified diff from `before` to `after`, named as given."""
    old, new = before.split("\n"), after.split("\n")
    if max(len(old), len(new)) > MAX_LINES:
        return [f"{names[1]} is too long to compare ({len(new)} lines)"]
    return list(difflib.unified_diff(old, new, *names, lineterm=""))


def change_text(lines: list[str]) -> str:
    """`+12 -3` lines."""
    added = sum(line.startswith("+") and not line.startswith("+++") for line in lines)
    removed = sum(line.startswith("-") and not line.startswith("---") for line in lines)
    return f"+{added} -{removed} lines"
