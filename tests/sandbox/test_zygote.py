"""The fork server: starting, refusing, dying, and how many programs it can serve at once."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sandbox import Limits, SandboxUnavailable, Zygote, probe
from sandbox.processes import descendants

PROGRAMS = str(Path(__file__).parent / "programs")


def echo(zygote, number):
    with zygote.start("sandbox_programs:echo", {"number": number}) as child:
        return child.receive(30)[0]["arguments"]["number"]


def wait_until(condition, timeout_s=5.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "not within the time"
        time.sleep(0.01)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_importing_the_package_loads_nothing_heavy():
    code = "import sandbox, sys; print([m for m in ('torch', 'triton', 'numpy', 'evaluators', 'agent') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_programs_run_side_by_side(zygote):
    answers = {}
    threads = [threading.Thread(target=lambda n=n: answers.update({n: echo(zygote, n)})) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: n for n in range(8)}


def test_nothing_of_a_program_is_left(zygote):
    for _ in range(3):
        echo(zygote, 1)
    wait_until(lambda: descendants(zygote.pid) == [])


def test_a_module_that_cannot_be_preloaded():
    with (
        Zygote(preload=("no_such_module",)) as zygote,
        pytest.raises(SandboxUnavailable, match="preloading no_such_module failed: ModuleNotFoundError"),
    ):
        zygote.start("sandbox_programs:echo")


def test_a_preload_that_starts_threads_is_refused(tmp_path):
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
    )
    tmp_path.chmod(0o755)
    with (
        Zygote(preload=("threaded",), search_path=(str(tmp_path),)) as zygote,
        pytest.raises(SandboxUnavailable, match="threads"),
    ):
        zygote.start("sandbox_programs:echo")


def test_a_dead_server_is_replaced():
    with Zygote(preload=(), search_path=(PROGRAMS,)) as zygote:
        first = zygote.pid
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not is_alive(first))
        assert echo(zygote, 5) == 5
        assert zygote.pid != first


def test_a_killed_supervisor_is_our_failure_and_leaves_nothing():
    for without in ((), ("namespaces",)):
        with Zygote(preload=(), search_path=(PROGRAMS,), without=without) as zygote:
            child = zygote.start("sandbox_programs:sleep", {}, Limits(wall_s=30))
            wait_until(lambda z=zygote: len(descendants(z.pid)) >= 3)
            below = descendants(zygote.pid)
            os.kill(below[0], signal.SIGKILL)
            with child, pytest.raises(SandboxUnavailable, match="supervisor"):
                child.receive(10)
            wait_until(lambda pids=below: not any(map(is_alive, pids)))
            wait_until(lambda pid=below[0]: not list(Path("/tmp").glob(f"agent-sandbox-{pid}-*")))


def test_a_killed_host_takes_everything_with_it():
    code = f"""
import time
from sandbox import Zygote
zygote = Zygote(preload=(), search_path=({PROGRAMS!r},))
child = zygote.start("sandbox_programs:sleep")
print(zygote.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as host:
        server = int(host.stdout.readline())
        wait_until(lambda: len(descendants(server)) >= 3)
        below = descendants(server)
        host.kill()
    wait_until(lambda: not any(map(is_alive, [server, *below])))


def test_strictness():
    weak = ("namespaces", "landlock", "own_user")
    with (
        Zygote(preload=(), without=("namespaces",), strictness="strict") as zygote,
        pytest.raises(SandboxUnavailable, match="T3 only"),
    ):
        zygote.start("sandbox_programs:echo")
    with Zygote(preload=(), without=weak) as zygote, pytest.raises(SandboxUnavailable, match="T5 only, 'auto' refuses"):
        zygote.start("sandbox_programs:echo")
    with Zygote(preload=(), without=weak, strictness="unsafe") as zygote:
        assert zygote.tier.name == "T5"
        assert "whatever file permissions allow can be read" in zygote.tier.residual


def test_probe_names_the_tier():
    tier = probe()
    assert tier.name in ("T1", "T2", "T3", "T4", "T5")
    assert tier.layers
    assert tier.residual
