"""The reference module as text: its constructor and its forward, read with `ast`, never executed.

The constructor is kept verbatim, so that `get_init_inputs` and the state_dict of the reference fit the emitted module.

Limits: `read_reference` takes a forward that is one call of one attribute, `return self.layer(x)`, and refuses others
with the reason; forwards that are formulas are read in formulas/reader.py.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from agent.proposers.errors import NothingToPropose
from evaluators.screening.source import Source

_OURS = {"math", "torch", "nn", "triton", "tl"}  # bound by the emitted file itself


@dataclass(frozen=True)
class ReferenceText:
    """What an emitted module takes over. `preamble`: the imports and constants that the constructor needs."""

    preamble: str
    constructor: str
    layer: str
    input_name: str


@dataclass(frozen=True)
class ModelText:
    """The class `Model` of a reference: its constructor's text ("" where it has none), its methods as syntax trees."""

    source: Source
    constructor: str
    methods: dict[str, ast.FunctionDef]

    @property
    def arguments(self) -> str:
        """The parameters of forward after `self`, without annotations: `, x, scale=2.0`."""
        text = ast.unparse(self.methods["forward"].args)
        bare = ast.parse(f"def forward({text}): ...").body[0]
        assert isinstance(bare, ast.FunctionDef)
        for argument in (*bare.args.posonlyargs, *bare.args.args, *bare.args.kwonlyargs):
            argument.annotation = None
        _, comma, rest = ast.unparse(bare.args).partition(", ")
        return comma + rest

    def preamble(self, also: frozenset[str] = frozenset()) -> str:
        """The imports and constants that the constructor, or one of the names in `also`, needs."""
        constructor = self.methods.get("__init__")
        names = (_names(constructor) if constructor else set()) | also
        return "\n".join(_lines(self.source.text, node) for node in _needed(self.source.tree, names))


def read_model(source: str) -> ModelText:
    """Take `Model` apart. Raises NothingToPropose where there is none with a forward."""
    read = Source(source)
    model = next((node for node in read.tree.body if isinstance(node, ast.ClassDef) and node.name == "Model"), None)
    methods = {node.name: node for node in model.body if isinstance(node, ast.FunctionDef)} if model else {}
    if "forward" not in methods:
        raise NothingToPropose("the reference has no class Model with its own forward; give a --model")
    constructor = methods.get("__init__")
    text = textwrap.dedent(_lines(source, constructor)) if constructor else ""
    return ModelText(read, re.sub(r"super\(\s*Model\s*,", "super(ModelNew,", text), methods)


def read_reference(source: str) -> ReferenceText:
    """Take `Model` apart. Raises NothingToPropose where its forward is not a single call of one layer."""
    model = read_model(source)
    if not model.constructor:
        raise NothingToPropose("the reference's Model has no __init__ that makes a layer; give a --model")
    layer, input_name = _single_call(model.methods["forward"])
    return ReferenceText(model.preamble(), model.constructor, layer, input_name)


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
    found = forward.body[-1]
    code = " ".join(ast.unparse(found).split())
    raise NothingToPropose(
        f"line {found.lineno} of the reference, `{code[:80]}`: of a convolution the playbook writes one call of its "
        "layer on the input, and nothing beside it; give a --model"
    )


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _needed(tree: ast.Module, names: set[str]) -> list[ast.stmt]:
    """The module-level statements that bind these names, directly or through each other, in file order."""
    needed: set[ast.stmt] = set()
    unseen = names
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
