"""`python tests/bench_view.py [--load N]`: the report and the live page of a run of 200 attempts. Printed, not asserted.

The run is the example by ask and tell, repeated, every 25th line of each text changed. One more attempt is written ten
times: how long until the server has said so, until it has sent what changed, and until Chromium shows it.
`--load N` keeps N processes busy meanwhile.

Limits: one page, on this machine as it is now.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from browser import Browser
from checkout import ROOT

from runs.nouns import Attempt, Attempted
from runs.record import open_record
from runs.report import write_report
from runs.store import RunDirectory
from runs.table import table

EXAMPLE = ROOT / "examples" / "convt3d-73-by-ask-and-tell"
ATTEMPTS, MORE = 200, 10
TEXTS = ("prompt.md", "reply.md", "kernel.py", "build.log")


def long_run(folder: Path) -> RunDirectory:
    """A run of `ATTEMPTS` attempts made of those of the example."""
    shutil.copytree(EXAMPLE, folder / "20260101-000000-long")
    run = RunDirectory(folder / "20260101-000000-long")
    real = run.state().attempts
    with open_record(run) as record:
        for number in range(len(real) + 1, ATTEMPTS + 1):
            _repeat(run, real[number % len(real)], number)
            record.append(Attempted(attempt=_renumbered(real[number % len(real)], number)))
    return run


def _repeat(run: RunDirectory, attempt: Attempt, number: int) -> None:
    for name in TEXTS:
        lines = (run.read(attempt.number, name) or "").split("\n")
        lines[::25] = [f"{line} # {number}" for line in lines[::25]]
        path = run.attempt_file(number, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines))


def _renumbered(attempt: Attempt, number: int) -> Attempt:
    return attempt.model_copy(update={"number": number, "parent": max(1, number - 1)})


@contextlib.contextmanager
def serving(run: RunDirectory) -> Iterator[tuple[int, int]]:
    """Port and process of `agent view`."""
    command = [sys.executable, "-m", "agent", "view", "--port", "0", "--runs-dir", str(run.path.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        found = re.search(r":(\d+)/", process.stdout.readline())
        assert found
        yield int(found[1]), process.pid
        process.terminate()


@contextlib.contextmanager
def load(count: int) -> Iterator[None]:
    """So many busy processes."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()


def get(port: int, path: str) -> bytes:
    """The body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    return connection.getresponse().read()


def timed(work) -> tuple[float, object]:  # type: ignore[no-untyped-def]
    """Seconds and result of one call."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def follow(run: RunDirectory, port: int, browser) -> list[tuple[str, str, str]]:  # type: ignore[no-untyped-def]
    """Write attempts and see when they are shown."""
    real, shown_s, sent_s = run.state().attempts, [], []
    state = "document.getElementById('state').textContent.startsWith('live')"
    browser.open(f"http://127.0.0.1:{port}/runs/{run.id}/")
    browser.until(state, 60)
    with open_record(run) as record:
        for number in range(ATTEMPTS + 1, ATTEMPTS + MORE + 1):
            _repeat(run, real[number % len(real)], number)
            record.append(Attempted(attempt=_renumbered(real[number % len(real)], number)))
            seconds, _ = timed(lambda n=number: browser.until(f"!!document.getElementById('a{n}')", 60))
            shown_s.append(seconds)
            seconds, answer = timed(lambda n=number: get(port, f"/runs/{run.id}/changes?shown={n - 1}&best=0"))
            sent_s.append((seconds, len(answer)))
    return [
        ("shown by Chromium after", _spread(shown_s), "target 1 s"),
        ("server answers what changed in", _spread([s for s, _ in sent_s]), f"{sent_s[-1][1] / 1e3:.0f} kB"),
    ]


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def measure(folder: Path) -> list[tuple[str, str, str]]:
    """All figures as rows."""
    run = long_run(folder)
    write_report(run.path)
    report_s, path = timed(lambda: write_report(run.path))
    rows = [("agent report", f"{report_s:.2f} s", f"{path.stat().st_size / 1e6:.1f} MB; target 1 s, 5 MB")]
    with serving(run) as (port, process):
        page_s, page = timed(lambda: get(port, f"/runs/{run.id}/"))
        rows.append(("first live page", f"{page_s:.2f} s", f"{len(page) / 1e6:.1f} MB"))
        with Browser(shutil.which("chromium"), folder / "profile") as browser:
            rows += follow(run, port, browser)
        peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
        assert peak
        rows.append(("peak memory of agent view", f"{int(peak[1]) / 1024:.0f} MB", "target 100 MB"))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=int, default=0)
    busy = parser.parse_args().load
    with tempfile.TemporaryDirectory() as folder, load(busy):
        rows = measure(Path(folder))
    print(table(("what", "figure", "remark"), rows))
    print(f"{os.cpu_count()} cores, {busy} busy processes, load {', '.join(f'{x:.1f}' for x in os.getloadavg())}")
    print(json.dumps({name: figure for name, figure, _ in rows}))


if __name__ == "__main__":
    main()
