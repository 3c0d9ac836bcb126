"""Programs that take too much, refuse to end or leave things behind: the true reason is reported and nothing survives."""

import errno

import pytest

SLACK_S = 5.0  # the machine may be loaded; the figures in docs are measured on a quiet one


def run(host, entry, **request):
    outcome = host.ask({"entry": entry, **request})
    assert outcome["survivors"] == [], outcome
    return outcome


def test_a_program_that_ignores_every_signal(hog_host):
    outcome = run(hog_host, "spin", limits={"wall_s": 0.5})
    assert outcome["killed"] == "timeout"
    assert 0.5 <= outcome["wall_s"] < 0.5 + SLACK_S


def test_a_program_that_stops_itself(hog_host):
    assert run(hog_host, "stop_itself", limits={"wall_s": 0.3})["killed"] == "timeout"


def test_a_fork_bomb(hog_host):
    outcome = run(hog_host, "fork_bomb", limits={"wall_s": 0.7, "processes": 100})
    assert outcome["killed"] in ("timeout", "processes")


def test_more_processes_than_allowed(hog_host):
    outcome = run(hog_host, "many_processes", arguments={"count": 300}, limits={"wall_s": 5, "processes": 50})
    # RLIMIT_NPROC refuses the fork (an error of the program), or the supervisor counts.
    assert outcome["killed"] == "processes" or "BlockingIOError" in outcome["output"], outcome


def test_memory_of_one_process(hog_host):
    outcome = run(hog_host, "grow", limits={"wall_s": 10, "memory_mb": 256})
    assert outcome["killed"] == "memory" or "MemoryError" in outcome["output"], outcome


@pytest.mark.parametrize("entry", ["grow_in_children", "grow_memfds", "grow_shared"])
def test_memory_that_no_single_limit_sees(hog_host, entry):
    outcome = run(hog_host, entry, arguments={"each_mb": 100}, limits={"wall_s": 10, "memory_mb": 256})
    assert outcome["killed"] == "memory", outcome


def test_a_full_disk(hog_host):
    outcome = run(hog_host, "fill_disk", limits={"wall_s": 10, "scratch_mb": 32})
    out_of_space = f"errno {errno.ENOSPC}" in outcome["output"]
    assert out_of_space or outcome["killed"] == "disk", outcome


def test_too_many_files(hog_host):
    if "the number of files in scratch is not capped" in hog_host.hello["tier"]["residual"]:
        pytest.skip("this tier declares that it does not cap the number of files")
    outcome = run(hog_host, "fill_inodes", limits={"wall_s": 20})
    assert f"errno {errno.ENOSPC}" in outcome["output"], outcome


def test_a_flood_of_output(hog_host):
    outcome = run(hog_host, "flood", limits={"wall_s": 10, "output_kill_mb": 8, "output_kb": 16})
    assert outcome["killed"] == "output"
    assert outcome["output"].startswith("the first line")
    assert len(outcome["output"]) < 17 << 10


@pytest.mark.parametrize(
    ("how", "signals"), [("segfault", (11,)), ("recursion", (11,)), ("abort", (6,)), ("leave", (None,))]
)
def test_sudden_ends(hog_host, how, signals):
    outcome = run(hog_host, "crash", arguments={"how": how}, limits={"wall_s": 10})
    assert outcome["killed"] is None
    assert outcome["signal"] in signals, outcome
    assert outcome["exit_code"] == (0 if how == "leave" else None)


@pytest.mark.parametrize("stay", [False, True], ids=["parent-ended", "killed"])
def test_daemons_do_not_outlive_the_program(hog_host, stay):
    outcome = run(
        hog_host, "leave_daemons", arguments={"stay": stay}, **{"await": True, "kill": stay}, limits={"wall_s": 10}
    )
    assert outcome["end_s"] < 1 + SLACK_S
    assert outcome["killed"] == ("cancelled" if stay else None)


def test_a_program_that_runs_away(hog_host):
    run(hog_host, "run_away", **{"await": True, "kill": True}, limits={"wall_s": 10})
