"""The algorithm families a plan names, and the one it believes in: `families: A, B, C; believe in B: because ...`.

Limits: what the plan says, in that form; whether the code is of that family is agent/behaviour.py's to read.
"""

import re

_NAMED = re.compile(
    r"\bfamilies\W*:\s*(?P<all>[^;\n]+)(?:;\s*(?:I\s+)?believe in\s+(?P<one>[^:;,.\n]+))?", re.IGNORECASE
)
_MOST = 8
_MOST_CHARS = 60


def families_named(plan: str) -> tuple[str, ...]:
    """The families in the order of belief: the one believed in first, then the others as they are named."""
    found = _NAMED.search(plan)
    if found is None:
        return ()
    names = [name for part in found["all"].split(",") if (name := _tidy(part))]
    believed = _tidy(found["one"] or "")
    others = [name for name in names if name.casefold() != believed.casefold()]
    return tuple(filter(None, (believed, *others)))[:_MOST]


def _tidy(name: str) -> str:
    return " ".join(name.split()).strip("`*_.\"' ")[:_MOST_CHARS]
