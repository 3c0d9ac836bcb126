"""A run that the playbook begins: who answers which attempt, and that a run on disk goes on by it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.proposers import Proposal
from agent.proposers.playbook import PlaybookProposer
from agent.proposers.playbook.configuration import read_configuration
from agent.proposers.start import PlaybookStart
from agent.team import Team
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.facts import facts_of
from evaluators.problem_catalog import load_problem
from prompts.context import Context
from prompts.stages import load_stage
from runs.store import RunDirectory

DATA = Path(__file__).resolve().parents[1] / "playbook" / "data"


class Model:
    """A model that always says the same, at a price."""

    def __init__(self, name):
        self.name = name

    def propose(self, context, prompt):
        return Proposal(reply="mine", model=self.name)

    def worst_case_cost_usd(self, prompt):
        return 0.5

    def worst_case_tokens(self, prompt):
        return 1000


def context(problem="convt3d-68", **fields):
    subject = load_problem(problem)
    values = {"role": "propose", "facts": facts_of(subject), "gpu": load_gpu("4090"), "stage": load_stage("algorithm")}
    return Context(problem=subject, **(values | fields))


def test_the_starter_makes_the_first_attempt_and_no_other():
    author, analyst, repairer = Model("author"), Model("analyst"), Model("repairer")
    notes = []
    team = Team(author, analyst, repairer, PlaybookStart(author, note=notes.append))
    assert [team.of(role, 1).name for role in ("propose", "optimize")] == ["playbook", "playbook"]
    assert [team.of(role, 2).name for role in ("propose", "analyze", "repair")] == ["author", "analyst", "repairer"]
    assert (team.analyzes("propose", 1), team.analyzes("propose", 2), team.analyzes("repair", 2)) == (
        False,
        True,
        False,
    )
    assert replace(team, starter=None).analyzes("propose", 1)
    assert "playbook" not in [member.name for member in team], "nothing of its own to close"


def test_it_starts_with_the_best_guess_at_no_cost_and_always_the_same():
    start = PlaybookStart(Model("author"), note=print)
    first = start.propose(context(), "")
    assert first == start.propose(context(), "another prompt")
    assert first.usage.cost_usd == 0.0
    plain = PlaybookProposer().propose(context(), "").reply
    families = [read_configuration(reply).family for reply in (first.reply, plain)]
    assert families[1] == "direct" != families[0], "not the plainest, but the one expected to take least"
    assert (start.worst_case_cost_usd(""), start.worst_case_tokens("")) == (0.5, 1000), "the author may have to begin"


def test_where_the_playbook_has_nothing_the_author_begins():
    notes = []
    assert PlaybookStart(Model("author"), note=notes.append).propose(context(facts=None), "").reply == "mine"
    assert "the playbook cannot begin, so author does: nothing is known" in notes[0]


def agent(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "agent", *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    """A run for replies by hand, begun by the playbook, without hints."""
    folder = tmp_path_factory.mktemp("start")
    options = ("--gpu", "4090", "--model", "manual", "--start", "playbook", "--no-playbook-hints", "--json")
    done = agent("optimize", "--problem", DATA / "softmax.py", *options, cwd=folder)
    return done, folder


def test_a_run_begun_by_the_playbook_waits_for_the_model_with_its_kernel(waiting):
    done, folder = waiting
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDirectory(folder / json.loads(done.stdout)["path"])
    (attempt,) = run.state().attempts
    assert attempt.decision == "keep" and attempt.plan.startswith("row_block")
    assert (run.run.config.start, run.run.config.playbook_hints) == ("playbook", False)
    asked = agent("ask", run.path, cwd=folder)
    assert "The best so far (attempt 1). Start from it." in asked.stdout
    assert "def row_block(" in asked.stdout


def test_a_resumed_run_repeats_nothing_and_keeps_the_hints_off(waiting):
    done, folder = waiting
    path = folder / json.loads(done.stdout)["path"]
    resumed = agent("resume", path, "--max-attempts", "9", cwd=folder)
    assert "a reply is awaited" in resumed.stderr + resumed.stdout
    run = RunDirectory(path)
    assert len(run.state().attempts) == 1
    assert not any("Kernel families" in prompt.read_text() for prompt in path.rglob("prompt.md"))


def test_two_beginnings_are_refused(tmp_path):
    (tmp_path / "kernel.py").write_text("class ModelNew: pass\n")
    done = agent(
        *("optimize", "--problem", "convt3d", "--gpu", "4090", "--start", "playbook", "--code", "kernel.py"),
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "choose one" in done.stderr


def test_the_code_a_run_is_given_is_judged_first_and_the_playbook_goes_on_from_there(tmp_path):
    given = "import torch\n\n\nclass ModelNew(torch.nn.Module):\n    def forward(self, x):\n        return x\n"
    (tmp_path / "kernel.py").write_text(given)
    done = agent(
        *("optimize", "--problem", DATA / "softmax.py", "--gpu", "4090", "--code", "kernel.py", "--json"),
        *("--max-attempts", "2"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDirectory(tmp_path / json.loads(done.stdout)["path"])
    first, second = run.state().attempts
    assert (run.read(1, "kernel.py"), first.decision) == (given, "discard")
    assert second.plan.startswith("row_block") and second.decision == "keep"


def test_the_kernel_of_an_export_is_what_a_prompt_starts_from(tmp_path):
    exported = Path(__file__).resolve().parents[3] / "examples" / "convt3d-73-by-ask-and-tell" / "best.py"
    done = agent("prompt", "--problem", "convt3d-73", "--gpu", "4090", "--code", exported, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "class ModelNew" in done.stdout
    assert done.stdout.count("def get_init_inputs") == 1, "the problem's, not that of the export's self-check"
