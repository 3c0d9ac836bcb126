"""Process state: attributes of imported modules and classes are not assigned to.

One exception: `tl.NAME = function_of_this_file`, while no kernel of the file uses `tl.NAME`. Models define missing math
helpers that way; it changes nothing as long as it is not called, and a call is an error of its own (a helper must be
`@triton.jit`).

Limits: changes made through calls are the business of the other rules and of the judge.
"""

import ast
from collections.abc import Iterator

from evaluators.problem import Problem
from evaluators.screening.rule import Violation
from evaluators.screening.source import Source
from evaluators.screening.structure import jit_functions

MESSAGE = (
    "assignment to `{}` changes the process outside the module: keep state on self and define helpers as functions"
)
USED_HELPER = (
    "`tl.{}` is replaced by a plain function and used in a kernel: make it a @triton.jit function, call it by name"
)


COUNTED = "forward counts its calls (`{}`): every call must do the same work, so nothing may depend on a count"


def check(source: Source, _: Problem) -> Iterator[Violation]:
    """Assignments and deletions whose target belongs to something imported; counters kept between calls."""
    for step in source.walk(ast.AugAssign):
        if _counts_calls(source, step):
            yield Violation("call_counter", step.lineno, COUNTED.format(ast.unparse(step.target)))
    for node in source.walk(ast.Attribute, ast.Subscript):
        if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
            yield from _check_target(source, node)


def _counts_calls(source: Source, step: ast.AugAssign) -> bool:
    """`self.calls += 1` outside construction: a constant step of a value that outlives the call."""
    function = source.function(step)
    is_kept = isinstance(step.target, ast.Attribute) and getattr(step.target.value, "id", "") == "self"
    is_constructing = getattr(function, "name", "") in ("__init__", "reset_parameters")
    is_constant = isinstance(step.value, ast.Constant) and isinstance(step.value.value, int)
    return is_kept and is_constant and function is not None and not is_constructing


def _check_target(source: Source, node: ast.AST) -> Iterator[Violation]:
    base = source.path(node.value) if isinstance(node, ast.Attribute | ast.Subscript) else None
    if base is None or "()" in base:
        return  # an object of the candidate's own
    path = f"{base}.{node.attr}" if isinstance(node, ast.Attribute) else f"{base}[]"
    line = getattr(node, "lineno", 0)
    if not (isinstance(node, ast.Attribute) and _is_helper(source, node, path)):
        yield Violation("process_state", line, MESSAGE.format(path))
    elif _used_in_kernel(source, path):
        yield Violation("process_state", line, USED_HELPER.format(node.attr))


def _is_helper(source: Source, node: ast.Attribute, path: str) -> bool:
    statement = source.parents[node]
    if not isinstance(statement, ast.Assign) or path != f"triton.language.{node.attr}" or node.attr.startswith("_"):
        return False
    value = statement.value
    functions = {n.name for n in source.tree.body if isinstance(n, ast.FunctionDef)}
    return isinstance(value, ast.Name) and value.id in functions


def _used_in_kernel(source: Source, path: str) -> bool:
    return any(
        isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and source.path(node) == path
        for kernel in jit_functions(source)
        for node in ast.walk(kernel)
    )
