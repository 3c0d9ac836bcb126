"""Code that only announces itself: bodies that are `pass`, `...` or NotImplementedError, kernels that are a comment.

Limits: a body that does something useless is not a placeholder; correctness finds it.
"""

import ast
import re
from collections.abc import Iterator

from evaluators.problem import Problem
from evaluators.screening.cpp import COMMENTS, blank, cpp_texts
from evaluators.screening.rule import Violation
from evaluators.screening.source import Source
from evaluators.screening.structure import class_named, extension_calls, jit_functions

EMPTY_KERNEL = re.compile(r"__global__[^{};(]{0,400}?(\w+)\s*\([^{};]{0,8000}\)\s*\{\s*\}")
WRITE_IT = "write the whole body; nothing is filled in for you"


def check(source: Source, _: Problem) -> Iterator[Violation]:
    """Empty forward, empty kernels, C++ text that defines nothing."""
    model = class_named(source, "ModelNew")
    bodies: list[ast.AST] = [*jit_functions(source), *(model.body if model else [])]
    for node in bodies:
        is_judged = isinstance(node, ast.FunctionDef) and (
            node.name == "forward" or node not in (model.body if model else ())
        )
        if is_judged and isinstance(node, ast.FunctionDef) and is_empty(node):
            yield Violation("placeholder", node.lineno, f"the body of `{node.name}` is a placeholder: {WRITE_IT}")
    yield from _cpp(source)


def is_empty(function: ast.FunctionDef) -> bool:
    """Only docstrings, `pass`, `...`, `return`, or raising NotImplementedError."""
    return all(_does_nothing(statement) for statement in function.body)


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        return "NotImplementedError" in ast.dump(statement)
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    nothing = isinstance(statement, ast.Return) and (
        statement.value is None or (isinstance(statement.value, ast.Constant) and statement.value.value is None)
    )
    return isinstance(statement, ast.Pass) or is_constant or nothing


def _cpp(source: Source) -> Iterator[Violation]:
    texts = [(line, blank(COMMENTS, text)) for line, text in cpp_texts(source)]
    for line, text in texts:
        for match in EMPTY_KERNEL.finditer(text):
            where = line + text.count("\n", 0, match.start())
            yield Violation("placeholder", where, f"the body of CUDA kernel `{match[1]}` is a placeholder: {WRITE_IT}")
    calls = extension_calls(source)
    if calls and texts and not any("__global__" in text for _, text in texts):
        message = f"the CUDA text defines no __global__ kernel: {WRITE_IT}"
        yield Violation("placeholder", calls[0].lineno, message)
