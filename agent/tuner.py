"""Judge a candidate, and where it has a SPACE search its points: the machine's part, without a token.

1 the file as written climbs the whole ladder: what is wrong there is not tuned
2 other points are compiled only, at most `points` of them: the neighbours of the best so far, then the nearest
3 the best by compiled figures climb the whole ladder in that order, until one holds; where a clock measures them the
  fastest of the few is taken

Points are ranked by bound, spilled bytes, the next limit of the estimate, occupancy. What does not fit the GPU (shared
memory, registers) comes last and costs a compilation. Every verdict is on disk before the next is sought, so a run that
was killed goes on where it was.

Limits: one file at a time. Whether the result is better than the best of the run is agent/decision.py.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agent.behaviour import program_of
from agent.point_rank import fits, latency_ms, point_rank, preference, row_of
from agent.space import BadSpace, Point, Space, read_space
from evaluators.candidate import Candidate, candidate_from
from evaluators.client import JudgeBug
from evaluators.evaluation import Evaluation, Rung, evaluation_adapter
from prompts.context import TunedPoint, Tuning
from runs.record import Record
from runs.store import point_file

COMPILED: tuple[Rung, ...] = ("screen", "build", "estimate")  # what ranks a point; its numbers are not checked
TUNE_POINTS = 8  # by default; a point costs about half of a whole verdict (docs/log.md)
CONFIRMED = 3  # points that climb the whole ladder at most, beside the file as written
Evaluate = Callable[[Candidate, Sequence[Rung] | None], Evaluation]


@dataclass(frozen=True)
class Tuned:
    """What became of a file: the candidate that stands for it, its verdict, and the points, if there were any."""

    candidate: Candidate
    evaluation: Evaluation
    tuning: Tuning | None = None


@dataclass
class _Found:
    """What is known of the points so far, in the order they were tried; a full verdict replaces a compiled one."""

    space: Space
    compiled: dict[Point, Evaluation] = field(default_factory=dict)
    rows: dict[Point, TunedPoint] = field(default_factory=dict)
    seconds: float = 0.0  # of all verdicts

    @property
    def ranked(self) -> list[Point]:
        """The points that were compiled, best first; of equals the one that was tried first."""
        return sorted(self.compiled, key=lambda point: point_rank(self.compiled[point]))

    def next_point(self) -> Point | None:
        """The untried point to compile next."""
        best = self.ranked[0]
        near = (point for point in self.space.neighbours(best) if point not in self.rows)
        return next(near, None) or next((p for p in self.space.by_distance(best) if p not in self.rows), None)

    def reason(self, chosen: Point) -> str:
        """Why this point became the candidate and not the one that ranks next to it."""
        timed = [row for row in self.rows.values() if row.latency_ms is not None]
        if self.rows[chosen].latency_ms is not None and len(timed) > 1:
            return f"the fastest of {len(timed)} that were measured"
        place = self.ranked.index(chosen)
        above = f"{place} that rank above it do not hold; " if place else ""
        below = self.ranked[place + 1 :]
        if not below:
            return f"{above}no other point compiles"
        why = preference(self.compiled[chosen], self.compiled[below[0]])
        return f"{above}next is {self.rows[below[0]].name}: {why}"


@dataclass(frozen=True)
class Tuner:
    """Judges the candidate of attempt `number`. `violates`: whether a step from one file to another is forbidden."""

    evaluate: Evaluate
    record: Record
    number: int
    points: int
    violates: Callable[[str, str], bool]

    def judge(self, candidate: Candidate) -> Tuned:
        """The verdict, on the best point where there are several. Raises JudgeBug as the judge does."""
        try:
            space = read_space(candidate.source) if self.points else None
        except BadSpace as bad:
            return Tuned(candidate, self.evaluate(candidate, None), Tuning(note=f"not searched: {bad}"))
        if space is None:
            return Tuned(candidate, self.evaluate(candidate, None))
        first = self._kept(candidate, None)
        if first.verdict == "failed" and not _is_out_of_resources(first):
            return Tuned(candidate, first)
        frozen = {each for each in space.values(space.own) if self._is_frozen(space, each)}
        found = _Found(space.without(frozen), {})
        self._take(found, found.space.own, first, is_full=True)
        self._compile(found)
        point, evaluation = self._confirmed(found, first)
        chosen = candidate_from(found.space.at(point))
        note = f"frozen in this stage, not searched: {', '.join(sorted(frozen))}" if frozen else ""
        tuning = Tuning(
            points=tuple(found.rows.values()),
            chosen=chosen.id,
            written=program_of(candidate.source),
            note=note,
            reason=found.reason(point),
            seconds=round(found.seconds - evaluation.duration_s, 3),
        )
        return Tuned(chosen, evaluation, tuning)

    def _compile(self, found: _Found) -> None:
        """Compile points until their number or the space is used up."""
        while len(found.rows) <= self.points:
            point = found.next_point()
            if point is None:
                return
            self._try(found, point, COMPILED)

    def _confirmed(self, found: _Found, first: Evaluation) -> tuple[Point, Evaluation]:
        """The point that becomes the candidate, with its full verdict."""
        own = found.space.own
        held, ranked = {own: first}, found.ranked
        if latency_ms(first) is None:
            ranked = ranked[: ranked.index(own)]  # no clock: only what ranks above the file as written
        for point in [each for each in ranked if each != own and fits(found.compiled[each])][:CONFIRMED]:
            evaluation = self._try(found, point, None)
            if evaluation is None or evaluation.verdict not in ("passed", first.verdict):
                continue
            held[point] = evaluation
            if latency_ms(evaluation) is None:  # no clock: the rank decides
                return point, evaluation
        fastest = min(held, key=lambda point: (held[point].verdict == "failed", latency_ms(held[point]) or 0.0))
        return fastest, held[fastest]

    def _try(self, found: _Found, point: Point, rungs: Sequence[Rung] | None) -> Evaluation | None:
        """Judge one point; an error of ours leaves it unjudged and the search goes on."""
        candidate = candidate_from(found.space.at(point))
        try:
            evaluation = self._kept(candidate, rungs)
        except JudgeBug as bug:
            values, detail = found.space.values(point), str(bug)[:200]
            row = TunedPoint(values=values, candidate_id=candidate.id, verdict="not judged", detail=detail)
            found.rows[point] = row
            return None
        self._take(found, point, evaluation, is_full=rungs is None)
        return evaluation

    def _take(self, found: _Found, point: Point, evaluation: Evaluation, *, is_full: bool) -> None:
        found.seconds += evaluation.duration_s
        found.compiled.setdefault(point, evaluation)
        found.rows[point] = row_of(evaluation, found.space.values(point), is_full=is_full)

    def _kept(self, candidate: Candidate, rungs: Sequence[Rung] | None) -> Evaluation:
        """The verdict that is on disk or on record already, or a new one, put on disk."""
        known = self.record.state.judged(candidate.id)
        if rungs is None and known is not None and known.evaluation is not None:
            return known.evaluation
        name = point_file(candidate.id, is_full=rungs is None)
        kept = self.record.directory.read(self.number, name)
        if kept is not None:
            return evaluation_adapter.validate_json(kept)
        evaluation = self.evaluate(candidate, rungs)
        listings = (
            evaluation.listings if rungs is None else {}
        )  # no dump holds them; only full verdicts are gone on with
        text = json.dumps({**evaluation.model_dump(mode="json"), "listings": listings})
        self.record.directory.write(self.number, name, text)
        return evaluation

    def _is_frozen(self, space: Space, name: str) -> bool:
        """Whether another value of this constant would change what the stage wants unchanged."""
        index = next(place for place, each in enumerate(space.parameters) if each.name == name)
        place = 1 if space.own[index] == 0 else 0
        if len(space.parameters[index].values) == 1:
            return False
        return self.violates(space.source, space.at((*space.own[:index], place, *space.own[index + 1 :])))


def _is_out_of_resources(evaluation: Evaluation) -> bool:
    """Whether the file only asks for more than the GPU has: then another point may fit."""
    return evaluation.verdict == "failed" and evaluation.rung == "build" and "out of resource" in evaluation.message
