"""The pages: the list of runs, the report of one that follows its journal, the comparison of two, files of attempts.

A page is sent whole once; from then on it asks for what changed (followed.py) whenever the journal grows.

Limits: reading only; files are served as plain text, never as what they claim to be.
"""

import re
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from runs.listing import Listing
from runs.report.charts import sparkline
from runs.report.page import page
from runs.serve.comparison import comparison_html
from runs.serve.feed import follow
from runs.serve.followed import Followed
from runs.serve.hosts import HostCheck

_NUMBER = re.compile(r"[0-9]{1,9}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_MAX_FILE_BYTES = 64 << 20
_FOLLOWED = 3  # runs kept in memory; 200 attempts take about 10 MB


class Pages:
    """The answers, over one directory of runs."""

    def __init__(self, directory: Path) -> None:
        self._listing = Listing(directory)
        self._followed: dict[Path, Followed] = {}

    async def index(self, request: Request) -> Response:
        """All runs, newest first."""
        lines = await run_in_threadpool(self._listing.lines)
        return HTMLResponse(page("runs.html.j2", has_form=True, lines=lines, sparkline=sparkline))

    async def report(self, request: Request) -> Response:
        """One run, whole."""
        return HTMLResponse(await run_in_threadpool(self._run(request).page))

    async def changes(self, request: Request) -> Response:
        """What a page that shows so many attempts, and that best one, lacks."""
        shown, best = (int(_number(request.query_params.get(name, "0"))) for name in ("shown", "best"))
        return JSONResponse(await run_in_threadpool(self._run(request).changes, shown, best))

    async def text(self, request: Request) -> Response:
        """One text of an attempt, made inert."""
        number, name = int(_number(request.path_params["number"])), request.path_params["name"]
        text = await run_in_threadpool(self._run(request).text, number, name)
        if text is None:
            raise HTTPException(404, "no such text")
        return PlainTextResponse(text)

    async def journal(self, request: Request) -> Response:
        """The journal as events, from the byte the browser knows."""
        start = request.headers.get("last-event-id") or request.query_params.get("from", "0")
        offset = int(start) if start.isdecimal() and len(start) < 19 else 0
        events = follow(self._path(request.path_params["run"]) / "journal.jsonl", offset)
        return StreamingResponse(events, media_type="text/event-stream")

    async def file(self, request: Request) -> Response:
        """A file of an attempt, as plain text."""
        number, name = request.path_params["number"], request.path_params["name"]
        if not _FILE.fullmatch(name):
            raise HTTPException(404, "no such file")
        folder = self._path(request.path_params["run"]) / "attempts" / f"{int(_number(number)):03d}"
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

    def _run(self, request: Request) -> Followed:
        path = self._path(request.path_params["run"])
        followed = self._followed.pop(path, None) or Followed(path)
        self._followed[path] = followed  # the one asked for last is the last to go
        for old in list(self._followed)[:-_FOLLOWED]:
            del self._followed[old]
        return followed

    def _path(self, name: str) -> Path:
        path = self._listing.paths().get(name)
        if path is None:
            raise HTTPException(404, "no such run")
        return path


def _number(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise HTTPException(404, "no such number")
    return text


def application(directory: Path, host: str) -> Starlette:
    """The pages over `directory`, answering to `host` and loopback names only."""
    pages = Pages(directory)
    routes = [
        Route("/", pages.index),
        Route("/last", pages.last),
        Route("/compare", pages.compare),
        Route("/runs/{run}/", pages.report),
        Route("/runs/{run}/journal", pages.journal),
        Route("/runs/{run}/changes", pages.changes),
        Route("/runs/{run}/texts/{number}/{name}", pages.text),
        Route("/runs/{run}/attempts/{number}/{name}", pages.file),
    ]
    return Starlette(routes=routes, middleware=[Middleware(HostCheck, host=host)])
