"""`agent ask`, `agent tell` and `agent evaluate --pending`: somebody else writes the replies, maybe elsewhere.

    agent optimize --problem convt3d-73 --gpu 4090 --model manual     makes the run
    agent ask RUN > prompt.md                                         needs neither torch nor network
    agent tell RUN reply.md --later                                   the reply is on record, not judged yet
    agent evaluate --pending RUN                                      judges it, on this or another machine

The journal carries it: the run directory may be copied between the steps. Limits: one open attempt at a time.
"""

import json
import sys
from pathlib import Path

from agent.budget import exhausted
from agent.commands.source_text import reply_text
from agent.exits import code_of, more_of
from agent.loop import Loop
from agent.opening import begin, planner_for, remember
from agent.proposers import Proposal
from agent.proposers.manual import NOT_METERED, ManualProposer
from agent.replies import keep_reply, proposed
from agent.team import Team
from evaluators.client import JudgeClient
from evaluators.errors import UsageError
from runs.live import view_for
from runs.nouns import Attempt, Budget
from runs.record import Record, open_record
from runs.show import evaluation_lines, unread_knobs_text
from runs.store import RunDirectory, open_run, runs_directory
from runs.tuning_text import tuning_text


def ask(run: str, *, runs_dir: Path | None, as_json: bool) -> None:
    """Print the prompt of the next attempt and keep it in the run."""
    directory = open_run(run, runs_directory(runs_dir))
    _ensure_begun(directory)
    with open_record(directory) as record:
        _refuse_unless_open(record)
        planner = planner_for(directory)
        draft = planner.draft(directory, planner.next(record.state))
        directory.write(draft.number, "prompt.md", draft.fitted.prompt)
    about = {"run": directory.id, "attempt": draft.number, "stage": draft.plan.stage.key, "role": draft.plan.role}
    if as_json:
        print(json.dumps({**about, "parent": draft.plan.parent, "prompt": draft.fitted.prompt}))
        return
    print(draft.fitted.prompt, end="" if draft.fitted.prompt.endswith("\n") else "\n")
    for skipped in draft.plan.skipped:
        print(f"passed over: {skipped}", file=sys.stderr)
    print(f"attempt {draft.number}, stage {about['stage']}, {about['role']}; answer it: ", file=sys.stderr, end="")
    print(f"agent tell {directory.argument} REPLY_FILE", file=sys.stderr)


def tell(run: str, file: Path, *, author: str, later: bool, runs_dir: Path | None, as_json: bool) -> None:
    """Take a reply to the last prompt; judge it now, or leave that to `agent evaluate --pending`."""
    reply = reply_text(file)
    directory = open_run(run, runs_directory(runs_dir))
    with open_record(directory) as record:
        _refuse_unless_open(record)
        number = record.state.next_number
        prompt = directory.read(number, "prompt.md")
        if prompt is None:
            unasked = f"attempt {number} of {directory.id} was not asked for yet"
            raise UsageError(f"{unasked}: agent ask {directory.argument}")
        _refuse_another(directory, number, reply)
        told = Proposal(reply=reply, model=author, usage=NOT_METERED, prompt_chars=len(prompt))
        keep_reply(record, number, told)
        record.append(proposed(number, planner_for(directory).next(record.state).plan, told))
    if later:
        said = f"attempt {number} is on record; judge it: agent evaluate --pending {directory.argument}"
        print(json.dumps({"run": directory.id, "attempt": number}) if as_json else said)
        return
    evaluate_pending(run, runs_dir=runs_dir, as_json=as_json)


def evaluate_pending(run: str, *, runs_dir: Path | None, as_json: bool) -> None:
    """Judge the reply that waits; leaves with the verdict's exit code."""
    directory = open_run(run, runs_directory(runs_dir))
    with open_record(directory) as record:
        if record.state.pending is None:
            none_waits = f"{directory.id} holds no reply that waits for a verdict"
            raise UsageError(f"{none_waits}; next: agent ask {directory.argument}")
        attempt = _finish(directory, record)
        remember(record)
    if as_json:
        print(attempt.model_dump_json())
    else:
        lines = evaluation_lines(attempt.evaluation) if attempt.evaluation else [attempt.reply_problem]
        print(
            "\n".join([*lines, f"attempt {attempt.number}: {attempt.decision} ({attempt.reason})", *_remarks(attempt)])
        )
    sys.exit(code_of(attempt.evaluation))


def _finish(directory: RunDirectory, record: Record) -> Attempt:
    budget = _budget(directory, record)
    with (
        JudgeClient(directory.run.config.sandbox, device=directory.run.config.device) as judge,
        view_for(sys.stderr, budget=budget, plain=True, state=record.state) as view,
    ):
        Loop(planner_for(directory), Team(ManualProposer()), judge, record, view).attempt(budget)
    return record.state.attempts[-1]


def _ensure_begun(directory: RunDirectory) -> None:
    if directory.facts() is None:
        with JudgeClient(facts_only=True) as judge:
            begin(directory, judge)


def _refuse_unless_open(record: Record) -> None:
    """Only one attempt is open at a time, and only within the budget."""
    run, state = record.directory, record.state
    if state.pending is not None:
        waits = f"attempt {state.pending.number} has its reply and waits"
        raise UsageError(f"{waits}: agent evaluate --pending {run.argument}")
    reason = exhausted(_budget(record.directory, record), state, elapsed_s=state.seconds)
    if reason is not None:
        raise UsageError(f"{run.id}: {reason}; give it more: agent resume {run.argument} {more_of(reason)} N")


def _refuse_another(directory: RunDirectory, number: int, reply: str) -> None:
    """A reply that is on disk is not overwritten, also where its journal line was not written any more."""
    kept = directory.read(number, "proposal.json")
    if kept is not None and Proposal.model_validate_json(kept).reply != reply:
        kept_words = f"attempt {number} has another reply on disk, untouched"
        raise UsageError(f"{kept_words}; judge it: agent resume {directory.argument}")


def _budget(directory: RunDirectory, record: Record) -> Budget:
    return record.state.budget or directory.run.config.budget


def _remarks(attempt: Attempt) -> list[str]:
    searched = tuning_text(attempt.tuning) if attempt.tuning else ""
    return [
        *filter(None, [searched]),
        *attempt.knob_violations,
        *([unread_knobs_text(attempt)] if attempt.knobs_not_checked else []),
    ]
