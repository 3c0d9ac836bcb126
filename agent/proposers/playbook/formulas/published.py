"""Values of the published workload that decide which kernel is written: `self.dim`, a layer's `approximate`, sizes.

Limits: read from the text of the constructor and of the module, never executed; what is computed otherwise is unknown.
"""

import ast
import operator
from typing import Any

from agent.proposers.playbook.formulas.signatures import LAYERS
from evaluators.problem import ProblemFacts
from evaluators.screening.source import Source

_ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv}


class UnknownValue(Exception):
    """The text does not say what this expression is."""


class Published:
    """The constructor of a reference with the arguments that the problem passes."""

    def __init__(self, source: Source, constructor: ast.FunctionDef | None, facts: ProblemFacts) -> None:
        self._source = source
        self._arguments = _defaults(constructor) | _arguments(facts.init_args)
        self.constants = {
            target.id: node.value
            for node in source.tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def value(self, expression: ast.expr) -> Any:
        """What an expression of forward or of the constructor is. Raises UnknownValue."""
        match expression:
            case ast.Constant(value=value):
                return value
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return tuple(self.value(part) for part in parts)
            case ast.UnaryOp(op=ast.USub(), operand=part):
                return -self.value(part)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _ARITHMETIC[type(op)](self.value(left), self.value(right))
            case ast.Name(id=name) if name in self._arguments or name in self.constants:
                return self.value(self._arguments[name] if name in self._arguments else self.constants[name])
            case ast.Attribute():
                return self._attribute(expression)
        raise _unknown(expression)

    def layer(self, expression: ast.expr) -> tuple[str, dict[str, ast.expr]] | None:
        """(class in torch.nn, constructor's arguments) of `self.NAME` where that is a known layer."""
        made = self._assigned(expression)
        path = self.made_by(expression)
        if not isinstance(made, ast.Call) or not path.startswith("torch.nn."):
            return None
        known = LAYERS.get(path.rpartition(".")[2])
        if known is None:
            return None
        named = {keyword.arg: keyword.value for keyword in made.keywords if keyword.arg}
        return path.rpartition(".")[2], known.signature.bind(made.args, named)

    def made_by(self, expression: ast.expr) -> str:
        """The dotted name of what made `self.NAME`, `torch.nn.MaxPool1d`; empty where the text does not say."""
        made = self._assigned(expression)
        return (self._source.path(made.func) or "") if isinstance(made, ast.Call) else ""

    def option(self, layer: str, name: str) -> Any:
        """A keyword of the call that made `self.LAYER`; None where there is none, or its value is unknown."""
        made = self._assigned(ast.Attribute(ast.Name("self"), layer))
        keywords = made.keywords if isinstance(made, ast.Call) else []
        try:
            return next((self.value(keyword.value) for keyword in keywords if keyword.arg == name), None)
        except UnknownValue:
            return None

    def _attribute(self, expression: ast.Attribute) -> Any:
        """`self.NAME` as it was assigned, or `self.LAYER.NAME` as the layer was constructed."""
        layer = self.layer(expression.value)
        if layer is not None and expression.attr in layer[1]:
            return self.value(layer[1][expression.attr])
        made = self._assigned(expression)
        if made is None:
            raise _unknown(expression)
        return self.value(made)

    def _assigned(self, expression: ast.expr) -> ast.expr | None:
        match expression:
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                found = self._source.attributes.get(name, [])
                return found[0] if len(found) == 1 else None
        return None


def _unknown(expression: ast.expr) -> UnknownValue:
    return UnknownValue(f"the value of `{ast.unparse(expression)}` is not known from the text")


def _arguments(text: str) -> dict[str, ast.expr]:
    """The arguments of `Model(...)` by name, from the facts."""
    call = ast.parse(f"Model({text})", mode="eval").body
    assert isinstance(call, ast.Call)
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def _defaults(constructor: ast.FunctionDef | None) -> dict[str, ast.expr]:
    if constructor is None:
        return {}
    arguments = constructor.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    pairs = zip(names[len(names) - len(arguments.defaults) :], arguments.defaults, strict=True)
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return dict(pairs) | {argument.arg: default for argument, default in keywords if default is not None}
