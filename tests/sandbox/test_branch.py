"""Fork servers that are branches of one: what they share, what they do not, and whose death ends whom."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox import Limits, SandboxUnavailable, Zygote
from sandbox.processes import descendants

PROGRAMS = str(Path(__file__).parent / "programs")


@pytest.fixture
def trunk(tmp_path):
    """Its module `heavy` leaves the id of the process that imported it among the modules."""
    (tmp_path / "heavy.py").write_text("import os, sys\nsys.modules[f'heavy_of_{os.getpid()}'] = os\n")
    with Zygote(preload=("heavy",), search_path=(PROGRAMS, str(tmp_path))) as zygote:
        yield zygote


def surroundings(zygote):
    with zygote.start("sandbox_programs:surroundings") as child:
        return child.receive(30)[0]


def importers(zygote):
    return [name for name in surroundings(zygote)["modules"] if name.startswith("heavy_of_")]


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


def test_branches_share_what_the_trunk_imported_and_nothing_else(trunk):
    with trunk.branch(("decimal",), {"MODE": "one"}) as one, trunk.branch((), {"MODE": "two"}) as two:
        first, second = surroundings(one), surroundings(two)
        assert one.tier == two.tier == trunk.tier
        assert len({one.pid, two.pid, trunk.pid}) == 3
        assert importers(one) == importers(two) == importers(trunk) == [f"heavy_of_{trunk.pid}"]
    assert "decimal" in first["modules"] and "decimal" not in second["modules"]
    assert (first["environment"]["MODE"], second["environment"]["MODE"]) == ("one", "two")
    assert "MODE" not in surroundings(trunk)["environment"]


def test_what_a_branch_imports_sees_its_environment(trunk, tmp_path):
    """As Triton reads TRITON_INTERPRET."""
    (tmp_path / "reads_mode.py").write_text("import os\nassert os.environ['MODE'] == 'mine', 'not mine'\n")
    with trunk.branch(("reads_mode",), {"MODE": "mine"}) as branch:
        assert "reads_mode" in surroundings(branch)["modules"]
    with (
        trunk.branch(("reads_mode",), {"MODE": "another"}) as branch,
        pytest.raises(SandboxUnavailable, match="preloading reads_mode failed: AssertionError: not mine"),
    ):
        branch.start("sandbox_programs:echo")
    assert surroundings(trunk), "a branch that does not start leaves the trunk at work"


def test_a_closed_branch_is_gone_and_its_trunk_goes_on(trunk):
    with trunk.branch() as branch:
        pid = branch.pid
        assert is_alive(pid)
    wait_until(lambda: not is_alive(pid))
    assert surroundings(trunk)
    wait_until(lambda: descendants(trunk.pid) == [])


def test_a_dead_branch_is_replaced_and_its_programs_end(trunk):
    with trunk.branch() as branch:
        child = branch.start("sandbox_programs:sleep", {}, Limits(wall_s=30))
        first = branch.pid
        wait_until(lambda: len(descendants(first)) >= 3)
        below = descendants(first)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, [first, *below])))
        child.close()
        assert surroundings(branch)
        assert branch.pid != first


def test_a_dead_trunk_is_replaced_when_it_is_needed_and_its_branches_serve_on(trunk):
    with trunk.branch() as old:
        assert surroundings(old)
        pid, first = old.pid, trunk.pid
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not is_alive(first))
        assert importers(old) == [f"heavy_of_{first}"] and old.pid == pid
        with trunk.branch() as new:
            assert importers(new) == [f"heavy_of_{trunk.pid}"]
        assert trunk.pid != first


def test_a_killed_owner_takes_trunk_branches_and_programs_with_it():
    code = f"""
import time
from sandbox import Zygote
trunk = Zygote(preload=(), search_path=({PROGRAMS!r},))
branch = trunk.branch()
child = branch.start("sandbox_programs:sleep")
print(trunk.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        server = int(owner.stdout.readline())
        wait_until(lambda: len(descendants(server)) >= 4)
        below = descendants(server)
        owner.kill()
    wait_until(lambda: not any(map(is_alive, [server, *below])))
