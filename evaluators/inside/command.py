"""Entry of a sandboxed process that runs another program in its scratch directory and hands back what that wrote.

`main(channel, arguments, shared)` with

    command     the program and its arguments
    files       texts by name, written before it starts
    laid        names under which the bytes of the shared descriptors are laid down
    environment variables beside the sandbox's own
    report      name of the file that is sent back
    limit_s     when the program is ended

Limits: what is handed back was written beside untrusted code: a claim, whatever program wrote it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from sandbox.frames import Channel

MAX_REPORT_BYTES = 8 << 20
_TAIL_CHARS = 4000
_CHUNK_BYTES = 16 << 20


def main(channel: Channel, arguments: dict[str, Any], shared: tuple[int, ...]) -> None:
    """Lay the files down, run the command, send how it ended and its report."""
    for name, text in arguments["files"].items():
        Path(name).write_text(text, encoding="utf-8", errors="surrogatepass")
    for name, descriptor in zip(arguments["laid"], shared, strict=False):
        with os.fdopen(descriptor, "rb") as given, Path(name).open("wb") as laid:
            given.seek(0)  # an earlier program may have read it: descriptors share their position
            shutil.copyfileobj(given, laid, _CHUNK_BYTES)
    ended = _run(arguments)
    report = Path(arguments["report"])
    text = report.read_bytes()[:MAX_REPORT_BYTES] if report.is_file() else b""
    channel.send(ended, text)


def _run(arguments: dict[str, Any]) -> dict[str, Any]:
    """Exit code (None: ended by us) and the end of what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **arguments["environment"]}
    with Path("output.txt").open("wb") as output:
        try:
            done = subprocess.run(
                arguments["command"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                timeout=arguments["limit_s"],
                check=False,
            )
            code = done.returncode
        except subprocess.TimeoutExpired:
            code = None
        except OSError as error:
            return {"exit_code": -1, "output": f"{arguments['command'][0]}: {error.strerror}"}
    said = Path("output.txt").read_text(encoding="utf-8", errors="replace")
    return {"exit_code": code, "output": said[-_TAIL_CHARS:]}
