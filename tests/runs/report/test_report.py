"""The page of a run: what it shows, that nothing in it is obeyed, and that a damaged run still has one."""

import base64
import gzip
import hashlib
import json
import re
import time
from html.parser import HTMLParser

import pytest

from runs.nouns import Attempted
from runs.record import open_record
from runs.report import write_report
from runs.report.page import report_html
from runs.show import attempt_lines


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.ids, self.hrefs, self.words = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        self.hrefs += [value for name, value in attrs if name == "href"]

    def handle_data(self, data):
        self.words.append(data)


def unpacked(text):
    block = re.search(r'id="block">(.*?)</script>', text, re.DOTALL)[1]
    document = json.loads(gzip.decompress(base64.b64decode(block)))
    texts = {}
    for key, steps in document["texts"].items():
        at, lines = -1, []
        for step in steps:
            at += step
            lines.append(document["lines"][at])
        texts[key] = "\n".join(lines)
    return texts


def test_the_page_says_what_won_and_what_is_not_known(recorded):
    path = write_report(recorded.path)
    assert path == recorded.path / "report.html"
    text = path.read_text()
    words = " ".join(Page(text).words)
    for fact in (
        "Attempt 2 won: passed, estimated to take at least 3.25 ms, limited by memory",
        "It was not timed",
        "the floor of the problem is not known here".capitalize(),
        "incorrect_numerical at correctness: 1",
        "no candidate in the reply: 1",
        "Attempt 5 has a reply and is not judged yet",
        "uncalibrated",
        "no GPU here",
    ):
        assert fact in words, fact
    assert 'class="estimated">3.25</span>' in text and 'class="compiled">40</span>' in text
    assert not re.search(r'class="measured">\d', text), "nothing was measured in this run"


def test_every_link_within_the_page_has_a_target_and_nothing_is_loaded(recorded):
    page = Page(write_report(recorded.path).read_text())
    local = {href[1:] for href in page.hrefs if href.startswith("#")}
    assert local <= set(page.ids) and {"a1", "a2", "a3", "a4"} <= local
    assert not [href for href in page.hrefs if "//" in href or href.startswith("javascript")]
    assert not {"src", "style", "action", "formaction"} & set(page.attributes)
    for href in page.hrefs:
        assert href.startswith("#") or (recorded.path / href).is_file(), href


def test_a_report_written_elsewhere_links_no_files_and_is_complete(recorded, tmp_path):
    target = tmp_path / "elsewhere" / "r.html"
    text = write_report(recorded.path, target).read_text()
    assert not [href for href in Page(text).hrefs if not href.startswith("#")]
    assert unpacked(text)["2/prompt"] == "prompt 2"
    assert "tl.store(y_ptr + o, v, mask=o < n)" in unpacked(text)["2/code"]


def test_hostile_texts_are_shown_and_stay_words(planted):
    text = report_html(planted.path)
    page = Page(text)
    assert page.tags.count("script") == 2 and "img" not in page.tags
    assert not [name for name in page.attributes if name.startswith("on")]
    assert not re.search(r"[\x00\x1b\u202e]", text)
    assert "1337" not in text, "model text must not be rendered as a template"
    assert len(text) < 400_000, "a line of 500 kB must be cut"
    reply = unpacked(text)["6/reply"]
    assert "<script>" in reply and "\\x00" in reply and "<U+202E>" in reply


def test_the_points_of_a_space_and_the_analysis_stand_with_their_attempt(planted):
    words = " ".join(Page(report_html(planted.path)).words)
    table = words.partition("Points of SPACE that were tried")[2]
    assert "NUM_WARPS=8" in table
    assert "chosen" in table
    assert "Analysis:" in words
    assert "Algorithm family:" in words
    shown = "\n".join(attempt_lines(planted, 6)).partition("--- points of SPACE")[2]
    assert "NUM_WARPS=8" in shown
    assert "\x1b" not in shown


def test_the_policy_runs_only_our_script_and_style(recorded):
    text = report_html(recorded.path)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1].replace("&#39;", "'")
    for tag in ("script", "style"):
        body = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy and "unsafe" not in policy


def damaged_journal(recorded, damage):
    journal = recorded.path / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    newer = lines[1].replace(b'"schema":1', b'"schema":99')
    journal.write_bytes(
        {
            "line 2": lines[0] + b"\x00\xff not json\n" + b"".join(lines[1:]),
            "not finished": b"".join(lines) + lines[0][:50],
            "schema 99": lines[0] + newer + b"".join(lines[2:]),
        }[damage]
    )


@pytest.mark.parametrize("damage", ["line 2", "not finished", "schema 99"])
def test_a_damaged_journal_has_a_report_of_what_is_readable(recorded, damage):
    damaged_journal(recorded, damage)
    words = " ".join(Page(report_html(recorded.path)).words)
    assert "This run directory is damaged" in words and damage in words
    assert "Attempt 1" in words and "Attempt 4" in words
    assert ("Attempt 2 won" in words) == (damage != "schema 99")


@pytest.mark.parametrize("head", ["{", '{"id": 3}', None])
def test_a_run_without_its_head_has_a_report(recorded, head):
    path = recorded.path / "run.json"
    path.write_text(head) if head else path.unlink()
    words = " ".join(Page(report_html(recorded.path)).words)
    assert "This run directory is damaged" in words and "run.json" in words and "Attempt 2 won" in words


def test_lost_files_and_a_lost_journal_leave_a_report(recorded):
    for path in (recorded.path / "attempts").glob("*/*"):
        path.unlink()
    assert "Attempt 2 won" in " ".join(Page(report_html(recorded.path)).words)
    (recorded.path / "journal.jsonl").unlink()
    assert "journal.jsonl" in " ".join(Page(report_html(recorded.path)).words)


def test_figures_that_are_no_numbers_and_incomplete_bounds_are_shown_as_such(recorded):
    attempt = recorded.state().attempts[1]
    evaluation = attempt.evaluation
    odd = evaluation.model_copy(
        update={
            "numeric_error": evaluation.numeric_error.model_copy(update={"worst": float("inf")}),
            "estimate": evaluation.estimate.model_copy(update={"left_out": ("a loop",), "value_ms": 0.0}),
        }
    )
    with open_record(recorded) as record:
        changed = {"number": 6, "evaluation": odd, "decision": "discard", "reason": "incomplete"}
        record.append(Attempted(attempt=attempt.model_copy(update=changed)))
    text = report_html(recorded.path)
    assert "Relative error against float64 inf" in text and "too low to rank by" in text
    assert "Attempt 2 won" in text


def test_two_hundred_attempts_take_little_time_and_space(recorded):
    state = recorded.state()
    prompt = "\n".join(f"prompt line {number}: some words of the prompt that repeat" for number in range(400))
    with open_record(recorded) as record:
        for number in range(6, 206):
            source = recorded.read(2, "kernel.py") + "".join(f"# {number} line {line}\n" for line in range(100))
            for name, text in (("prompt.md", prompt), ("reply.md", source), ("kernel.py", source)):
                path = recorded.attempt_file(number, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            again = state.attempts[1].model_copy(update={"number": number, "parent": 2, "decision": "discard"})
            record.append(Attempted(attempt=again))
    report_html(recorded.path)
    started = time.process_time()
    text = report_html(recorded.path)
    assert time.process_time() - started < 3.0  # 0.5 s on an idle machine
    assert len(text) < 5_000_000
    assert len(re.findall("<article", text)) == 204
