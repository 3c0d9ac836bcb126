"""Code that hides what it does: exec, eval, computed attribute names on modules, frames and dunder tricks.

Limits: names assembled at run time by means not listed here are left to the judge's operator audit.
"""

import ast
from collections.abc import Iterator

from evaluators.problem import Problem
from evaluators.screening.rule import Violation
from evaluators.screening.source import Source, words
from evaluators.screening.structure import JIT, jit_functions

BANNED_BUILTINS = {
    "exec": "write the code out",
    "eval": "write the expression out",
    "compile": "write the code out",
    "__import__": "use an import statement",
    "__builtins__": "call what you need by name",
    "globals": "pass values as arguments",
    "locals": "pass values as arguments",
    "vars": "read attributes by name",
    "open": "a candidate reads and writes no files",
    "input": "a candidate has no input but its tensors",
    "breakpoint": "remove it",
    "exit": "let forward return its result",
    "quit": "let forward return its result",
    "memoryview": "use torch and the kernel for tensor memory",
}
HARMLESS_DUNDERS = words(
    "__init__ __name__ __qualname__ __version__ __doc__ __class__ __len__ __getitem__ __setitem__ __iter__ __enter__ "
    "__exit__ __post_init__ __new__ __annotations__"
)
FRAME_NAMES = words("f_back f_locals f_globals f_code gi_frame cr_frame tb_frame tb_next _getframe")
INDIRECT_CALLS = frozenset({"operator.attrgetter", "operator.methodcaller", "operator.matmul", "operator.imatmul"})
COMPUTED = "the attribute's name is computed, so what is used cannot be read: write the attribute out"


def check(source: Source, _: Problem) -> Iterator[Violation]:
    """Dynamic code, computed attributes, modules handed around as values, frames and dunder attributes."""
    for node in source.walk(ast.Name, ast.Attribute):
        yield from _check_reference(source, node)
    for node in source.walk(ast.Call):
        yield from _check_call(source, node)
    yield from _check_kernels(source)
    for node in source.walk(ast.Call):
        yield from _check_decorator(source, node)


def _check_kernels(source: Source) -> Iterator[Violation]:
    """Kernels look behind no object, and nobody looks behind a kernel: both would tell how the code is run."""
    kernels = jit_functions(source)
    names = {kernel.name for kernel in kernels}
    for kernel in kernels:
        for node in ast.walk(kernel):
            if isinstance(node, ast.Call) and source.path(node.func) in QUESTIONS:
                yield Violation("introspection", node.lineno, f"`{ast.unparse(node)[:60]}` in a kernel: {ASKED}")
            if isinstance(node, ast.Attribute) and node.attr == "handle":
                yield Violation("introspection", node.lineno, f"`.handle` in a kernel: {ASKED}")
    for call in source.walk(ast.Call):
        about = {n.id for argument in call.args[:1] for n in ast.walk(argument) if isinstance(n, ast.Name)}
        if source.path(call.func) in QUESTIONS and about & names:
            yield Violation("introspection", call.lineno, f"`{ast.unparse(call)[:60]}` asks about a kernel: {ASKED}")


def _check_decorator(source: Source, call: ast.Call) -> Iterator[Violation]:
    """Functions handed to Triton that only a compiler or a card calls would tell Python how the code is run."""
    path = source.path(call.func)
    refused = CALLED_BY_COMPILER if path in JIT else CALLED_BY_TUNER if path == "triton.autotune" else None
    for keyword in call.keywords if refused else ():
        if keyword.arg is None:
            yield Violation("introspection", call.lineno, f"write the keywords of `{path}` out")
        elif refused and keyword.arg in refused:
            yield Violation("introspection", call.lineno, f"`{keyword.arg}=` of `{path}` is not allowed: {ASKED}")
    if path == "triton.autotune" and len(call.args) > AUTOTUNE_BY_POSITION:
        yield Violation("introspection", call.lineno, f"write the keywords of `{path}` out")


CALLED_BY_COMPILER = frozenset({"repr"})
CALLED_BY_TUNER = frozenset({"post_hook", "do_bench"})
AUTOTUNE_BY_POSITION = 6  # configs, key, prune_configs_by, reset_to_zero, restore_value, pre_hook
ASKED = "what is compiled and what is checked must be the same code"
QUESTIONS = frozenset(
    f"builtins.{name}" for name in ("isinstance", "hasattr", "getattr", "type", "callable", "dir", "repr", "str", "id")
)


def _check_reference(source: Source, node: ast.AST) -> Iterator[Violation]:
    path = source.path(node)
    line = getattr(node, "lineno", 0)
    if isinstance(node, ast.Name) and path == f"builtins.{node.id}" and node.id in BANNED_BUILTINS:
        yield Violation("dynamic_code", line, f"`{node.id}` is not allowed: {BANNED_BUILTINS[node.id]}")
    elif path in INDIRECT_CALLS:
        yield Violation("dynamic_code", line, f"`{path}` is not allowed: write the operation out")
    if isinstance(node, ast.Attribute) and _is_inspection(node.attr):
        message = f"`.{node.attr}` looks behind Python objects: use only what was passed in"
        yield Violation("introspection", line, message)
    if path in MODULES and isinstance(getattr(node, "ctx", None), ast.Load) and not _is_plain_use(source, node):
        yield Violation("dynamic_code", line, f"module `{path}` is handed around as a value: call it by name")


MODULES = words("torch torch.nn torch.nn.functional torch.ops torch.linalg torch.fft torch.special")


def _is_plain_use(source: Source, node: ast.AST) -> bool:
    """`module.name`, a plain alias `F = torch.nn.functional`, or the first argument of getattr (judged there)."""
    parent = source.parents[node]
    is_getattr = isinstance(parent, ast.Call) and source.path(parent.func) in ("builtins.getattr", "builtins.hasattr")
    return isinstance(parent, ast.Attribute) or is_getattr or _is_alias(parent)


def _is_alias(statement: ast.AST) -> bool:
    return isinstance(statement, ast.Assign) and all(isinstance(target, ast.Name) for target in statement.targets)


def _is_inspection(name: str) -> bool:
    is_dunder = name.startswith("__") and name.endswith("__") and len(name) > 4
    return name in FRAME_NAMES or (is_dunder and name not in HARMLESS_DUNDERS)


def _check_call(source: Source, node: ast.AST) -> Iterator[Violation]:
    if not isinstance(node, ast.Call) or not node.args:
        return
    called = source.path(node.func)
    own = isinstance(node.args[0], ast.Name) and node.args[0].id == "self"
    if called == "builtins.getattr" and len(node.args) > 1:
        yield from _check_getattr(source, node, own)
    if called in ("builtins.setattr", "builtins.delattr") and not own:
        message = "setattr outside self changes objects that are not yours: keep state on self"
        yield Violation("process_state", node.lineno, message)


def _check_getattr(source: Source, node: ast.Call, own: bool) -> Iterator[Violation]:
    name = node.args[1]
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        if _is_inspection(name.value):
            yield Violation("introspection", node.lineno, f"`{name.value}` looks behind Python objects")
    elif not own and _hides_call(source, node):
        yield Violation("dynamic_code", node.lineno, COMPUTED)


def _hides_call(source: Source, node: ast.Call) -> bool:
    """Reading `getattr(self.conv, name)` is fine; over an imported module, or called at once, it hides a function."""
    parent = source.parents[node]
    base = source.path(node.args[0])
    from_import = base is not None and ("()" not in base or base.startswith("builtins.getattr()"))
    return from_import or (isinstance(parent, ast.Call) and parent.func is node) or isinstance(parent, ast.Attribute)
