"""What the run has taught the playbook: configurations tried, families that were wrong, the configuration of a base.

Limits: it sees what the context shows; attempts older than the context's history are forgotten.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from agent.proposers.playbook.configuration import Configuration, read_configuration
from agent.proposers.playbook.family import family_of
from prompts.context import Base, Context, PastAttempt

# Failures that speak against the family's code. A tile that is too large or too slow speaks only against the tile.
_CODE_IS_WRONG = {
    "incorrect_shape",
    "incorrect_dtype",
    "incorrect_numerical",
    "incorrect_weights",
    "rejected",
    "crashed",
}


@dataclass(frozen=True)
class Record:
    """The history as configurations, in order; attempts by somebody else are left out."""

    entries: tuple[tuple[PastAttempt, Configuration], ...]

    @property
    def tried(self) -> frozenset[Configuration]:
        """Every configuration proposed before."""
        return frozenset(configuration for _, configuration in self.entries)

    @property
    def families(self) -> frozenset[str]:
        """Every family proposed before."""
        return frozenset(configuration.family for configuration in self.tried)

    @property
    def dropped(self) -> frozenset[str]:
        """Families whose code was found wrong and never right. Wrong numbers are first blamed on rounding."""
        right = {configuration.family for past, configuration in self.entries if past.verdict != "failed"}
        wrong = {
            configuration.family
            for past, configuration in self.entries
            if past.kind in _CODE_IS_WRONG and not _may_be_rounding(past, configuration)
        }
        return frozenset(wrong - right)

    @property
    def too_coarse(self) -> frozenset[str]:
        """Roundings that only ever gave wrong numbers here."""
        right = {configuration.word("PRECISION") for past, configuration in self.entries if past.verdict != "failed"}
        blamed = {
            configuration.word("PRECISION")
            for past, configuration in self.entries
            if _may_be_rounding(past, configuration)
        }
        return frozenset(blamed - right)

    @property
    def is_unproved(self) -> bool:
        """Something was tried that this machine cannot verify, and nothing passed."""
        verdicts = {past.verdict for past, _ in self.entries}
        return "unverified" in verdicts and "passed" not in verdicts

    @property
    def fastest_ms(self) -> dict[str, float]:
        """The least measured time of every family that was measured."""
        found: dict[str, float] = {}
        for past, configuration in self.entries:
            if past.measured_ms is not None:
                found[configuration.family] = min(past.measured_ms, found.get(configuration.family, math.inf))
        return found

    @property
    def fruitless(self) -> int:
        """Attempts measured since the last one that was kept."""
        count = 0
        for past, _ in reversed(self.entries):
            if past.decision == "keep":
                break
            count += past.measured_ms is not None
        return count

    def of(self, admits: Callable[[Configuration], bool]) -> "Record":
        """What it says of these configurations only."""
        return Record(tuple(entry for entry in self.entries if admits(entry[1])))

    def fastest_of(self, family: str) -> Configuration | None:
        """The configuration of a family with the least measured time."""
        own = [(past.measured_ms, place) for place, (past, c) in enumerate(self.entries) if c.family == family]
        timed = [(ms, place) for ms, place in own if ms is not None]
        return self.entries[min(timed)[1]][1] if timed else None

    @property
    def best(self) -> Configuration | None:
        """The configuration kept last."""
        kept = [configuration for past, configuration in self.entries if past.decision == "keep"]
        return kept[-1] if kept else None


def record_of(context: Context) -> Record:
    """Read the plans of the history."""
    read = ((past, _known(past.plan)) for past in context.history)
    return Record(tuple((past, configuration) for past, configuration in read if configuration is not None))


def configuration_of(base: Base | None) -> Configuration | None:
    """The configuration in the first line of the base's code; None for code the playbook did not write."""
    first_line = base.source.lstrip().partition("\n")[0] if base else ""
    return _known(first_line)


def _may_be_rounding(past: PastAttempt, configuration: Configuration) -> bool:
    return past.kind == "incorrect_numerical" and configuration.word("PRECISION") in ("half", "tf32", "split", "tf32x3")


def _known(text: str) -> Configuration | None:
    """A configuration of a family that exists, with exactly the knobs it has."""
    configuration = read_configuration(text)
    family = family_of(configuration) if configuration else None
    if configuration is None or family is None or tuple(name for name, _ in configuration.knobs) != family.knobs:
        return None
    sizes = (value for name, value in configuration.knobs if name.startswith(("BLOCK", "GROUP", "NUM")))
    return configuration if all(isinstance(value, int) for value in sizes) else None
