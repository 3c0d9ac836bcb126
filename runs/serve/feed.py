"""The journal of a run as a stream of server-sent events, each with the byte after its line as id.

A browser that comes back sends the last id, so that it goes on exactly where it was. A line that is not finished is
never sent.

Limits: it says in a few words what happened; the page asks for the rest (followed.py).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from runs.inert import one_line

POLL_S = 0.2
KEEP_ALIVE_S = 15.0


async def follow(journal: Path, offset: int) -> AsyncIterator[str]:
    """Events of `journal` from byte `offset` on, for ever."""
    quiet_s = 0.0
    yield "retry: 1000\n\n"
    while True:
        for end, news in new_lines(journal, offset):
            offset, quiet_s = end, 0.0
            yield f"id: {end}\nevent: journal\ndata: {json.dumps(news)}\n\n"
        await asyncio.sleep(POLL_S)
        quiet_s += POLL_S
        if quiet_s >= KEEP_ALIVE_S:
            quiet_s = 0.0
            yield ": still here\n\n"


def new_lines(journal: Path, offset: int) -> Iterator[tuple[int, str]]:
    """Whole lines after `offset`: the byte behind each, and in a few words what happened."""
    try:
        with journal.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except OSError:
        return
    for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
        offset += len(line)
        yield offset, _news(line)


def _news(line: bytes) -> str:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return "unreadable"
    match event:
        case {"event": "attempted", "attempt": {"number": int(number), "decision": str(decision)}}:
            return one_line(f"attempt {number}: {decision}", 60)
        case {"event": str(name)}:
            return one_line(name, 60)
    return "unreadable"
