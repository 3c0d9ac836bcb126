"""What a problem asks for: which kind of workload its reference is, its sizes, and how a file for it is written.

Limits: convolutions of either kind as one layer, and formulas (formulas/workload.py); anything else is NothingToPropose
with the reason.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass

from agent.proposers.errors import NothingToPropose
from agent.proposers.playbook import convolution_text
from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.emission import TRANSPOSED, Operator, candidate_source
from agent.proposers.playbook.family import Family
from agent.proposers.playbook.formulas.author import FormulaFamily, formula_source
from agent.proposers.playbook.formulas.formula import Node, Tensor, of_kind
from agent.proposers.playbook.formulas.published import Published
from agent.proposers.playbook.formulas.reader import Reader
from agent.proposers.playbook.formulas.workload import workload_of
from agent.proposers.playbook.reference import ModelText, read_model, read_reference
from agent.proposers.playbook.shape import ITEM_BYTES, ConvShape, convolution_shape, shape_from
from evaluators.problem import Problem, ProblemFacts

Write = Callable[[Configuration, Family], str]
CONVOLUTION = Operator("convolution", convolution_text.wrapper_for)


@dataclass(frozen=True)
class Subject:
    """A recognised reference. `is_tf32`: it computes in TF32 on a GPU at torch's settings, so TF32 is exact enough."""

    shape: ConvShape
    is_tf32: bool
    write: Write


def recognise(problem: Problem, facts: ProblemFacts) -> Subject:
    """The subject of a problem. Raises NothingToPropose."""
    if any(0 in output.shape for output in facts.outputs):
        raise NothingToPropose("the reference's result has no elements: there is nothing to compute")
    if not facts.operator.startswith("conv"):
        return _formula(problem, facts)
    reference = read_reference(problem.source)
    model = read_model(problem.source)
    mode = Published(model.source, model.methods["__init__"], facts).option(reference.layer, "padding_mode")
    if mode not in (None, "zeros"):
        raise NothingToPropose(f"the playbook pads convolutions with zeros, not by {mode!r}; give a --model")
    if facts.operator.startswith("conv_transpose"):
        shape, operator = shape_from(facts, reference.layer), TRANSPOSED
    else:
        shape, operator = convolution_shape(facts, reference.layer), CONVOLUTION
    return Subject(
        shape,
        is_tf32=shape.groups == 1,  # cuDNN runs groups in fp32
        write=lambda configuration, family: candidate_source(configuration, family, reference, operator),
    )


def _formula(problem: Problem, facts: ProblemFacts) -> Subject:
    model = read_model(problem.source)
    formula, reader = read_formula(model, facts)
    texts = [f"{tensor.text}." for tensor in of_kind(formula, Tensor)]
    held = [fact for fact in facts.parameters if any(text.startswith(f"self.{fact.name}.") for text in texts)]
    dtypes = {fact.dtype for fact in (*facts.inputs, *facts.outputs, *held)}
    if len(dtypes) != 1 or not dtypes <= set(ITEM_BYTES):
        raise NothingToPropose(
            f"the playbook computes in one type, fp32, fp16 or bf16, not {', '.join(sorted(dtypes))}"
        )
    try:
        shape = workload_of(formula, dtypes.pop())
    except NothingToPropose as refusal:
        raise NothingToPropose(f"{refusal}. The reference: {reader.heavy_lines() or 'nothing to compute'}") from None

    def write(configuration: Configuration, family: Family) -> str:
        assert isinstance(family, FormulaFamily), "formulas are served by their own families"
        return formula_source(configuration, family, shape, model)

    return Subject(shape, is_tf32=False, write=write)


def read_formula(model: ModelText, facts: ProblemFacts) -> tuple[Node, Reader]:
    """forward as a formula whose result has the shape that the judge found, and its reader. Raises NothingToPropose."""
    forward = model.methods["forward"]
    published = Published(model.source, model.methods.get("__init__"), facts)
    arguments = forward.args.args[1:]
    numbers = frozenset(argument.arg for argument in arguments if _is_number(argument))
    names = [argument.arg for argument in arguments if argument.arg not in numbers]
    if len(names) < len(facts.inputs) or len(facts.outputs) != 1:
        raise NothingToPropose("the playbook needs tensors as the arguments of forward and one result; give a --model")
    tensors = {name: fact.shape for name, fact in zip(names, facts.inputs, strict=False)}
    tensors |= {f"self.{fact.name}": fact.shape for fact in facts.parameters}
    reader = Reader(model.source, published, tensors, numbers)
    formula = reader.read(forward)
    if formula.shape != facts.outputs[0].shape:
        raise NothingToPropose(
            f"the playbook reads a result of shape {formula.shape} where the reference gives {facts.outputs[0].shape}"
        )
    return formula, reader


def _is_number(argument: ast.arg) -> bool:
    """`s: float`: an argument that is no tensor."""
    return isinstance(argument.annotation, ast.Name) and argument.annotation.id in ("float", "int", "bool")
