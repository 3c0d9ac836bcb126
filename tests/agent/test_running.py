"""What a user is told before the first attempt."""

from types import SimpleNamespace

from agent.running import _remarks
from evaluators.gpu_catalog import load_gpu
from evaluators.problem import ProblemFacts
from evaluators.problem_catalog import load_problem


def remarks(bytes_moved, gpu):
    facts = ProblemFacts(
        inputs=(), parameters=(), outputs=(), init_args="", operator="relu", hyperparameters={}, flop=None,
        bytes_moved=bytes_moved, warnings=(),
    )  # fmt: skip
    subject = SimpleNamespace(problem=load_problem("convt3d-68"), gpu=load_gpu(gpu), facts=facts, memories=())
    return "\n".join(_remarks(SimpleNamespace(subject=subject), None))


def test_a_problem_larger_than_the_memory_of_the_card_is_said_to_be():
    assert "its tensors take 596 GiB, NVIDIA T4 has 16: it cannot run there" in remarks(640e9, "t4")
    assert "cannot run" not in remarks(17e9, "t4"), "16 GiB are 17.2e9 bytes"
