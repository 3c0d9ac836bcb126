"""How exact products must be: by the problem's tolerance, and by what a judge has said since.

That a reference computes in TF32 is a guess until somebody measures it: cuDNN computes some geometries in fp32 although
TF32 is allowed. The error that a refusal allowed and the measured class of eager are facts of the problem, whatever
the kernel.

Limits: reads the judge's sentence (evaluators/judge/verdicts.py `wrong_values`); another wording is no evidence.
"""

import re

from agent.proposers.playbook.family import ROUNDED_ERROR
from agent.proposers.playbook.recognition import Subject
from prompts.context import Context

_ALLOWED = re.compile(r"relative error \S+, allowed ([0-9.e+-]*[0-9])")


def exactness(context: Context, subject: Subject) -> tuple[float, str]:
    """(relative error that products may have, why it is less than the tolerance let one expect; "" where it is not)."""
    tolerance = context.problem.tolerance
    exact = tolerance.error_multiple * tolerance.floor
    if not tolerance.allows_tf32(subject.is_tf32):
        return exact, ""
    assumed = tolerance.error_multiple * tolerance.tf32_floor
    if subject.shape.dtype != "float32" or assumed < ROUNDED_ERROR:
        return assumed, ""
    least = min(_allowed(context), default=assumed)
    if least < ROUNDED_ERROR:
        return least, f"{_said(least)}, so its reference computes in fp32 although TF32 is allowed"
    device = _computes_in_fp32_on(context)
    if device and tolerance.precision == "reference":
        return exact, f"eager was measured on {device} and computes in fp32 although TF32 is allowed"
    return assumed, ""


def _said(allowed: float) -> str:
    return f"operands rounded to 10 bits err by up to {ROUNDED_ERROR:g} and the judge allowed {allowed:.2g}"


def _allowed(context: Context) -> list[float]:
    """The errors that refusals for wrong numbers named as allowed."""
    refused = (past.message for past in context.history if past.kind == "incorrect_numerical")
    return [float(found[1]) for found in map(_ALLOWED.search, refused) if found]


def _computes_in_fp32_on(context: Context) -> str:
    """The device on which eager was measured to compute in fp32; empty where it was not."""
    evaluation = context.base.evaluation if context.base else None
    baselines = evaluation.timing.baselines if evaluation and evaluation.timing else None
    return baselines.device if baselines and baselines.precision == "fp32" else ""
