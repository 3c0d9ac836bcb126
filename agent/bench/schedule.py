"""Work on the problems of a benchmark, several at once; every one of them ends with a line on record.

Each problem is an ordinary run, opened or taken up again, with a share of the budget. A problem the judge cannot load
is recorded as broken; an error of the machine or of the endpoint stops that run only, and after three of them in a row
the benchmark.

Limits: threads of one process, because a run waits for judges and endpoints; judging is the engine's.
"""

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.bench.board import Board, RunView
from agent.bench.purse import Purse, Spent, spent_by
from agent.engines import Engine
from agent.running import carry_on, versions
from evaluators.client import JudgeBug
from evaluators.errors import AgentError, BadProblem
from evaluators.problem_sets import Member
from runs.bench.rows import BROKEN, STOPPED, row_of
from runs.bench.store import BenchDirectory
from runs.nouns import Budget, Finished, Resumed, Run
from runs.record import Record, open_record
from runs.state import RunState
from runs.store import RunDirectory, create_run, new_run_id, now

_ERRORS_IN_A_ROW = 3  # then it is not the problem: a dead endpoint would otherwise end every run that is left
_PATIENCE_S = 15.0  # for runs to end after an interrupt; one that waits for an endpoint is left behind


@dataclass
class Schedule:
    """The problems that are left and what works on them."""

    directory: BenchDirectory
    engine: Engine
    purse: Purse
    board: Board
    _errors: list[AgentError] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def work(self, members: Sequence[Member], at_once: int) -> None:
        """Work on all of them. Raises the last AgentError after three in a row, KeyboardInterrupt when interrupted."""
        waiting: queue.SimpleQueue[Member] = queue.SimpleQueue()
        for member in members:
            waiting.put(member)
        workers = [threading.Thread(target=self._worker, args=(waiting,), daemon=True) for _ in range(at_once)]
        for worker in workers:
            worker.start()
        try:
            while any(worker.is_alive() for worker in workers):
                for worker in workers:
                    worker.join(0.2)
        except KeyboardInterrupt:
            self._stopping.set()
            self.engine.stop()
            for worker in workers:
                worker.join(_PATIENCE_S / len(workers))
            raise
        if len(self._errors) >= _ERRORS_IN_A_ROW:
            raise self._errors[-1]

    def _worker(self, waiting: queue.SimpleQueue[Member]) -> None:
        while not self._stopping.is_set():
            try:
                member = waiting.get_nowait()
            except queue.Empty:
                return
            self._one(member)

    def _one(self, member: Member) -> None:
        run = self._run_of(member)
        before = run.state() if run else RunState()
        share = self.purse.share(spent_by(before) if run else Spent())
        if isinstance(share, str):
            self.board.note(f"{member.key}: not begun: {share}")
            return
        after = before
        try:
            run = run or self._begun(member, share)
            with open_record(run) as record:
                if before.attempts or before.finished:
                    record.append(Resumed(at=now(), budget=share))
                try:
                    self._carry_on(record, member, share)
                finally:
                    after = record.state
        except JudgeBug as bug:  # ours, and about this problem
            self.board.note(f"{member.key}: stopped: {bug}")
        except AgentError as error:
            self._note_error(member, error)
        finally:
            self.purse.give_back(share, spent_by(after))
        if not self._stopping.is_set():
            self.board.ended(row_of(member, run))

    def _carry_on(self, record: Record, member: Member, share: Budget) -> None:
        """The run to its end; whatever ends it is on record."""
        self.board.doing(member.key, "looking at the problem")
        try:
            carry_on(record, self.engine, RunView(self.board, member.key), share)
            self._errors.clear()
        except BadProblem as error:
            record.append(Finished(reason=f"{BROKEN}{error}", at=now()))
        except KeyboardInterrupt:
            record.append(Finished(reason="interrupted", at=now()))
        except AgentError as error:
            record.append(Finished(reason=f"{STOPPED}{error}", at=now()))
            raise

    def _note_error(self, member: Member, error: AgentError) -> None:
        self.board.note(f"{member.key}: stopped: {error}")
        with self._lock:
            self._errors.append(error)
            if len(self._errors) >= _ERRORS_IN_A_ROW:
                self._stopping.set()

    def _run_of(self, member: Member) -> RunDirectory | None:
        return self.directory.runs().get(member.key)

    def _begun(self, member: Member, share: Budget) -> RunDirectory:
        assert member.problem is not None, "broken files are not worked on"
        bench = self.directory.bench
        config = bench.config.model_copy(
            update={"problem": member.key, "problem_source": member.problem.model_dump_json(), "budget": share}
        )
        run = Run(id=new_run_id(member.key, config.gpu), created_at=now(), config=config, versions=versions())
        return create_run(self.directory.path, run)


def is_done(run: RunDirectory | None, budget: Budget) -> bool:
    """Whether nothing is left to do on a problem: broken, nothing to propose, or all attempts made."""
    if run is None:
        return False
    state = run.state()
    reason = state.finished
    if reason is None or reason.startswith((STOPPED, "interrupted")):
        return False
    return reason.startswith((BROKEN, "nothing left to propose")) or len(state.attempts) >= budget.max_attempts
