"""The playbook: a rule-based author of kernels that answers the same prompt as a model, in the same format, for free.

    recognition.py            what is to be computed       family.py, families/   what can be written, a file each
    reference.py, shape.py    of one convolution           formulas/              of elementwise chains, rows, products
    record.py, evidence.py    what was tried and found     search.py, repair.py   what is written next
    exactness.py              how exact it must be         emission.py            the file and the reply

It reads the context value instead of the rendered prompt. It knows nothing of verdicts: its kernels are judged like any
other.

Limits: references that are one convolution of either kind, an elementwise chain, reductions over neighbouring
dimensions or one matrix product with what follows it. Any other problem ends with NothingToPropose and the reason.
"""

from agent.proposers import Proposal
from agent.proposers.errors import NothingToPropose
from agent.proposers.playbook.emission import given_reply, reply_text
from agent.proposers.playbook.evidence import Evidence, evidence_about
from agent.proposers.playbook.exactness import exactness
from agent.proposers.playbook.family import Move, Situation, family_of
from agent.proposers.playbook.recognition import Subject, recognise
from agent.proposers.playbook.record import Record, configuration_of, record_of
from agent.proposers.playbook.repair import repair
from agent.proposers.playbook.search import best_guess, next_move
from evaluators.evaluation import Failed
from prompts.context import Context
from runs.nouns import Usage

__all__ = ["NothingToPropose", "PlaybookProposer"]


class PlaybookProposer:
    """Deterministic and without state: equal contexts give equal replies, so a resumed run goes on as it would have."""

    name = "playbook"

    def propose(self, context: Context, prompt: str) -> Proposal:
        """The code that the run was given, first of all; then the next kernel with its plan.

        Raises NothingToPropose, with the reason, when there is none.
        """
        given = context.base
        if given is not None and given.number is None and not context.history:
            return _proposal(given_reply(given.source))
        subject, record = _subject(context), record_of(context)
        return _proposal(_reply(subject, _move(context, _situation(context, subject, record), record)))

    def best_guess(self, context: Context) -> Proposal:
        """The kernel expected to take least, where propose() begins with the plainest. Raises NothingToPropose."""
        subject = _subject(context)
        return _proposal(_reply(subject, best_guess(_situation(context, subject, record_of(context)))))

    def worst_case_cost_usd(self, prompt: str) -> float | None:
        """Free."""
        return 0.0

    def worst_case_tokens(self, prompt: str) -> int:
        """None: nothing is metered."""
        return 0


def _proposal(reply: str) -> Proposal:
    return Proposal(reply=reply, model=PlaybookProposer.name, usage=Usage(requests=0, cost_usd=0.0, cost_source="free"))


def _reply(subject: Subject, move: Move) -> str:
    family = family_of(move.configuration)
    assert family is not None, "moves name families that exist"
    return reply_text(move.configuration, move.reason, subject.write(move.configuration, family))


def _subject(context: Context) -> Subject:
    if context.facts is None:
        raise NothingToPropose("nothing is known about the reference's sizes; the playbook cannot choose a kernel")
    return recognise(context.problem, context.facts)


def _situation(context: Context, subject: Subject, record: Record) -> Situation:
    allowed_error, refusal = exactness(context, subject)
    return Situation(subject.shape, context.gpu, allowed_error, record.too_coarse, refusal)


def _move(context: Context, situation: Situation, record: Record) -> Move:
    current = configuration_of(context.base)
    failure = context.base.evaluation if context.base else None
    is_refused = current is not None and not situation.admits(current)
    if context.role == "repair" and not is_refused and current is not None and isinstance(failure, Failed):
        remedy = repair(current, failure, situation, record)
        if remedy is not None:
            return remedy
    admitted = record.of(situation.admits)
    if is_refused or context.role == "repair":
        current = admitted.best
    evidence = Evidence() if is_refused else evidence_about(context)
    move = next_move(context.stage.key, current, situation, admitted, evidence)
    return Move(move.configuration, f"{situation.refusal}: {move.reason}") if is_refused else move
