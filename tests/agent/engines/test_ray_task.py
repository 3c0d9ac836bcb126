"""What a Ray worker answers, without Ray: everything a judge on this machine would."""

from agent.engines.ray import task
from evaluators.candidate import candidate_from
from evaluators.evaluation import Passed, evaluation_adapter
from evaluators.gpu_catalog import load_gpu
from evaluators.problem_catalog import load_problem

CANDIDATE = candidate_from("import triton\n\n\n@triton.jit\ndef k(x):\n    pass\n")


class Judge:
    def evaluate(self, problem, candidate, gpu, **options):
        common = {"candidate_id": candidate.id, "problem": problem.key, "gpu": gpu.key}
        return Passed(listings={"kernel.sass": "EXIT"}, **common)


def test_compiled_texts_travel_with_the_verdict():
    problem = load_problem("convt3d-72")
    job = {
        "candidate": CANDIDATE.model_dump(mode="json"),
        "gpu": load_gpu("4090").model_dump(mode="json"),
        "incumbent": None,
        "metrics": (),
        "rungs": None,
    }
    answer = task._verdict(Judge(), problem, job, announce=lambda rung: None)
    assert evaluation_adapter.validate_python(answer).listings == {"kernel.sass": "EXIT"}
