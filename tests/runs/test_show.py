"""What `agent show` prints: every attempt, figures with their origin, and nothing a terminal would obey."""

import json
import shutil

from runs.list_rows import list_json, list_row
from runs.listing import Listing
from runs.show import attempt_json, attempt_lines, run_json, run_lines


def test_the_table_has_one_line_per_attempt_and_labels_its_figures(recorded):
    lines = run_lines(recorded)
    text = "\n".join(lines)
    rows = {line.split()[0]: line for line in lines if line[:1].strip().isdigit()}
    assert set(rows) >= {"1", "2", "3", "4"}
    assert "failed: incorrect_numerical" in rows["1"] and "discard" in rows["1"]
    assert all(part in rows["2"] for part in ("passed", "3.25", " 40 ", " 12 ", "83", "keep *", "$0.0125", "2.0"))
    assert "no candidate" in rows["3"]
    assert "passed (as attempt 2)" in rows["4"]
    assert "estimated_ms" in text and "not measured" in text and "compiled" in text
    assert "attempt 5 has its reply and waits: agent resume" in text
    assert "5 requests, 500 + 250 tokens, cost $0.0625" in text


def test_nothing_of_a_model_or_candidate_reaches_the_terminal_as_a_control_letter(recorded):
    every = [*run_lines(recorded), *(line for number in range(1, 5) for line in attempt_lines(recorded, number))]
    text = "\n".join(every)
    assert text.replace("\n", "").isprintable()
    assert "\\x1b]0;owned\\x07" in text and "<U+202E>" in text


def test_an_attempt_shows_prompt_reply_difference_and_verdict(recorded):
    text = "\n".join(attempt_lines(recorded, 2))
    places = [text.index(part) for part in ("--- verdict", "--- prompt", "--- reply", "--- code (+1 -1 lines)")]
    assert places == sorted(places)
    assert "prompt 2" in text and "reply 2" in text
    assert "-    v = tl.load(x_ptr + o, mask=o < n) * tl.load(s_ptr + o // width % width, mask=o < n)" in text
    assert "timing  not checked: no GPU here" in text
    assert "kernels, compiled for rtx-4090 (not measured)" in text
    assert "estimate (a model's lower bound, uncalibrated, not measured): 3.25 ms, limited by memory" in text
    assert "relative error 1e-07, allowed 1e-06" in text


def test_what_is_missing_is_said(recorded):
    assert "--- code: none was read from the reply of attempt 3" in attempt_lines(recorded, 3)
    assert any(line.startswith("not judged: the reply holds no code") for line in attempt_lines(recorded, 3))
    assert "--- code: the same as its parent's" in attempt_lines(recorded, 4)
    assert "equal code was judged in attempt 2" in attempt_lines(recorded, 4)
    failed = attempt_lines(recorded, 1)
    assert "second line" in "\n".join(failed) and any("--- nothing" in line for line in failed)


def test_lost_code_is_not_taken_for_a_reply_without_code(recorded):
    shutil.rmtree(recorded.attempt_file(2, ""))
    assert "--- code: kernel.py of attempt 2 is missing" in attempt_lines(recorded, 2)
    assert "--- attempt 2, which has no kernel.py" in attempt_lines(recorded, 4)
    one = attempt_json(recorded, 2)
    assert (one["source"], one["difference"]) == (None, "")


def test_a_lost_journal_is_no_run_without_attempts(recorded):
    assert run_json(recorded)["lost"] is None
    (recorded.path / "journal.jsonl").unlink()
    text = "\n".join(run_lines(recorded))
    assert "journal.jsonl is missing: attempts/001 is not in it" in text and "finished yet" not in text
    assert run_json(recorded)["lost"] in text


def test_the_same_as_json(recorded):
    run = json.loads(json.dumps(run_json(recorded)))
    assert (run["best"], len(run["attempts"]), run["pending"]["number"]) == (2, 4, 5)
    one = json.loads(json.dumps(attempt_json(recorded, 2)))
    assert one["reply"].startswith("reply 2 \x1b") and one["difference"].startswith("--- attempt 1")
    assert one["source"] and one["compiled"] == {}
    recorded.write(2, "kernel.sass", "EXIT")
    assert attempt_json(recorded, 2)["compiled"]["SASS"].endswith("attempts/002/kernel.sass")


def test_the_list_reads_lightly_what_the_journal_says(recorded):
    (line,) = Listing(recorded.path.parent).lines()
    state = recorded.state()
    assert (line.attempts, line.best, line.requests) == (len(state.attempts), state.best.number, state.usage.requests)
    assert line.bounds == [None, 3.25, None, 3.25] and line.passed == 2
    assert list_row(line) == {
        "run": recorded.id,
        "bench": "",
        "model": "a-model",
        "attempts": 4,
        "best": 2,
        "estimated_ms": "3.25",
        "cost": "$0.0625",
        "ended": "not ended",
    }
    values = list_json(line)
    assert (values["best"], values["estimated_ms"], values["cost_usd"]) == (2, 3.25, 0.0625)
    assert values["ended"] is None and values["measured"] is None
