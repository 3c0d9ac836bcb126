"""One kernel the playbook can write: a family and its knobs. Its text form opens every plan and every emitted file.

    phase_window BLOCK_M=128 BLOCK_N=64 NUM_WARPS=4

The playbook keeps no state: what it has tried is what it reads back from the plans in the record.

Limits: a text by somebody else that happens to look like one is taken for one.
"""

import re
from dataclasses import dataclass

Knob = int | str
_TEXT = re.compile(r"\b([a-z][a-z0-9_]*)((?: [A-Z][A-Z0-9_]*=[a-z0-9_]+)+)")


@dataclass(frozen=True)
class Configuration:
    """A family with a value for each of its knobs, in the family's order."""

    family: str
    knobs: tuple[tuple[str, Knob], ...]

    def number(self, name: str) -> int:
        """The value of a numeric knob."""
        return int(dict(self.knobs)[name])

    def word(self, name: str, default: str = "") -> str:
        """The value of a named choice; `default` where the family has no such knob."""
        return str(dict(self.knobs).get(name, default))

    def has(self, name: str) -> bool:
        """Whether the family has this knob."""
        return name in dict(self.knobs)

    def having(self, **changes: Knob) -> "Configuration":
        """The same configuration with other values of knobs it has."""
        return Configuration(self.family, tuple((name, changes.get(name, value)) for name, value in self.knobs))

    def changes_from(self, other: "Configuration") -> str:
        """The knobs that differ, as `BLOCK_M 64 -> 128`."""
        before = dict(other.knobs)
        return ", ".join(f"{name} {before[name]} -> {value}" for name, value in self.knobs if before.get(name) != value)

    def __str__(self) -> str:
        return " ".join((self.family, *(f"{name}={value}" for name, value in self.knobs)))


def read_configuration(text: str) -> Configuration | None:
    """The first configuration written in a text; None where there is none."""
    found = _TEXT.search(text)
    if found is None:
        return None
    pairs = (pair.split("=") for pair in found[2].split())
    return Configuration(found[1], tuple((name, int(value) if value.isdigit() else value) for name, value in pairs))
