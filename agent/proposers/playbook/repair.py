"""What to do about a failed configuration: a smaller tile, more registers per thread, or a plainer family.

Limits: it reacts to the kind of the failure and to the compiler's message; it does not debug a kernel.
"""

from collections.abc import Iterator

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.family import Move, Situation, family_of
from agent.proposers.playbook.record import Record
from agent.proposers.playbook.search import fitting
from evaluators.evaluation import Failed

_RESOURCES = ("outofresources", "out of resource", "shared memory", "registers", "too many resources")


def repair(failed: Configuration, failure: Failed, situation: Situation, record: Record) -> Move | None:
    """The next configuration after a failure; None where the playbook has no remedy left."""
    for move in _remedies(failed, failure, situation, record):
        if move.configuration not in record.tried and move.configuration != failed:
            return move
    return None


def _remedies(failed: Configuration, failure: Failed, situation: Situation, record: Record) -> Iterator[Move]:
    said = f"{failure.kind} in {failed.family}"
    if failure.kind == "timeout" or _is_out_of_resources(failure):
        yield from _smaller(failed, said)
    elif failure.kind == "out_of_memory":
        yield from _plainer(failed, situation, record, f"{said}: a family without packed copies needs less memory")
    elif failure.kind == "incorrect_numerical":
        yield from _more_exact(failed, situation, said)
    yield from _plainer(failed, situation, record, f"{said}: step back to a plainer kernel")


def _is_out_of_resources(failure: Failed) -> bool:
    return failure.kind == "compile_error" and any(word in failure.message.lower() for word in _RESOURCES)


def _smaller(failed: Configuration, said: str) -> Iterator[Move]:
    """Less of what ran out, the cheapest sacrifice first."""
    for name, least in (("NUM_STAGES", 2), ("BLOCK_K", 16), ("BLOCK_M", 32), ("BLOCK_N", 16)):
        if failed.has(name) and failed.number(name) > least:
            value = failed.number(name) - 1 if name == "NUM_STAGES" else failed.number(name) // 2
            yield Move(failed.having(**{name: value}), f"{said}: {name} {failed.number(name)} -> {value} needs less")


def _more_exact(failed: Configuration, situation: Situation, said: str) -> Iterator[Move]:
    """The same kernel with less rounding, where it rounds at all."""
    family = family_of(failed)
    if family is None or not failed.has("PRECISION"):
        return
    yield Move(family.start(situation), f"{said}: the next precision that was not too coarse")
    if failed.has("BLOCK_M") and failed.word("PRECISION") != "ieee":
        yield Move(failed.having(PRECISION="ieee"), f"{said}: fp32 products round nothing")


def _plainer(failed: Configuration, situation: Situation, record: Record, reason: str) -> Iterator[Move]:
    family = family_of(failed)
    rank = family.rank if family else 0
    trusted = [other for other in fitting(situation) if other.rank < rank and other.name not in record.dropped]
    for plainer in reversed(trusted):
        yield Move(plainer.start(situation), reason)
