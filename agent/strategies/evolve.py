"""Evolution on islands: an archive of unlike kernels per island, crossover inside it, migration between islands.

The archive of an island holds the best candidate of every behaviour (algorithm family x memory pattern x precision, as
agent/behaviour.py reads them from the code). Islands take turns. A parent is drawn from the archive, the better the
likelier, and shown beside a partner of another behaviour; every `migration` turns of an island the parent is its
neighbour's best. The draw is a hash of the attempt's number: equal records give equal plans.

Limits: behaviour is what the syntax tree shows. Nothing is removed: the archive is computed from the record.
"""

import hashlib
from dataclasses import dataclass

from agent.policy import Plan, Position, no_more, whole_number
from agent.stage_walk import first_stage, repair_plan, walk
from agent.strategies.beam import children, survivors, unlike
from runs.nouns import Attempt
from runs.state import RunState


@dataclass(frozen=True)
class Evolve:
    """`islands` populations; a migrant every `migration` turns of each."""

    islands: int = 2
    migration: int = 4
    name: str = "evolve"

    def next(self, position: Position) -> Plan:
        """The plan of the next attempt."""
        repair = repair_plan(position)
        if repair is not None:
            return repair
        state = position.state
        turn = sum(attempt.role != "repair" for attempt in state.attempts)
        archives = _archives(state, self._homes(state))
        archive = archives.get(turn % self.islands, [])
        if not archive:
            stage, skipped = first_stage(position.stages)
            roots = [attempt for attempt in state.attempts if attempt.role == "propose"]
            return Plan(stage, "propose", None, skipped, hint=unlike(roots))
        parent, partner = self._pair(archives, turn)
        stage, skipped = walk(position.stages, children(state, parent), position.evidence(parent))
        partners = () if partner is None else (partner.number,)
        return Plan(stage, "optimize", parent.number, skipped, partners, _crossover(partner))

    def _pair(self, archives: dict[int, list[Attempt]], turn: int) -> tuple[Attempt, Attempt | None]:
        round_, island = divmod(turn, self.islands)
        archive = archives[island]
        neighbours = archives.get((island + 1) % self.islands, []) if self.islands > 1 else []
        if neighbours and round_ % self.migration == self.migration - 1:
            return neighbours[0], archive[0]
        parent = archive[int(len(archive) * _draw(turn, "parent") ** 2)]  # squared: the front of the list is likelier
        others = [attempt for attempt in archive if attempt.number != parent.number]
        return parent, others[int(len(others) * _draw(turn, "partner"))] if others else None

    def _homes(self, state: RunState) -> dict[int, int]:
        """The island of every attempt: the one whose turn it was; a repair stays where its failure was."""
        homes: dict[int, int] = {}
        turn = 0
        for attempt in state.attempts:
            if attempt.role == "repair" and attempt.parent in homes:
                homes[attempt.number] = homes[attempt.parent]
                continue
            homes[attempt.number] = turn % self.islands
            turn += attempt.role != "repair"
        return homes


def _archives(state: RunState, homes: dict[int, int]) -> dict[int, list[Attempt]]:
    """Of every island the best of every behaviour, best first."""
    best: dict[tuple[int, str], Attempt] = {}
    for attempt in survivors(state):
        best.setdefault((homes[attempt.number], attempt.behaviour), attempt)
    archives: dict[int, list[Attempt]] = {}
    for (island, _), attempt in best.items():
        archives.setdefault(island, []).append(attempt)
    return archives


def _draw(turn: int, what: str) -> float:
    """A number in [0, 1), the same for the same turn."""
    return int.from_bytes(hashlib.sha256(f"{what} {turn}".encode()).digest()[:6], "big") / 2**48


def _crossover(partner: Attempt | None) -> str:
    if partner is None:
        return ""
    return f"take over from attempt {partner.number}, shown beside the current code, what the current code lacks"


def strategy(options: dict[str, str]) -> Evolve:
    """evolve:islands=2,migration=4."""
    found = Evolve(whole_number(options, "islands", 2), whole_number(options, "migration", 4))
    no_more(options, "islands, migration")
    return found
