"""A recorded run gives its replies again, in order, free of charge, and says when there are none left."""

from pathlib import Path

import pytest

from agent.proposers import Caller, proposer_for
from agent.proposers.errors import NothingToPropose, NotReplayable
from agent.proposers.replay import ReplayProposer
from runs.errors import UnknownRun
from runs.nouns import Proposed, Run, RunConfig, Usage
from runs.store import RunDirectory, create_run

REPLIES = ["first\r\n", "second \N{GREEK SMALL LETTER MU}", "third"]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    config = RunConfig(problem="convt3d", problem_source="", gpu="4090", model="gpt-9")
    run = create_run(tmp_path, Run(id="20260101-000000-convt3d-4090", created_at="2026-01-01T00:00:00Z", config=config))
    with run.journal() as journal:
        for number, reply in enumerate(REPLIES, 1):
            run.write(number, "prompt.md", f"prompt {number}")
            run.write(number, "reply.md", reply)
            usage = Usage(input_tokens=10, output_tokens=number, requests=1, cost_usd=0.5, cost_source="provider")
            journal.append(
                Proposed(
                    number=number,
                    parent=None,
                    stage="algorithm",
                    role="propose",
                    usage=usage,
                    reply_sha256="",
                    started_at="2026-01-01T00:00:00Z",
                )
            )
    return run


@pytest.mark.parametrize("name", ["20260101-000000-convt3d-4090", "20260101", "last", "PATH"])
def test_replies_come_back_verbatim_in_order_and_free(run: RunDirectory, name: str) -> None:
    proposer = proposer_for(f"replay:{name.replace('PATH', str(run.path))}", runs_dir=run.path.parent)
    proposals = [proposer.propose(None, f"prompt {number}") for number in (1, 2, 3)]  # type: ignore[arg-type]
    assert [proposal.reply for proposal in proposals] == REPLIES
    assert [proposal.usage.output_tokens for proposal in proposals] == [1, 2, 3]
    assert {(proposal.usage.cost_usd, proposal.usage.cost_source) for proposal in proposals} == {(0.0, "free (replay)")}
    assert proposer.worst_case_cost_usd("x") == 0.0 and proposals[0].model == "gpt-9"
    with pytest.raises(NothingToPropose, match="holds 3 replies and all are used"):
        proposer.propose(None, "prompt 4")  # type: ignore[arg-type]


def test_another_prompt_is_noted_and_answered(run: RunDirectory) -> None:
    notes: list[str] = []
    proposer = ReplayProposer(run, caller=Caller(on_note=notes.append))
    assert proposer.propose(None, "changed").reply == REPLIES[0]  # type: ignore[arg-type]
    assert proposer.propose(None, "prompt 2").reply == REPLIES[1]  # type: ignore[arg-type]
    assert notes == ["the prompt of attempt 1 differs from the recorded one; its reply is used all the same"]


def test_a_run_that_cannot_be_replayed_says_why(run: RunDirectory, tmp_path: Path) -> None:
    run.attempt_file(1, "reply.md").unlink()
    with pytest.raises(NotReplayable, match=r"reply\.md is missing"):
        ReplayProposer(run).propose(None, "x")  # type: ignore[arg-type]
    (run.path / "journal.jsonl").write_text("")
    with pytest.raises(NotReplayable, match="holds no reply"):
        ReplayProposer(run)
    with pytest.raises(NotReplayable, match="needs a run"):
        proposer_for("replay:", runs_dir=tmp_path)
    with pytest.raises(UnknownRun):
        proposer_for("replay:nothing", runs_dir=tmp_path)
