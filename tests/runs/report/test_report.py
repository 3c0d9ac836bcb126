"""The page of a run: what it shows, that nothing in it is obeyed, and that a damaged run still has one."""

import base64
import gzip
import hashlib
import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import measured
import pytest

from evaluators.problem import ProblemFacts, TensorFact
from runs.nouns import Attempted
from runs.record import open_record
from runs.report import write_report
from runs.report.figures import BOUND
from runs.report.model import rows_of
from runs.report.page import report_html
from runs.report.reading import read_run
from runs.report.words import verdict_words
from runs.show import attempt_lines, run_lines

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "convt3d-73-by-ask-and-tell"


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


def facts_of(recorded, flop=10**9):
    """The published work of the recorded problem: 0.05 ms at 1 TB/s, next to no FLOP."""
    output = TensorFact(name="output0", shape=(48,), dtype="float32")
    facts = ProblemFacts(
        inputs=(), parameters=(), outputs=(output,), init_args="[48]", operator="mul", flop=flop, bytes_moved=5 * 10**7
    )
    (recorded.path / "facts.json").write_text(facts.model_dump_json())


def test_bytes_alone_are_a_floor_and_no_roofline(recorded):
    facts_of(recorded, flop=None)
    words = " ".join(" ".join(Page(report_html(recorded.path)).words).split())
    assert "The floor is 0.0496 ms (bytes at the vendor's bandwidth; its FLOP were not counted); it is 2 %" in words
    assert "No roofline: the problem's FLOP were not counted." in words


def test_a_lower_bound_is_claimed_only_where_it_is_lower():
    reading = read_run(EXAMPLE)
    first, *others = rows_of(reading)
    best = next(row for row in others if row.is_best)
    assert "Its bound is 4.68x lower than that of attempt 1" in " ".join(verdict_words(reading, [first, *others], None))
    level = replace(first, figures={**first.figures, BOUND: best.figures[BOUND]})
    assert "lower than" not in " ".join(verdict_words(reading, [level, *others], None))


def test_a_timed_run_says_what_the_winner_is_worth(recorded_measured):
    facts_of(recorded_measured)
    text = report_html(recorded_measured.path)
    words = " ".join(" ".join(Page(text).words).split())
    for fact in (
        "Attempt 6 won: passed, 2.5 ms (p20 to p80: 2.475 to 2.525).",
        "4x over eager, 2x over the best same-precision baseline (channels_last_3d); 40 % of the floor (1 ms, arithmetic).",
        "In a duel it was 1.25x over attempt 5 (95 % interval 1.18 to 1.33, 30 interleaved pairs): faster beyond doubt.",
        "1.6x over attempt 5, the first that was timed (4 ms to 2.5 ms).",
        f"Baselines on {measured.TARGET}",
        "4 of 5 timed",
        "driver 999.99, cuda 99.9, torch 9.9.9, cudnn 9.99, triton 3.7.1, clocks SM 2520 MHz",
        "T1: namespaces",
        "The clocks, not believed",
        "outside / inside 41",
        f"time, measured on {measured.OTHER} (not the target): 3 ms",
        "Measured on this device, which is not the target.",
        f"measured 3 ms on {measured.OTHER}",
    ):
        assert fact in words, fact
    for lie in ("No clock took part", "It was not timed", "were not measured"):
        assert lie not in words
    table = text[text.index('id="attempts"') : text.index('id="best"')]
    assert '<td class="measured">2.5<' in table and 'class="estimated">3.25</span>' in table
    assert ">0.1<" not in table, "the time of clocks that disagree is no result"


def test_the_charts_of_a_timed_run_have_intervals_lines_and_solid_marks(recorded_measured):
    facts_of(recorded_measured)
    text = report_html(recorded_measured.path)
    times = text[text.index("Measured time by attempt: the fastest took 2.5 ms") :].partition("</svg>")[0]
    assert times.count('class="interval"') == 2 * 3, "two attempts were timed on the target, each bar has two feet"
    for line in (">eager<", ">best baseline: channels_last_3d<", ">floor (arithmetic)<", "not timed on this device"):
        assert line in times, line
    roofline = text[text.index("Roofline of NVIDIA GeForce RTX 4090") :].partition("</svg>")[0]
    assert roofline.count("TFLOP/s measured, bytes by the profiler") == 2
    assert roofline.count("from its estimated bound, not measured") == roofline.count("hollow") > 0
    elsewhere = text[text.index("Roofline of NVIDIA H100") :].partition("</svg>")[0]
    assert f"measured on {measured.OTHER}, not the target, the problem's own bytes" in elsewhere.replace("&#39;", "'")
    assert "hollow" not in elsewhere


def test_changes_against_the_parent_are_sorted_by_size_profiler_included(recorded_measured):
    text = report_html(recorded_measured.path)
    article = text[text.index('id="a6"') :].partition("</article>")[0]
    names = re.findall(r'<tr><td class="l">([^<]+)<td>', article[article.index("largest change first") :])
    metric = "scale: dram__throughput.avg.pct_of_peak_sustained_elapsed"
    assert {"time_ms", "speedup_over_eager", metric} <= set(names)
    weights = [float(x.replace("+", "")) for x in re.findall(r"([+-][0-9.]+) %", article)]
    ratios = [max(1 + x / 100, 1 / (1 + x / 100)) for x in weights]
    assert ratios == sorted(ratios, reverse=True)


def test_an_untimed_run_has_no_measured_column(recorded):
    text = report_html(recorded.path)
    assert "No clock took part in this run" in text and "x_eager" not in text and 'id="baselines"' not in text


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
    assert "attempts/006/kernel.ptx" in text and "attempts/006/kernel.sass" in text
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


def test_hostile_texts_are_words_on_the_terminal_too(planted):
    lines = [*run_lines(planted), *(line for number in range(1, 8) for line in attempt_lines(planted, number))]
    for line in lines:
        assert line.isprintable() and len(line) < 3000, line[:200]
    text = "\n".join(lines)
    assert "<U+202E>" in text and "\\x00" in text and "more letters]" in text
    assert "PTX: " in text and "attempts/006/kernel.ptx" in text


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


def test_times_that_are_none_are_shown_nowhere_and_break_nothing(recorded_measured):
    state = recorded_measured.state()
    odd = [float("inf"), 0.0, -1.0]
    timings = [measured.timing(latency=measured.latency(ms)) for ms in odd]
    timings += [measured.timing(floor_ms=0.0), measured.timing(inside=measured.latency(0.0))]
    eager = measured.baselines().measured[0].model_copy(update={"latency": measured.latency(float("inf"))})
    timings.append(measured.timing(baselines=measured.baselines().model_copy(update={"measured": (eager,)})))
    with open_record(recorded_measured) as record:
        for number, timing in enumerate(timings, 9):
            evaluation = state.best.evaluation.model_copy(update={"timing": timing, "profile": None})
            again = {"number": number, "evaluation": evaluation, "decision": "keep" if number == 14 else "discard"}
            record.append(Attempted(attempt=state.best.model_copy(update=again)))
    text = report_html(recorded_measured.path)
    table = text[text.index('id="attempts"') : text.index('id="tree"')]
    cells = [re.findall(r'<td class="measured">([^<]*)', row) for row in table.split("<tr")[-6:]]
    assert [row[0] for row in cells] == ["", "", "", "", "2.5", "2.5"]
    assert "Attempt 14 won: passed, 2.5 ms" in text
    assert "\n".join(run_lines(recorded_measured)) and attempt_lines(recorded_measured, 9)


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
