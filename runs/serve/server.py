"""The pages: the list of runs, the report of one that follows its journal, the comparison of two, files of attempts.

Limits: reading only; files are served as plain text, never as what they claim to be.
"""

import re
from contextlib import suppress
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from runs.listing import Listing
from runs.report.charts import sparkline
from runs.report.page import page, report_html
from runs.serve.comparison import comparison_html
from runs.serve.feed import follow
from runs.serve.hosts import HostCheck

_NUMBER = re.compile(r"[0-9]{1,9}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_MAX_FILE_BYTES = 64 << 20


class Pages:
    """The answers, over one directory of runs."""

    def __init__(self, directory: Path) -> None:
        self._listing = Listing(directory)
        self._last: tuple[Path, int, str] | None = None  # the page shown last: several tabs ask for the same

    async def index(self, request: Request) -> Response:
        """All runs, newest first."""
        lines = await run_in_threadpool(self._listing.lines)
        return HTMLResponse(page("runs.html.j2", has_form=True, lines=lines, sparkline=sparkline))

    async def report(self, request: Request) -> Response:
        """One run; the page fetches itself again when the journal grows."""
        return HTMLResponse(await run_in_threadpool(self._report, self._path(request.path_params["run"])))

    async def journal(self, request: Request) -> Response:
        """The journal as events, from the byte the browser knows."""
        start = request.headers.get("last-event-id") or request.query_params.get("from", "0")
        offset = int(start) if start.isdecimal() and len(start) < 19 else 0
        events = follow(self._path(request.path_params["run"]) / "journal.jsonl", offset)
        return StreamingResponse(events, media_type="text/event-stream")

    async def file(self, request: Request) -> Response:
        """A file of an attempt, as plain text."""
        number, name = request.path_params["number"], request.path_params["name"]
        if not _NUMBER.fullmatch(number) or not _FILE.fullmatch(name):
            raise HTTPException(404, "no such file")
        folder = self._path(request.path_params["run"]) / "attempts" / f"{int(number):03d}"
        path = (folder / name).resolve()
        if path.parent != folder.resolve() or not path.is_file():
            raise HTTPException(404, "no such file")
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES)
        return PlainTextResponse(data, headers={"Content-Security-Policy": "default-src 'none'; sandbox"})

    async def compare(self, request: Request) -> Response:
        """Two runs."""
        first, second = (self._path(request.query_params.get(side, "")) for side in ("a", "b"))
        return HTMLResponse(await run_in_threadpool(comparison_html, first, second))

    async def last(self, request: Request) -> Response:
        """The newest run."""
        names = list(self._listing.paths())
        return RedirectResponse(f"/runs/{names[0]}/" if names else "/", status_code=302)

    def _report(self, path: Path) -> str:
        journal = path / "journal.jsonl"
        size = 0
        with suppress(OSError):
            size = journal.stat().st_size
        if self._last is None or self._last[:2] != (path, size):
            self._last = path, size, report_html(path, live=True)
        return self._last[2]

    def _path(self, name: str) -> Path:
        path = self._listing.paths().get(name)
        if path is None:
            raise HTTPException(404, "no such run")
        return path


def application(directory: Path, host: str) -> Starlette:
    """The pages over `directory`, answering to `host` and loopback names only."""
    pages = Pages(directory)
    routes = [
        Route("/", pages.index),
        Route("/last", pages.last),
        Route("/compare", pages.compare),
        Route("/runs/{run}/", pages.report),
        Route("/runs/{run}/journal", pages.journal),
        Route("/runs/{run}/attempts/{number}/{name}", pages.file),
    ]
    return Starlette(routes=routes, middleware=[Middleware(HostCheck, host=host)])
