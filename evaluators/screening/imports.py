"""Imports: an allow-list of modules.

Limits: what may be used from an allowed module is the business of the other rules.
"""

import ast
from collections.abc import Iterator

from evaluators.problem import Problem
from evaluators.screening.rule import Violation
from evaluators.screening.source import Source, words

EXACT = words(
    "torch torch.nn torch.nn.functional torch.nn.init torch.nn.parameter torch.nn.modules.utils torch.autograd "
    "torch.autograd.function torch.cuda torch.cuda.amp torch.amp torch.utils.cpp_extension triton "
    "triton.language triton.runtime "
    "triton.tools.tensor_descriptor triton.experimental "
    "__future__ abc collections collections.abc contextlib dataclasses enum functools itertools math numbers "
    "operator textwrap typing typing_extensions warnings"
)
PREFIXES = ("triton.language.", "triton.experimental.gluon", "torch.nn.modules.")
INSTEAD = {
    "numpy": "use math and Python numbers for sizes, and a kernel for tensor values",
    "os": "read no files and set no environment; the judge sets the compiler's options",
    "sys": "nothing outside the module may be inspected",
    "time": "a candidate does not time anything; the judge holds the clock",
    "threading": "do all work on the calling thread before forward returns",
}


def check(source: Source, _: Problem) -> Iterator[Violation]:
    """Modules outside the allow-list, and `import *`."""
    for node in source.walk(ast.Import, ast.ImportFrom):
        yield from _check_one(node)


def _check_one(node: ast.AST) -> Iterator[Violation]:
    if isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        if any(alias.name == "*" for alias in node.names):
            yield Violation("import_star", node.lineno, f"`from {module} import *` hides what is used: import names")
        submodules = [f"{module}.{alias.name}" for alias in node.names]
        if not is_allowed(module) and not all(is_allowed(name) for name in submodules):
            yield _refused(module, node.lineno)
    elif isinstance(node, ast.Import):
        yield from (_refused(a.name, node.lineno) for a in node.names if not is_allowed(a.name))


def is_allowed(module: str) -> bool:
    """Whether a candidate may import this module."""
    return module in EXACT or module.startswith(PREFIXES)


def _refused(module: str, line: int) -> Violation:
    instead = INSTEAD.get(module.split(".", 1)[0], "a kernel file needs torch, triton, math and typing helpers only")
    return Violation("imports", line, f"import of `{module}` is not allowed: {instead}")
