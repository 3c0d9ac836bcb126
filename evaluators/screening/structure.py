"""The parts of a candidate: ModelNew, its kernels, and what is reachable from them.

Limits: by name; code reached only through strings or containers counts as reached when its name occurs.
"""

import ast
from collections.abc import Iterator

from evaluators.problem import Problem
from evaluators.screening.rule import Violation
from evaluators.screening.source import Source, decorators_of

JIT = frozenset({"triton.jit", "triton.experimental.gluon.jit", "triton.runtime.jit", "triton.language.jit"})
# decorators that keep what they decorate to themselves
INERT = ("torch.", "triton.", "dataclasses.", "functools.cache", "functools.lru_cache", "builtins.")
EXTENSION = "torch.utils.cpp_extension.load_inline"


def class_named(source: Source, name: str) -> ast.ClassDef | None:
    """The last top-level class of that name."""
    found = [node for node in source.tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return found[-1] if found else None


def jit_functions(source: Source) -> list[ast.FunctionDef]:
    """Functions compiled by Triton (or Gluon), decorated or passed to `triton.jit(...)`."""
    calls = (node for node in source.walk(ast.Call) if isinstance(node, ast.Call))
    wrapped = {a.id for c in calls if source.path(c.func) in JIT for a in c.args if isinstance(a, ast.Name)}
    functions = (node for node in source.walk(ast.FunctionDef) if isinstance(node, ast.FunctionDef))
    return [f for f in functions if f.name in wrapped or any(source.path(mark) in JIT for mark in decorators_of(f))]


def extension_calls(source: Source) -> list[ast.Call]:
    """Calls of load_inline."""
    calls = (node for node in source.walk(ast.Call) if isinstance(node, ast.Call))
    return [call for call in calls if source.path(call.func) == EXTENSION]


def reachable(source: Source) -> set[ast.AST]:
    """Top-level statements that run on import or that ModelNew can reach by name; the rest is never judged."""
    definitions = {n.name: n for n in source.tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    waiting = [node for node in definitions.values() if _only_defines(source, node)]
    seen: set[ast.AST] = {n for n in source.tree.body if n not in waiting}
    todo = [*seen, *(node for name, node in definitions.items() if name == "ModelNew")]
    seen.update(todo)
    while todo:
        for node in ast.walk(todo.pop()):
            found = definitions.get(node.id) if isinstance(node, ast.Name) else None
            if found is not None and found not in seen:
                seen.add(found)
                todo.append(found)
    return seen


def _only_defines(source: Source, node: ast.stmt) -> bool:
    """Whether nothing else happens when a definition is read: no decorator or statement that would hand it on."""
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        is_plain = isinstance(node, ast.Pass | ast.Expr | ast.AnnAssign | ast.Assign) and not _calls(node)
        return is_plain and all(isinstance(target, ast.Name) for target in getattr(node, "targets", ()))
    if not all((source.path(mark) or "").startswith(INERT) for mark in decorators_of(node)):
        return False
    if isinstance(node, ast.ClassDef):
        return not node.keywords and all(_only_defines(source, item) for item in node.body)
    return not _calls(node.args) and (node.returns is None or not _calls(node.returns))


def _calls(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Call) for part in ast.walk(node))


def overridden(source: Source, reached: set[ast.AST]) -> set[ast.AST]:
    """Methods of a class that serves as a base only, replaced in the class built on it and not called through super().

    `class ModelNew(Model)` with a forward of its own never runs Model's.
    """
    classes = [node for node in reached if isinstance(node, ast.ClassDef)]
    bases_only = _bases_only(reached)
    supers = [call for call in source.walk(ast.Call) if source.path(call.func) == "builtins.super"]
    around = [source.parents[call] for call in supers]
    through_super = {parent.attr for parent in around if isinstance(parent, ast.Attribute)}
    if not all(isinstance(parent, ast.Attribute) for parent in around):
        return set()  # which method is meant cannot be read
    found: set[ast.AST] = set()
    for derived in classes:
        replaced = {getattr(item, "name", "") for item in derived.body} - through_super
        for base in classes:
            if base.name in bases_only and any(isinstance(b, ast.Name) and b.id == base.name for b in derived.bases):
                found.update(item for item in base.body if getattr(item, "name", None) in replaced)
    return found


def _bases_only(reached: set[ast.AST]) -> set[str]:
    """Names that occur among the bases of classes and nowhere else."""
    as_base = [b for node in reached if isinstance(node, ast.ClassDef) for b in node.bases if isinstance(b, ast.Name)]
    every = [part for node in reached for part in ast.walk(node) if isinstance(part, ast.Name)]
    names = {base.id for base in as_base}
    return names - {part.id for part in every if part not in as_base}


def check(source: Source, _: Problem) -> Iterator[Violation]:
    """There is a ModelNew, and a kernel of its own that something launches."""
    model = class_named(source, "ModelNew")
    if model is None:
        yield Violation("model_new", 1, "there is no class ModelNew: define `class ModelNew(nn.Module)` with forward")
        return
    if not _has_forward(source, model):
        yield Violation("model_new", model.lineno, "ModelNew has no forward: define `def forward(self, ...)` in it")
    kernels = {kernel.name for kernel in jit_functions(source)}
    if not kernels and not extension_calls(source):
        message = (
            "there is no kernel: write a @triton.jit kernel (or CUDA through load_inline) and launch it in forward"
        )
        yield Violation("no_kernel", model.lineno, message)
    elif not extension_calls(source) and not _is_referenced(source, kernels):
        message = f"no kernel is ever launched ({', '.join(sorted(kernels))}): launch it in forward"
        yield Violation("no_kernel", model.lineno, message)


def _has_forward(source: Source, model: ast.ClassDef) -> bool:
    """A forward of its own or of a base class in this file (a library base class would run the library's)."""
    if any(getattr(item, "name", "") == "forward" for item in model.body):
        return True
    assigned = (t for item in model.body if isinstance(item, ast.Assign) for t in item.targets)
    if any(isinstance(target, ast.Name) and target.id == "forward" for target in assigned):
        return True
    names = (base.id for base in model.bases if isinstance(base, ast.Name) and base.id != model.name)
    bases = (class_named(source, name) for name in names)
    return any(base is not None and base.lineno < model.lineno and _has_forward(source, base) for base in bases)


def _is_referenced(source: Source, kernels: set[str]) -> bool:
    inside = {node for kernel in jit_functions(source) for node in ast.walk(kernel)}
    names = (node for node in source.walk(ast.Name) if isinstance(node, ast.Name) and node not in inside)
    return any(name.id in kernels and isinstance(name.ctx, ast.Load) for name in names)
