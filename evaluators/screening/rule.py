"""What a rule reports, and the question "is this line reached on the path that is judged?" that several rules ask.

A fallback to the library that only unsupported input reaches (a tensor that is not on a GPU, another dtype) is not a
cheat: seed code guards its kernel like that. `unreached_guard` decides by evaluating the conditions around a node for
ordinary input: on CUDA, float32.

Limits: three-valued; a condition it cannot decide counts as reached.
"""

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from evaluators.problem import Problem
from evaluators.screening.source import Source

ORDINARY = {"is_cuda": True, "is_cpu": False}
DTYPE_NAMES = {"torch.float32", "torch.float"}


@dataclass(frozen=True)
class Violation:
    """One finding: the rule's id, the line, and what to do instead. A `tolerated` one is reported and does not fail."""

    rule: str
    line: int
    message: str
    tolerated: bool = False


Rule = Callable[[Source, Problem], Iterable[Violation]]


def unreached_guard(source: Source, node: ast.AST) -> str | None:
    """The condition that keeps ordinary input (CUDA, float32) away from this node, or None when it is reached."""
    child = node
    for parent in source.ancestors(node):
        if isinstance(parent, ast.If | ast.IfExp):
            taken = _ordinary(source, parent.test)
            in_body = child is parent.body or (isinstance(parent.body, list) and child in parent.body)
            if child is not parent.test and taken is not None and taken != in_body:
                return f"guard: `{ast.unparse(parent.test)}`"
        earlier = _returned_before(source, parent, child)
        if earlier is not None:
            return f"guard: `not ({earlier})`"
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            return None
        child = parent
    return None


def _returned_before(source: Source, parent: ast.AST, child: ast.AST) -> str | None:
    """The test of an earlier sibling `if` that ordinary input always takes and never leaves."""
    body = getattr(parent, "body", None)
    if not isinstance(body, list) or child not in body:
        return None
    for statement in body[: body.index(child)]:
        leaves = isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Return | ast.Raise)
        if leaves and _ordinary(source, statement.test) is True:
            return ast.unparse(statement.test)
    return None


def _ordinary(source: Source, test: ast.expr) -> bool | None:
    """The value of a condition for ordinary input; None where it depends on anything else."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        value = _ordinary(source, test.operand)
        return None if value is None else not value
    if isinstance(test, ast.BoolOp):
        values = {_ordinary(source, value) for value in test.values}
        decisive = isinstance(test.op, ast.Or)
        return decisive if decisive in values else (None if None in values else not decisive)
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _ordinary_comparison(source, test)
    if isinstance(test, ast.Name):
        return _ordinary_name(source, test)
    if isinstance(test, ast.Attribute):
        return ORDINARY.get(test.attr)
    is_query = isinstance(test, ast.Call) and source.path(test) == "torch.cuda.is_available()"
    return True if is_query else None


def _ordinary_name(source: Source, test: ast.Name) -> bool | None:
    owner = source.scope(test).owner(test.id)
    values = owner.bound[test.id] if owner else []
    # more than one binding: what the name holds here is not known
    only = [value for value in values if value is not None]
    if (
        len(only) != 1
        or not isinstance(only[0], ast.expr)
        or any(isinstance(n, ast.Name) and n.id == test.id for n in ast.walk(only[0]))
    ):
        return None
    return _ordinary(source, only[0])


def _ordinary_comparison(source: Source, test: ast.Compare) -> bool | None:
    left, operator, right = test.left, test.ops[0], test.comparators[0]
    matches = _matches_ordinary(source, left, right)
    if matches is None:
        return None
    if isinstance(operator, ast.Eq | ast.Is | ast.In):
        return matches
    return not matches if isinstance(operator, ast.NotEq | ast.IsNot | ast.NotIn) else None


def _matches_ordinary(source: Source, left: ast.expr, right: ast.expr) -> bool | None:
    """Whether `tensor.dtype` or `tensor.device.type` on the left equals (or is among) the right for ordinary input."""
    if not isinstance(left, ast.Attribute):
        return None
    options = right.elts if isinstance(right, ast.Tuple | ast.List | ast.Set) else [right]
    if left.attr == "dtype":
        paths = [source.path(option) for option in options]
        known = all(path is not None and path.startswith("torch.") and "(" not in path for path in paths)
        return any(path in DTYPE_NAMES for path in paths) if known else None
    if left.attr == "type" and isinstance(left.value, ast.Attribute) and left.value.attr == "device":
        return any(isinstance(option, ast.Constant) and option.value == "cuda" for option in options)
    return None
