"""The sequence of calls as a GPU is asked it, put to a process that interprets.

Limits: the order of questions and what is made of the answers; the device itself is test_on_device.py.
"""

from pathlib import Path

import pytest

from evaluators.gpu_catalog import load_gpu
from evaluators.judge.conversation import converse
from evaluators.judge.device.examination import DeviceExamination
from evaluators.judge.geometry import geometries_of
from evaluators.judge.reference import Reference
from evaluators.judge.shared_bytes import on_host
from evaluators.problem import Problem
from evaluators.rungs.correctness import bytes_needed, examined
from evaluators.rungs.interpreted import CALL_LIMIT_S, ENTRY

EXPLOITS = Path(__file__).resolve().parents[2] / "exploits"


@pytest.mark.parametrize(
    ("file", "ends"),
    [("honest/cached_repack_by_version", "passed"), ("cheats/stale_weights_shared", "failed")],
)
def test_the_sequence_on_the_device_ends_with_a_second_model(zygotes, file, ends):
    problem = Problem(key="small", title="", source=(EXPLOITS / "reference_small.py").read_text())
    geometries, gpu = geometries_of(Reference(problem)), load_gpu("4090")
    device = {**gpu.model_dump(mode="json"), "capability": gpu.capability}
    arguments, shared = {"device": device, "library_ops": []}, on_host(bytes_needed(geometries))
    with converse(zygotes.interpret, ENTRY, arguments, shared=shared, call_limit_s=CALL_LIMIT_S) as talk:
        examination = DeviceExamination(talk, problem, tf32=False)

        def asked() -> None:
            talk.load((EXPLOITS / f"{file}.py").read_text())
            examination.many_calls(geometries)

        found = examined(examination, asked)
    checks = {check.name: check.status for check in found.checks}
    assert (checks["second_model"], checks["repeated_call"]) == (ends, "passed"), found.failure
    assert not found.unverified
