"""The reference module as text: its constructor, and the layer its forward calls. Read with `ast`, never executed.

The constructor is kept verbatim, so that `get_init_inputs` and the state_dict of the reference fit the emitted module.

Limits: a forward that is one call of one attribute, `return self.layer(x)`; anything else is refused with the reason.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from agent.proposers.errors import NothingToPropose

_OURS = {"math", "torch", "nn", "triton", "tl"}  # bound by the emitted file itself


@dataclass(frozen=True)
class ReferenceText:
    """What an emitted module takes over. `preamble`: the imports and constants that the constructor needs."""

    preamble: str
    constructor: str
    layer: str
    input_name: str


def read_reference(source: str) -> ReferenceText:
    """Take `Model` apart. Raises NothingToPropose where its forward is not a single call of one layer."""
    tree = ast.parse(source)
    model = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Model"), None)
    methods = {node.name: node for node in model.body if isinstance(node, ast.FunctionDef)} if model else {}
    if "__init__" not in methods or "forward" not in methods:
        raise NothingToPropose("the reference has no class Model with its own __init__ and forward; give a --model")
    constructor = methods["__init__"]
    layer, input_name = _single_call(methods["forward"])
    text = textwrap.dedent(_lines(source, constructor))
    return ReferenceText(
        preamble="\n".join(_lines(source, node) for node in _needed(tree, constructor)),
        constructor=re.sub(r"super\(\s*Model\s*,", "super(ModelNew,", text),
        layer=layer,
        input_name=input_name,
    )


def _single_call(forward: ast.FunctionDef) -> tuple[str, str]:
    """(layer, input) of `return self.layer(input)`."""
    arguments = [argument.arg for argument in forward.args.args]
    body = [node for node in forward.body if not _is_docstring(node)]
    match body:
        case [
            ast.Return(
                value=ast.Call(
                    func=ast.Attribute(value=ast.Name(owner), attr=layer), args=[ast.Name(used)], keywords=[]
                )
            )
        ]:
            if arguments == [owner, used]:
                return layer, used
    raise NothingToPropose(
        "the reference's forward is not one call of one layer; the playbook writes single operators, give a --model"
    )


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _needed(tree: ast.Module, constructor: ast.FunctionDef) -> list[ast.stmt]:
    """The module-level statements whose names the constructor uses, directly or through each other, in file order."""
    needed: set[ast.stmt] = set()
    unseen = _names(constructor)
    while unseen:
        fresh = {node for node in tree.body if node not in needed and unseen & set(_bound(node))}
        needed |= fresh
        unseen = set().union(*(_names(node) for node in fresh)) if fresh else set()
    return [node for node in tree.body if node in needed]


def _names(node: ast.AST) -> set[str]:
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)} - _OURS - {"Model"}


def _bound(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in names)
        case ast.Assign(targets=targets):
            yield from (child.id for target in targets for child in ast.walk(target) if isinstance(child, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name


def _lines(source: str, node: ast.stmt) -> str:
    return "\n".join(source.splitlines()[node.lineno - 1 : node.end_lineno])
