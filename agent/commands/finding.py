"""One line of `agent doctor`. Limits: how it is printed is doctor.py's."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was tried: whether it works, what was seen, what it limits when it does not."""

    name: str
    works: bool
    seen: str
    limits: str = ""
