"""`agent view`: serve the runs as pages until Ctrl-C.

Limits: a server for one person; it starts no run and changes none.
"""

import errno
import socket
import sys
from pathlib import Path

from agent.commands.report import find_run_path
from evaluators.errors import MachineError, UsageError
from runs.store import runs_directory

_STOP_S = 1  # an open page holds its event stream: do not wait for it


def view(run: str | None, *, host: str, port: int, runs_dir: Path | None) -> None:
    """Serve the runs and say where."""
    directory = runs_directory(runs_dir)
    path = find_run_path(run, directory) if run else None
    directory = path.parent if path else directory
    try:
        import uvicorn

        from runs.serve.server import application
    except ImportError as error:
        raise UsageError(f"agent view needs {error.name}: pip install 'kernel-agent[serve]'") from None
    listener = _listen(host, port)
    address = f"http://{_shown(host)}:{listener.getsockname()[1]}/{f'runs/{path.name}/' if path else ''}"
    print(f"serving {directory} at {address} (Ctrl-C ends)", flush=True)
    if host not in ("127.0.0.1", "localhost", "::1"):
        print(f"note: {host} is reachable from other machines and there is no log-in", file=sys.stderr)
    config = uvicorn.Config(
        application(directory, host), log_level="warning", timeout_graceful_shutdown=_STOP_S, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except UnicodeError as error:
        raise MachineError(f"cannot listen on {host}:{port}: {error}; choose another --host") from None
    except OSError as error:
        is_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        option = "--host" if is_host else "--port"
        raise MachineError(f"cannot listen on {host}:{port}: {error.strerror}; choose another {option}") from None


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
