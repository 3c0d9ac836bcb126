"""The live pages over a real socket and, where there is one, in a real browser."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import measured
import pytest
from browser import Browser

from runs.nouns import Attempted, Finished
from runs.record import open_record
from runs.serve.feed import new_lines
from runs.serve.followed import Followed
from runs.serve.hosts import host_name
from runs.store import now


@pytest.fixture
def server(recorded):
    """`agent view` in a process of its own; yields its port."""
    command = [sys.executable, "-m", "agent", "view", "--port", "0", "--runs-dir", str(recorded.path.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        assert "127.0.0.1" in line
        yield int(re.search(r":(\d+)/", line)[1])
        peak_kb = int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1])
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
    assert peak_kb < 100_000


def get(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_the_list_the_run_the_comparison_and_files_are_served(server, recorded):
    shutil.copytree(recorded.path, recorded.path.with_name("20260102-another"))
    (recorded.path.parent / "20260103-damaged").mkdir()
    (recorded.path.parent / "20260103-damaged" / "journal.jsonl").write_text("nonsense\n")
    _, listing = get(server, "/")
    assert recorded.id in listing and "20260103-damaged" in listing and listing.count("<svg") == 2
    answer, page = get(server, f"/runs/{recorded.id}/")
    assert answer.status == 200 and 'data-live="journal?from=' in page and "connect-src &#39;self&#39;" in page
    assert "cannot be read" in get(server, "/runs/20260103-damaged/")[1]
    _, compared = get(server, f"/compare?a={recorded.id}&b=20260102-another")
    assert compared.count("Attempt 2 won") == 2
    answer, kernel = get(server, f"/runs/{recorded.id}/attempts/2/kernel.py")
    assert kernel == recorded.read(2, "kernel.py")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


ELSEWHERE = [
    "/runs/nothing/",
    "/runs/..%2f..%2fetc/",
    "/runs/{run}/attempts/2/..%2f..%2f..%2frun.json",
    "/runs/{run}/attempts/2/../../run.json",
    "/runs/{run}/attempts/2/link",
    "/runs/{run}/attempts/" + "9" * 5000 + "/kernel.py",
    "/runs/{run}/attempts/2/" + "k" * 300,
    "/runs/{run}/texts/2/..%2f..%2frun.json",
    "/runs/{run}/texts/77/code",
    "/runs/{run}/changes?shown=x",
    "/runs/{run}/changes?best=-1",
    "/compare?a=x&b=y",
    "/etc/passwd",
]


def test_nothing_else_is_served(server, recorded):
    recorded.attempt_file(2, "link").symlink_to("/etc/passwd")
    for path in ELSEWHERE:
        assert get(server, path.format(run=recorded.id))[0].status == 404, path


def test_requests_for_another_host_are_refused(server):
    for host in ("localhost", "127.0.0.1:80", "[::1]:80"):
        assert get(server, "/", Host=host)[0].status == 200, host
    for host in ("evil.example", "10.0.0.1", ""):
        assert get(server, "/", Host=host)[0].status == 400, host


def test_a_host_header_is_read_without_its_port():
    assert [host_name(text) for text in ("a:1", "a", "[::1]:1", "[::1]")] == ["a", "a", "::1", "::1"]


def test_a_line_is_sent_when_it_is_whole_and_carries_the_byte_after_it(tmp_path):
    journal = tmp_path / "journal.jsonl"
    assert list(new_lines(journal, 0)) == []
    first, second = b'{"event":"attempted","attempt":{"number":7,"decision":"keep"}}\n', b'{"event":"fini'
    journal.write_bytes(first + second)
    assert list(new_lines(journal, 0)) == [(len(first), "attempt 7: keep")]
    assert list(new_lines(journal, len(first))) == []
    journal.write_bytes(first + second + b'shed"}\n\xff\n')
    assert [name for _, name in new_lines(journal, len(first))] == ["finished", "unreadable"]


def test_a_page_gets_exactly_what_it_lacks(server, recorded):
    address = f"/runs/{recorded.id}/changes"

    def changes(shown, best):
        return json.loads(get(server, f"{address}?shown={shown}&best={best}")[1])

    assert [name for name, _ in changes(0, 0)["articles"]] == ["a1", "a2", "a3", "a4"]
    assert changes(4, 2)["articles"] == [] and "Attempt 2 won" in changes(4, 2)["overview"]
    assert [name for name, _ in changes(4, 1)["articles"]] == ["a1", "a2"], "the best that was and the one that is"
    attempt = recorded.state().attempts[1].model_copy(update={"number": 5, "reason": "fresh"})
    with open_record(recorded) as record:
        record.append(Attempted(attempt=attempt))
    moved, new = changes(4, 2)["articles"]
    assert moved[0] == "a2" and 'class="best"' not in moved[1]
    assert new[0] == "a5" and 'class="best"' in new[1] and "fresh" in new[1]
    assert changes(9, 5) == {"reload": True}, "a page of a journal that was longer"
    whole = get(server, f"/runs/{recorded.id}/")[1]
    assert whole.count("<article") == 5 and new[1] in whole, "page and change are of the same words"


def test_a_live_text_is_inert(server, recorded):
    answer, text = get(server, f"/runs/{recorded.id}/texts/2/reply")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "\\x1b]0;owned" in text and "<U+202E>" in text and not re.search("[\x1b\u202e]", text)
    assert get(server, f"/runs/{recorded.id}/texts/2/compiler%20output")[0].status == 404, "there was none"


def test_a_journal_that_is_written_anew_is_read_anew(recorded):
    followed = Followed(recorded.path)
    assert len(followed.changes(0, 0)["articles"]) == 4
    journal = recorded.path / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:2]))
    assert followed.changes(4, 2) == {"reload": True} and len(followed.changes(0, 0)["articles"]) == 2
    with journal.open("ab") as file:
        file.write(b'{"event": "nonsense"}\n{"event": "fini')
    overview = followed.changes(2, 2)["overview"]
    assert "journal.jsonl line 3" in overview and "the last line is not finished (15 bytes)" in overview


def test_the_list_and_the_comparison_show_what_was_measured(server, recorded_measured):
    shutil.copytree(recorded_measured.path, recorded_measured.path.with_name("20260102-another"))
    _, listing = get(server, "/")
    assert '<td class="measured">2.5<td class="measured">4<td class="measured">2' in listing
    assert "time from 4 to 2.5 ms" in listing and measured.OTHER not in listing, "the best was timed on the target"
    _, compared = get(server, f"/compare?a={recorded_measured.id}&b=20260102-another")
    assert compared.count("Attempt 6 won: passed, 2.5 ms") == 2 and "Measured time by attempt: the fastest" in compared


def test_hostile_and_damaged_records_are_listed_and_compared_inert(server, recorded_measured):
    other = recorded_measured.path.with_name("20260102-other")
    shutil.copytree(recorded_measured.path, other)
    head = json.loads((other / "run.json").read_text())
    head["config"]["model"] = head["config"]["problem"] = f"</td><script>alert(1)</script>{measured.HOSTILE}"
    (other / "run.json").write_text(json.dumps(head))
    lines = (other / "journal.jsonl").read_text().splitlines(keepends=True)
    broken = [
        lines[-1].replace('"median_ms":3.0', '"median_ms":"x"'),
        '{"event":"attempted","attempt":7}\n',
        "[" * 9999 + "\n",
    ]
    (other / "journal.jsonl").write_text("".join([*lines, *broken]))
    for address in ("/", f"/compare?a=20260102-other&b={recorded_measured.id}", "/runs/20260102-other/"):
        answer, text = get(server, address)
        assert answer.status == 200 and not re.search("[\x1b\u202e]", text)
        assert "&lt;script&gt;alert(1)" in text and "<script>alert" not in text
    assert "This run directory is damaged" in text and text.count("journal.jsonl line") == 3


def events(port, path, count, **headers):
    """The ids and data of the next events, and when each came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers)
    stream, found, fields = connection.getresponse(), [], {}
    while len(found) < count:
        line = stream.readline().decode().rstrip("\n")
        name, _, value = line.partition(": ")
        if not line and "data" in fields:
            found.append((int(fields["id"]), json.loads(fields["data"]), time.monotonic()))
            fields = {}
        fields[name] = value
    connection.close()
    return found


def test_the_stream_follows_the_journal_and_resumes_exactly(server, recorded):
    path = f"/runs/{recorded.id}/journal"
    old = events(server, f"{path}?from=0", 5)
    decisions = ["discard", "keep", "discard", "discard"]
    expected = [f"attempt {number}: {decision}" for number, decision in enumerate(decisions, 1)]
    assert [news for _, news, _ in old] == [*expected, "proposed"]
    size = (recorded.path / "journal.jsonl").stat().st_size
    assert old[-1][0] == size
    with open_record(recorded) as record:
        record.append(Finished(reason="over", at=now()))
    written = time.monotonic()
    resumed = events(server, f"{path}?from=0", 1, **{"Last-Event-ID": str(size)})
    assert resumed[0][1] == "finished" and resumed[0][2] - written < 1.0


def test_the_page_follows_a_run_in_progress(server, recorded, tmp_path):
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    rows = "document.querySelectorAll('article').length"
    with Browser(program, tmp_path / "profile") as browser:
        browser.open(f"http://127.0.0.1:{server}/runs/{recorded.id}/")
        assert browser.evaluate(rows) == 4
        browser.evaluate("document.querySelector('details[data-text=\"2/prompt\"]').open = true")
        browser.until("document.getElementById('state').textContent === 'live'")
        attempt = recorded.state().attempts[1].model_copy(update={"number": 5, "reason": "fresh from the journal"})
        with open_record(recorded) as record:
            record.append(Attempted(attempt=attempt))
        browser.until("document.getElementById('state').textContent === 'live: attempt 5: keep'", seconds=5)
        browser.until(f"{rows} === 5", seconds=5)
        assert "fresh from the journal" in browser.evaluate("document.getElementById('a5').textContent")
        shown = "document.querySelector('details[data-text=\"2/prompt\"] pre').textContent"
        browser.until(f"{shown} === 'prompt 2'")  # what a reader had opened stays open
        bests = "[...document.querySelectorAll('article.best')].map(article => article.id).join()"
        assert browser.evaluate(bests) == "a5", "the one that was the best before is no longer"
        assert "Attempt 5 won" in browser.evaluate("document.getElementById('overview').textContent")
        browser.picture(tmp_path / "live.png")
