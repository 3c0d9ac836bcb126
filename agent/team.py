"""Who answers for which role: one model for all, or another one for the analysis and for repairs.

Limits: who is asked, not what; the words of a role are prompts/templates/<role>.md.j2.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.proposers import Proposer
from prompts.context import Role


@dataclass(frozen=True)
class Team:
    """The author writes; the analyst, where there is one, says what to do first; the repairer mends; the starter, where
    there is one, makes the first attempt, which is not analysed."""

    author: Proposer
    analyst: Proposer | None = None
    repairer: Proposer | None = None
    starter: Proposer | None = None

    def of(self, role: Role, number: int) -> Proposer:
        """Who answers a prompt of this role for the attempt of this number."""
        if self.starter is not None and number == 1:
            return self.starter
        named = {"analyze": self.analyst, "repair": self.repairer}.get(role)
        return named or self.author

    def analyzes(self, role: Role, number: int) -> bool:
        """Whether the analyst is asked before this attempt: not for a repair, which has its verdict to go by."""
        return self.analyst is not None and role != "repair" and (self.starter is None or number > 1)

    def __iter__(self) -> Iterator[Proposer]:
        return (member for member in (self.author, self.analyst, self.repairer) if member is not None)
