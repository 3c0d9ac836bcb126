"""The playbook: a rule-based author of kernels that answers the same prompt as a model, in the same format, for free.

    reference.py, shape.py    what is to be computed       family.py, families/   what can be written, a file each
    record.py, evidence.py    what was tried and found     search.py, repair.py   what is written next
    emission.py               the file and the reply

It reads the context value instead of the rendered prompt. It knows nothing of verdicts: its kernels are judged like any
other.

Limits: single transposed convolutions. Any other problem ends with NothingToPropose and the reason.
"""

from agent.proposers import Proposal
from agent.proposers.errors import NothingToPropose
from agent.proposers.playbook.emission import candidate_source, given_reply, reply_text
from agent.proposers.playbook.evidence import evidence_about
from agent.proposers.playbook.family import Move, Situation, family_of
from agent.proposers.playbook.record import Record, configuration_of, record_of
from agent.proposers.playbook.reference import read_reference
from agent.proposers.playbook.repair import repair
from agent.proposers.playbook.search import next_move
from agent.proposers.playbook.shape import shape_from
from evaluators.evaluation import Failed
from prompts.context import Context
from runs.nouns import Usage

__all__ = ["NothingToPropose", "PlaybookProposer"]


class PlaybookProposer:
    """Deterministic and without state: equal contexts give equal replies, so a resumed run goes on as it would have."""

    name = "playbook"

    def propose(self, context: Context, prompt: str) -> Proposal:
        """The next kernel with its plan. Raises NothingToPropose, with the reason, when there is none."""
        try:
            return _proposal(self._reply(context))
        except NothingToPropose:
            if context.history or context.base is None or context.base.number is not None:
                raise
            return _proposal(given_reply(context.base.source))  # what the user brought is judged all the same

    def _reply(self, context: Context) -> str:
        if context.facts is None:
            raise NothingToPropose("nothing is known about the reference's sizes; the playbook cannot choose a kernel")
        reference = read_reference(context.problem.source)
        tolerance = context.problem.tolerance
        record = record_of(context)
        situation = Situation(
            shape=shape_from(context.facts, reference.layer),
            gpu=context.gpu,
            allowed_error=tolerance.error_multiple * tolerance.tf32_floor,
            too_coarse=record.too_coarse,
        )
        move = _move(context, situation, record)
        family = family_of(move.configuration)
        assert family is not None, "moves name families that exist"
        source = candidate_source(move.configuration, family, reference)
        return reply_text(move.configuration, move.reason, source)

    def worst_case_cost_usd(self, prompt: str) -> float | None:
        """Free."""
        return 0.0

    def worst_case_tokens(self, prompt: str) -> int:
        """None: nothing is metered."""
        return 0


def _proposal(reply: str) -> Proposal:
    return Proposal(reply=reply, model=PlaybookProposer.name, usage=Usage(requests=0, cost_usd=0.0, cost_source="free"))


def _move(context: Context, situation: Situation, record: Record) -> Move:
    current = configuration_of(context.base)
    failure = context.base.evaluation if context.base else None
    if context.role == "repair":
        if current is not None and isinstance(failure, Failed):
            remedy = repair(current, failure, situation, record)
            if remedy is not None:
                return remedy
        current = record.best
    return next_move(context.stage.key, current, situation, record, evidence_about(context))
