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

import pytest
from browser import Browser

from runs.nouns import Attempted, Finished
from runs.record import open_record
from runs.serve.feed import new_lines
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


@pytest.mark.parametrize(
    "path",
    [
        "/runs/nothing/",
        "/runs/..%2f..%2fetc/",
        "/runs/{run}/attempts/2/..%2f..%2f..%2frun.json",
        "/runs/{run}/attempts/2/../../run.json",
        "/runs/{run}/attempts/2/link",
        "/runs/{run}/attempts/" + "9" * 5000 + "/kernel.py",
        "/runs/{run}/attempts/2/" + "k" * 300,
        "/compare?a=x&b=y",
        "/etc/passwd",
    ],
)
def test_nothing_else_is_served(server, recorded, path):
    recorded.attempt_file(2, "link").symlink_to("/etc/passwd")
    assert get(server, path.format(run=recorded.id))[0].status == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:80", 200), ("[::1]:80", 200), ("evil.example", 400), ("10.0.0.1", 400), ("", 400)],
)
def test_requests_for_another_host_are_refused(server, host, status):
    assert get(server, "/", Host=host)[0].status == status


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
        browser.picture(tmp_path / "live.png")
