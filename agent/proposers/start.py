"""Who makes the first attempt of a run that the playbook begins: the playbook by its best guess, or else the model.

Limits: the first attempt only (agent/team.py). The budget is checked as if the model were asked, because it may be.
"""

from collections.abc import Callable

from agent.proposers import Proposal, Proposer
from agent.proposers.errors import NothingToPropose
from agent.proposers.playbook import PlaybookProposer
from prompts.context import Context


class PlaybookStart:
    """The playbook's best guess; where it has none, what the author `otherwise` says."""

    def __init__(self, otherwise: Proposer, *, note: Callable[[str], None]) -> None:
        self.name = PlaybookProposer.name
        self._otherwise = otherwise
        self._note = note

    def propose(self, context: Context, prompt: str) -> Proposal:
        """The kernel of the family that is expected to take least. Raises what the author raises."""
        try:
            return PlaybookProposer().best_guess(context)
        except NothingToPropose as reason:
            self._note(f"the playbook cannot begin, so {self._otherwise.name} does: {reason}")
            return self._otherwise.propose(context, prompt)

    def worst_case_cost_usd(self, prompt: str) -> float | None:
        """That of the author."""
        return self._otherwise.worst_case_cost_usd(prompt)

    def worst_case_tokens(self, prompt: str) -> int:
        """Those of the author."""
        return self._otherwise.worst_case_tokens(prompt)
