"""What is granted for a profiler: only that, only behind namespaces and a root of its own."""

from pathlib import Path

import pytest

from sandbox import SandboxUnavailable, Zygote
from sandbox.layers import identity
from sandbox.tiers import Plan
from sandbox.view import View

PROGRAMS = str(Path(__file__).parent / "programs")
REFUSED_TO_ALL = ("device node", "write of the kernel's settings", "file outside")


def tried(grants, without=()):
    if "tmp" in grants and Path(PROGRAMS).is_relative_to("/tmp"):
        pytest.skip("an own /tmp hides this checkout, which lies below /tmp")
    with Zygote(preload=(), search_path=(PROGRAMS,), grants=grants, without=without) as zygote:
        if zygote.tier.name not in ("T1", "T4"):
            pytest.skip("no namespaces and no root of its own here")
        with zygote.start("sandbox_granted:tried") as child:
            said, _ = child.receive(20)
    assert not [name for name in REFUSED_TO_ALL if said.pop(name) == "done"]
    return {name for name, answer in said.items() if answer == "done"}


@pytest.mark.parametrize(
    ("grants", "done"),
    [
        ((), set()),
        (("sockets",), {"named pipe"}),
        (("children",), {"child names a thread"}),
        (("tmp",), {"own /tmp"}),
        (("sockets", "children", "counters", "tmp", "tracing"), {"named pipe", "child names a thread", "own /tmp"}),
    ],
)
def test_each_grant_gives_what_it_says_and_no_more(grants, done):
    assert tried(grants) == done


def test_without_landlock_the_mounts_still_keep_the_files():
    assert "named pipe" in tried(("sockets", "children", "counters", "tmp", "tracing"), without=("landlock",))


@pytest.mark.parametrize("without", ["namespaces", "own_root"])
def test_nothing_is_granted_where_nothing_else_keeps_the_files(without):
    with (
        Zygote(preload=(), search_path=(PROGRAMS,), grants=("sockets",), without=(without,)) as zygote,
        pytest.raises(SandboxUnavailable, match="granted only behind namespaces and a root of its own"),
    ):
        zygote.start("sandbox_granted:tried")


def test_counters_need_a_proc_that_shows_nobody_else(monkeypatch):
    """With CAP_PERFMON, environ of every process in view can be read."""
    monkeypatch.setattr("sandbox.tiers.holds", lambda capability: True)
    view = View((), (), (), ())
    plans = [Plan(view, own_root=True, own_proc=own, grants=frozenset({"counters"})) for own in (True, False)]
    assert [plan.capabilities for plan in plans] == [(identity.CAP_PERFMON,), ()]
