"""`make screenshots [RUN=path]`: the pictures of docs/img, taken of a recorded run in headless Chromium.

Which run they are of stands in docs/img/README.md, written with them.

Limits: needs Chromium. The run is copied first: nothing is written into it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from browser import Browser
from checkout import ROOT

from runs.report import write_report
from runs.store import RunDirectory

EXAMPLE = ROOT / "examples" / "convt3d-73-by-ask-and-tell"
WIDTH = 1180


def main() -> None:
    """Take every picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=EXAMPLE)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "img")
    asked = parser.parse_args()
    asked.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        for path in {EXAMPLE, asked.run.resolve()}:
            shutil.copytree(path, runs / path.name)
        program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
        with Browser(program, Path(folder) / "profile") as browser:
            of_report(browser, runs / asked.run.resolve().name, asked.output)
            of_list(browser, runs, asked.output)
    say_which(asked.run.resolve(), asked.output)


def of_report(browser: Browser, run: Path, output: Path) -> None:
    """The report: its top, its table, its best attempt, on a phone; and its charts where something was timed."""
    page = write_report(run).as_uri()
    picture = pictures(browser, output)
    browser.open(page)
    picture("report-top", None, 860)
    picture("report-table", "#attempts", 720)
    picture("report-attempt", "article.best", 860)
    if browser.evaluate("!!document.getElementById('baselines')"):
        picture("report-baselines", "#baselines", 300)
        picture("report-charts", ".charts", 640)
    browser.evaluate("scrollTo(0, 0)")
    browser.picture(output / "report-phone.png", width=390, height=760)


def of_list(browser: Browser, runs: Path, output: Path) -> None:
    """All runs, as `agent view` lists them."""
    command = [sys.executable, "-m", "agent", "view", "--port", "0", "--runs-dir", str(runs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        port = re.search(r":(\d+)/", process.stdout.readline())[1]
        browser.open(f"http://127.0.0.1:{port}/")
        pictures(browser, output)("view-list", None, 240)
        process.terminate()


def pictures(browser: Browser, output: Path) -> Callable[[str, str | None, int], None]:
    """A camera: name, what to scroll to, height."""

    def take(name: str, selector: str | None, height: int) -> None:
        browser.picture(output / f"{name}.png", width=WIDTH, height=height)  # sets the size, then is taken again
        if selector:
            browser.evaluate(f"document.querySelector('{selector}').scrollIntoView()")
        browser.picture(output / f"{name}.png", width=WIDTH, height=height)

    return take


def say_which(run: Path, output: Path) -> None:
    """Which run the pictures are of, and whether a clock took part."""
    state = RunDirectory(run).state()
    devices = {a.evaluation.timing.device for a in state.attempts if a.evaluation and a.evaluation.timing}
    timed = f"measured on {', '.join(sorted(devices))}" if devices else "nothing was timed"
    (output / "README.md").write_text(
        f"Pictures of a real run, `{run.name}` ({len(state.attempts)} attempts, {timed}), "
        "made by `make screenshots RUN=path`.\n"
    )


if __name__ == "__main__":
    main()
