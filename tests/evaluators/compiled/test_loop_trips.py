"""How often a compiled loop runs, from the work it must do."""

from evaluators.compiled.bounds import loop_trips
from evaluators.compiled.work import Work

COPY = ("LDG.E.128", "IADD3", "STG.E.128")  # 4 warps move 2048 bytes each way in a pass


def copying(read_bytes):
    return Work(read_bytes={"x": read_bytes}, written_bytes={"y": read_bytes})


def test_a_loop_that_only_copies_is_counted_by_its_bytes():
    """The pass that packs fp16 computes nothing; its kernels had no complete estimate and lost to plainer ones."""
    assert loop_trips(COPY, Work(trips=12, loops={0: copying(20480)}), 4) == 10
    assert loop_trips(COPY, Work(trips=6, loops={0: copying(20480)}), 4) == 6


def test_of_several_such_loops_the_least_counts():
    loops = {0: copying(20480), 1: copying(6144)}
    assert loop_trips(COPY, Work(trips=12, loops=loops), 4) == 3
    assert loop_trips(COPY, Work(trips=12, loops=loops | {2: Work()}), 4) is None


def test_a_loop_that_moves_nothing_either_is_not_counted():
    assert loop_trips(("IADD3", "BRA"), Work(trips=12, loops={0: copying(20480)}), 4) is None
