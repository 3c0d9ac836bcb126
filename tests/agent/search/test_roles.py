"""The analyst is asked before the author, within the budget, once; the repairer repairs; families are on record."""

import pytest
from numbered_author import Author
from search_bench import reply

from agent.analysis import MOST_CHARS, read_analysis
from agent.families import families_named
from agent.proposers.errors import BrokenReply
from agent.proposers.replay import ReplayProposer
from agent.team import Team
from runs.nouns import Analyzed
from runs.show import attempt_lines

ANALYSIS = (
    "Bottleneck: DRAM at 90 %\nMethod: stride phases\nPlan: one kernel per phase,\n  64 x 64 tiles\nExpected gain: 2x\n"
)
TEXTS = [
    reply("gemm", 128, "first"),
    reply("gemm", -1, "wrong"),
    reply("gemm", 64, "mended"),
    reply("gemm", 63, "more"),
]


def team(**errors):
    analyst = Author([ANALYSIS] * 9, "analyst", price_usd=0.001, errors=errors.get("analyst"))
    return Team(Author(TEXTS, errors=errors.get("author")), analyst, Author(TEXTS, "repairer"))


def test_analysis_before_every_proposal_but_repairs(bench):
    members, directory = team(), bench.begin()
    _, state = bench.go(directory, members.author, members, max_attempts=4)
    assert members.analyst.asked == [("analyze", 1), ("analyze", 2), ("analyze", 4)]
    assert members.author.asked == [("propose", 1), ("optimize", 2), ("optimize", 4)]
    assert members.repairer.asked == [("repair", 3)]
    assert "you write no code" in members.analyst.prompts[2]
    assert "OUTPUT RULES" not in members.analyst.prompts[2]
    assert "- plan: one kernel per phase, 64 x 64 tiles" in members.author.prompts[2]
    assert "# Analysis" not in members.repairer.prompts[3]
    assert [attempt.analysis is not None for attempt in state.attempts] == [True, True, False, True]
    assert state.attempts[0].usage.cost_usd == pytest.approx(0.005)
    assert state.usage.cost_usd == pytest.approx(3 * 0.005 + 0.004)
    assert state.usage.requests == 7
    assert directory.read(2, "analysis.md") == ANALYSIS
    assert directory.read(2, "analysis-prompt.md") == members.analyst.prompts[2]
    shown = "\n".join(attempt_lines(directory, 2))
    assert "--- analysis" in shown


def test_one_analysis_is_paid_once_whatever_happens_after_it(bench):
    directory, broken = bench.begin(), team(author={1: BrokenReply("the stream broke")})
    with pytest.raises(BrokenReply):
        bench.go(directory, broken.author, broken, max_attempts=1)
    state = directory.state()
    assert state.attempts == ()
    assert state.usage.cost_usd == pytest.approx(0.001), "on record before the author is asked"
    members = team()
    bench.go(directory, members.author, members, max_attempts=1)
    assert members.analyst.asked == []
    assert directory.state().attempts[0].analysis.bottleneck == "DRAM at 90 %"
    events = [event for event in directory.events() if isinstance(event, Analyzed)]
    assert len(events) == 1
    (directory.path / "journal.jsonl").write_text("")
    again = team()
    for name in ("proposal.json", "kernel.py"):
        directory.attempt_file(1, name).unlink(missing_ok=True)
    bench.go(directory, again.author, again, max_attempts=1)
    assert again.analyst.asked == [], "a reply on disk is taken up where the journal line was not written any more"


def test_the_budget_is_checked_before_the_analysis_and_before_the_reply(bench):
    members = team()
    reason, state = bench.go(bench.begin(), members.author, members, max_attempts=4, max_cost_usd=0.009)
    assert reason.startswith("cost cap")
    assert members.analyst.asked == []
    reason, state = bench.go(bench.begin(), members.author, members, max_attempts=4, max_cost_usd=0.0105)
    assert reason.startswith("cost cap $0.0105: $0.0010 spent")
    assert members.analyst.asked == [("analyze", 1)]
    assert members.author.asked == []
    assert state.usage.cost_usd == pytest.approx(0.001)


def test_a_replay_gives_the_analyses_again(bench):
    members, directory = team(), bench.begin()
    bench.go(directory, members.author, members, max_attempts=4)
    replay = ReplayProposer(directory)
    again = bench.begin()
    bench.go(again, replay, Team(replay, replay), max_attempts=4)
    for number in range(1, 5):
        for name in ("prompt.md", "reply.md", "kernel.py", "analysis.md"):
            assert again.read(number, name) == directory.read(number, name), (number, name)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (ANALYSIS, ("DRAM at 90 %", "stride phases", "one kernel per phase, 64 x 64 tiles", "2x")),
        ("**Bottleneck**: a\n\n- **Method:** b\n3. plan: c\n> Expected gain : d", ("a", "b", "c", "d")),
        ("<think>Plan: no</think>Plan: yes", ("", "", "yes", "")),
        ("Just use bigger tiles.", ("", "", "Just use bigger tiles.", "")),
        ("", ("", "", "", "")),
    ],
)
def test_the_four_lines_are_read_in_any_dress(text, fields):
    found = read_analysis(text)
    assert (found.bottleneck, found.method, found.plan, found.expected_gain) == fields


def test_a_long_analysis_is_cut():
    assert len(read_analysis("Plan: " + "word " * 5000).plan) == MOST_CHARS


@pytest.mark.parametrize(
    ("plan", "families"),
    [
        (
            "Plan: families: implicit GEMM, stride-phase, direct; believe in stride-phase: 8x less work; write it",
            ("stride-phase", "implicit GEMM", "direct"),
        ),
        ("Plan: **families**: `A`, B; I believe in A because", ("A because", "A", "B")),
        ("Plan: families: A and more", ("A and more",)),
        ("Plan: larger tiles", ()),
    ],
)
def test_the_families_a_plan_names(plan, families):
    assert families_named(plan) == families


def test_the_families_are_asked_for_by_the_algorithm_stage_and_recorded(bench):
    text = reply("gemm", 64, "families: gemm, direct; believe in gemm: tensor cores")
    author = Author([text, reply("gemm", 65, "families: x"), reply("gemm", 66), reply("gemm", 67)])
    directory = bench.begin()
    _, state = bench.go(directory, author, max_attempts=3)
    assert state.attempts[0].families == ("gemm", "direct")
    assert "`Plan: families: `" in author.prompts[1]
    later = next(attempt for attempt in state.attempts if attempt.stage != "algorithm")
    assert "`Plan: families: `" not in author.prompts[later.number]
    assert "algorithm family: gemm; also named: direct" in "\n".join(attempt_lines(directory, 1))
