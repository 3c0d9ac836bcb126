"""What kind of kernel a file holds, read from its syntax tree: family/memory pattern/precision.

    family     dot, scalar or scatter (atomics), with the number of kernels where there is more than one
    memory     descriptor (TMA), block-pointer or pointer
    precision  the input_precision of tl.dot, or half where operands are cast to a half type, else fp32

Limits: what is spelled out. Two files of one behaviour may still differ in everything else.
"""

import ast
import hashlib

UNREADABLE = "unreadable"


def behaviour_of(source: str) -> str:
    """`dot+2/pointer/tf32`; `cuda` for CUDA C++, `unreadable` where the file does not parse."""
    if "load_inline" in source:
        return "cuda"
    try:
        tree = ast.parse(source)
        names = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply
        return UNREADABLE
    called = {name.rpartition(".")[2] for name in names}
    return f"{_family(tree, called)}/{_memory(called)}/{_precision(tree, called)}"


def program_of(source: str) -> str:
    """First 16 hex digits of a hash of the syntax tree: equal for files that differ in comments and blanks only."""
    try:
        text = ast.dump(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        text = source
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _family(tree: ast.AST, called: set[str]) -> str:
    kernels = sum(
        isinstance(node, ast.FunctionDef) and any("jit" in ast.unparse(mark) for mark in node.decorator_list)
        for node in ast.walk(tree)
    )
    kind = "scatter" if "atomic_add" in called else "dot" if "dot" in called else "scalar"
    return f"{kind}+{kernels}" if kernels > 1 else kind


def _memory(called: set[str]) -> str:
    if called & {"make_tensor_descriptor", "_experimental_make_tensor_descriptor", "TensorDescriptor"}:
        return "descriptor"
    return "block-pointer" if "make_block_ptr" in called else "pointer"


def _precision(tree: ast.AST, called: set[str]) -> str:
    given = {
        word.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for word in node.keywords
        if word.arg == "input_precision" and isinstance(word.value, ast.Constant)
    }
    halves = {"float16", "bfloat16"} & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    if halves:
        return "half"
    if given:
        return "+".join(sorted(str(name) for name in given))
    return "tf32" if "dot" in called else "fp32"  # tl.dot's default on float32
