"""Library calls: the arithmetic of every output value belongs in the candidate's own kernels.

torch may allocate, view, permute, copy, pad and query; a layer may hold parameters but not be called. A use that only
unsupported input reaches (`if not x.is_cuda: return F.conv3d(...)`) is reported and tolerated.

Limits: what cannot be seen in the text (`+` on tensors, names made at run time) is left to the judge's audit.
"""

import ast
from collections.abc import Iterator

from evaluators.problem import Problem
from evaluators.screening.allowed import (
    CONTAINERS,
    INIT_MATHS,
    MOVING_LAYERS,
    TENSOR_METHODS,
    is_allowed,
    is_layer,
    is_library_op,
)
from evaluators.screening.rule import Violation, unreached_guard
from evaluators.screening.source import Source
from evaluators.screening.structure import jit_functions, overridden, reachable

INSTEAD = "compute it in your own kernel; torch may allocate, view, permute, copy, pad and query"
LAYER = "a layer may hold parameters; pass its weight and bias to your kernel instead of calling it"
GRAPHS = "issue all work on the caller's current stream, with no private streams, graphs or deferred work"
PROCESS = "it changes the process outside the module, and settings are the judge's"
NO_CALLS = {
    "torch.manual_seed": PROCESS,
    "torch.set_": PROCESS,
    "torch.use_deterministic": PROCESS,
    "torch.library.": "call the function that launches your kernel as it is",
}
INIT_FUNCTIONS = ("__init__", "reset_parameters", "init_weights", "_init_weights", "extra_repr")
MAX_STEPS = 8  # from a loop variable to the container it runs over
TOLERATED = "tolerated because ordinary CUDA float32 input does not reach it ({})"


def check(source: Source, problem: Problem) -> Iterator[Violation]:
    """Library names and calls in everything that ModelNew reaches."""
    reached = reachable(source)
    never_run = [*(node for node in source.tree.body if node not in reached), *overridden(source, reached)]
    unreached = {node for statement in never_run for node in ast.walk(statement)}
    # a kernel body may not name torch either, but `@` and method calls are Triton's own there
    kernels = {node for kernel in jit_functions(source) for node in ast.walk(kernel)}
    for node in source.walk(ast.Name, ast.Attribute, ast.Call, ast.BinOp):
        if node in kernels and isinstance(node, ast.Call | ast.BinOp):
            continue
        message = _message(source, node)
        if message and _is_of_streams(source, node):
            yield Violation("library_call", node.lineno, message)
        elif message and node not in unreached and not is_library_op(_name(source, node), problem.library_ops):
            yield _judged(source, node, message)


def _is_of_streams(source: Source, node: ast.AST) -> bool:
    """Streams and graphs: no record shows them, so they may stand nowhere, whatever seems to reach them."""
    path = (source.path(node) or "").lower()
    return isinstance(node, ast.Name | ast.Attribute) and ("stream" in path or "graph" in path)


def _message(source: Source, node: ast.AST) -> str | None:
    if isinstance(node, ast.Name | ast.Attribute):
        return _reference_message(source, node)
    if isinstance(node, ast.Call):
        return _call_message(source, node)
    is_matmul = isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)
    return f"the @ operator is a library matrix product: {INSTEAD}" if is_matmul else None


def _reference_message(source: Source, node: ast.AST) -> str | None:
    """A torch or triton name outside the allow-list; only the whole chain `a.b.c` is looked at."""
    parent = source.parents[node]
    path = source.path(node)
    if path is None or isinstance(parent, ast.Attribute) or not path.startswith(("torch.", "triton.")):
        return None
    if "()" in path or not isinstance(getattr(node, "ctx", None), ast.Load) or is_allowed(path):
        return None
    if path in INIT_MATHS and _is_called_at_init(source, node):
        return None
    if path.startswith("torch.cuda.") or _is_of_streams(source, node):
        return f"`{path}` is not allowed: {GRAPHS}"
    for prefix, instead in NO_CALLS.items():
        if path.startswith(prefix):
            return f"`{path}` is not allowed: {instead}"
    return None if _is_namespace(source, node, path) else f"`{path}` is a library call: {INSTEAD}"


def _is_namespace(source: Source, node: ast.AST, path: str) -> bool:
    """`F = torch.nn.functional`: an alias of a module; what is used through it is looked at where it is used."""
    is_alias = isinstance(source.parents[node], ast.Assign)
    return is_alias and path in ("torch.nn", "torch.nn.functional", "torch.nn.init", "torch.cuda", "torch.autograd")


def _is_called_at_init(source: Source, node: ast.AST) -> bool:
    parent = source.parents[node]
    function = source.function(node)
    is_init = isinstance(function, ast.FunctionDef) and function.name in INIT_FUNCTIONS
    return is_init and isinstance(parent, ast.Call) and parent.func is node


def _call_message(source: Source, node: ast.Call) -> str | None:
    path = source.path(node.func)
    if path == "builtins.super().forward" and _extends_layer(source, node):
        return f"`super().forward(...)` runs a library layer: {LAYER}"
    if path is not None and _is_layer_call(path) and not _holds_own_modules(source, node):
        return f"`{ast.unparse(node.func)}(...)` runs a library layer ({path.split('(')[0]}): {LAYER}"
    function = source.function(node)
    if isinstance(function, ast.FunctionDef) and function.name in INIT_FUNCTIONS:
        return None
    if isinstance(node.func, ast.Attribute) and _is_tensor_method(source, node.func, path):
        return f"`.{node.func.attr}(...)` is a library call: {INSTEAD}"
    return None


def _is_layer_call(path: str) -> bool:
    head, parentheses, rest = path.partition("()")
    if not is_layer(head) or head == "torch.nn.Module" or head in MOVING_LAYERS:
        return False
    if not parentheses:
        return False
    if head in CONTAINERS:
        return rest in ("", "[]", "[].forward", ".forward") and head != "torch.nn.ParameterList"
    return rest in ("", ".forward", ".__call__", "._conv_forward")


def _extends_layer(source: Source, node: ast.AST) -> bool:
    around = next((a for a in source.ancestors(node) if isinstance(a, ast.ClassDef)), None)
    bases = [source.path(base) or "" for base in around.bases] if around else []
    return any(is_layer(base) and base != "torch.nn.Module" for base in bases)


def _holds_own_modules(source: Source, node: ast.Call) -> bool:
    """A container whose construction names no library layer holds modules of this file, whose forward is looked at."""
    maker = _container(source, node.func)
    inside = (part for part in ast.walk(maker) if isinstance(part, ast.Call) and part is not maker) if maker else ()
    layers = [source.path(part.func) for part in inside]
    return maker is not None and not any(layer and is_layer(layer) and layer not in CONTAINERS for layer in layers)


def _container(source: Source, node: ast.expr) -> ast.Call | None:
    """The call that built the ModuleList (or Sequential) an expression is an element of."""
    current: ast.expr | None = node
    for _ in range(MAX_STEPS):
        if isinstance(current, ast.Call):
            return current if source.path(current.func) in CONTAINERS else None
        if isinstance(current, ast.Subscript):
            current = current.value
        elif isinstance(current, ast.Name | ast.Attribute):
            current = source.assigned(current)
    return None


def _is_tensor_method(source: Source, function: ast.Attribute, path: str | None) -> bool:
    """A method that computes with tensor values; names the file itself defines (or exports from C++) are its own."""
    if isinstance(function.value, ast.Name) and function.value.id == "self":
        return False  # a method or module of the candidate's own
    # a path without parentheses is a function of a module: its name is looked at as a reference
    if function.attr not in TENSOR_METHODS or (path is not None and "()" not in path):
        return False
    if path is not None and path.startswith(("torch.utils.cpp_extension", "triton.")):
        return False
    defined = (node for node in source.walk(ast.FunctionDef, ast.Constant))
    own = {n.name if isinstance(n, ast.FunctionDef) else getattr(n, "value", None) for n in defined}
    return function.attr not in own


def _name(source: Source, node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        attribute: str = getattr(node.func, "attr", "")
        return source.path(node.func) or attribute
    return "matmul" if isinstance(node, ast.BinOp) else source.path(node) or ""


def _backward(source: Source, node: ast.AST) -> str | None:
    """Inside `backward` of an autograd.Function that nothing calls: the forward pass does not reach it."""
    method = source.function(node)
    owner = source.parents.get(method) if method is not None else None
    if not isinstance(method, ast.FunctionDef) or not isinstance(owner, ast.ClassDef) or method.name != "backward":
        return None
    is_autograd = any(source.path(base) == "torch.autograd.Function" for base in owner.bases)
    is_named = any(getattr(n, "attr", "") == "backward" for n in source.walk(ast.Attribute))
    return "backward of an autograd.Function" if is_autograd and not is_named else None


def _judged(source: Source, node: ast.AST, message: str) -> Violation:
    guard = unreached_guard(source, node) or _backward(source, node)
    line = getattr(node, "lineno", 0)
    if guard is None:
        return Violation("library_call", line, message)
    return Violation(
        "library_fallback", line, f"{message.partition(': ')[0]}; {TOLERATED.format(guard)}", tolerated=True
    )
