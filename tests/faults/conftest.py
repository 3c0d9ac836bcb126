"""Host processes in the situations a machine may be in: root or not, namespaces or not."""

import contextlib
import json
import os
import platform
import select
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import sandbox

HERE = Path(__file__).parent
USER = 20001
ANSWER_S = 45


@dataclass(frozen=True)
class Situation:
    name: str
    tiers: tuple[str, ...]
    as_user: bool = False
    filtered: bool = False  # a container's system call filter forbids namespaces
    without: tuple[str, ...] = ()
    system_python: bool = False  # its interpreter can be read by another user
    open_attacks: frozenset[str] = frozenset()


METADATA = frozenset({"size of outside file"})
VISIBLE = METADATA | {"key in command line of others"}
# Nothing but resource limits: shows that the attacks are real.
CONTROL = Situation(
    "user unprotected",
    ("T5",),
    as_user=True,
    without=("namespaces", "landlock", "seccomp"),
    system_python=True,
)
SITUATIONS = (
    Situation("root", ("T1",)),
    Situation("root in place", ("T2",), without=("own_root",), open_attacks=METADATA),
    Situation("root filtered", ("T3",), filtered=True, system_python=True, open_attacks=VISIBLE),
    Situation("root filtered own python", ("T3",), filtered=True, open_attacks=VISIBLE),
    Situation("root filtered uid 0", ("T5",), filtered=True, without=("own_user",), open_attacks=VISIBLE),
    Situation("user", ("T1",), as_user=True, system_python=True),
    Situation("user filtered", ("T3",), as_user=True, filtered=True, system_python=True, open_attacks=VISIBLE),
)


@dataclass
class Host:
    situation: Situation
    process: subprocess.Popen
    hello: dict
    answers: dict = field(default_factory=dict)

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], ANSWER_S)[0]:
            self.process.kill()
            pytest.fail(f"no answer to {request} within {ANSWER_S} s")
        line = self.process.stdout.readline()
        assert line, f"no answer to {request}: {self.process.stderr.read()}"
        return json.loads(line)

    def attack(self):
        if "attack" not in self.answers:
            self.answers["attack"] = self.ask({"attack": True})
        return self.answers["attack"]


@pytest.fixture(scope="session")
def shared_copy():
    """The package and the programs where every user can read them."""
    folder = Path(tempfile.mkdtemp(prefix="agent-faults-"))
    folder.chmod(0o755)
    shutil.copytree(Path(sandbox.__file__).parent, folder / "lib" / "sandbox")
    shutil.copytree(HERE / "programs", folder / "programs")
    shutil.copy(HERE / "sandbox_host.py", folder)
    yield folder
    shutil.rmtree(folder)


def interpreter(situation):
    if not situation.system_python:
        return sys.executable
    for path in (sys.executable, "/usr/bin/python3"):
        if is_open_to_all(Path(path).resolve()) and is_recent(path):
            return path
    return pytest.skip("no Python >= 3.11 here that another user may read")


def is_open_to_all(path):
    return all(parent.stat().st_mode & 0o005 == 0o005 for parent in (path, *path.parents))


def is_recent(path):
    probe = "import sys; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([path, "-c", probe], check=False).returncode == 0


def start(situation, copy):
    if situation.as_user != (os.geteuid() != 0) and os.geteuid() != 0:
        pytest.skip("needs root")
    if situation.filtered and platform.machine() != "x86_64":
        pytest.skip("the container's filter is written for x86_64")
    home = Path(tempfile.mkdtemp(prefix="agent-faults-home-"))
    home.chmod(0o755)
    identity = {}
    if situation.as_user and os.geteuid() == 0:
        os.chown(home, USER, USER)
        identity = {"user": USER, "group": USER, "extra_groups": []}
    setting = {
        "filtered": situation.filtered,
        "without": situation.without,
        "programs": f"{copy}/programs",
        "home": str(home),
    }
    process = subprocess.Popen(
        [interpreter(situation), "-W", "error", f"{copy}/sandbox_host.py", json.dumps(setting)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{copy}/lib", "OPENAI_API_KEY": "sk-THE-HOST-KEY"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=home,
        **identity,
    )
    return process, home


@contextlib.contextmanager
def running(situation, copy):
    process, home = start(situation, copy)
    with process:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield Host(situation, process, json.loads(line))
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    shutil.rmtree(home)


@pytest.fixture
def unprotected_host(shared_copy):
    with running(CONTROL, shared_copy) as host:
        yield host


HUNGRY = [s for s in SITUATIONS if s.name in ("root", "root filtered own python", "user", "user filtered")]


@pytest.fixture(scope="session", params=HUNGRY, ids=lambda situation: situation.name.replace(" ", "-"))
def hog_host(request, shared_copy):
    with running(request.param, shared_copy) as host:
        yield host


@pytest.fixture(scope="session", params=SITUATIONS, ids=lambda situation: situation.name.replace(" ", "-"))
def host(request, shared_copy):
    with running(request.param, shared_copy) as host:
        yield host
