"""forward() as a formula: straight-line code is walked once, with tensors as nodes in place of values.

`x` and parameters are Tensor, what can be computed without a tensor (`self.eps`, `x.size(1)`, `2 * math.pi`) is Number,
the operators in between are nodes. Read with `ast`, never executed.

Limits: no branches, loops or in-place changes; NothingToPropose names the line that is not read.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.proposers.errors import NothingToPropose
from agent.proposers.playbook.formulas.call import Call, NotKnown, Value
from agent.proposers.playbook.formulas.formula import (
    Node,
    Number,
    Pointwise,
    Product,
    Tensor,
    heavy_name,
    heavy_nodes,
)
from agent.proposers.playbook.formulas.published import Published, UnknownValue
from agent.proposers.playbook.formulas.signatures import ALIASES, FUNCTIONS, LAYERS, PARAMETERS
from agent.proposers.playbook.formulas.vocabulary import build, power
from evaluators.screening.source import Source

_BINARY = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}
_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Pow: "**", ast.Mod: "%"}
_UNCHANGED = ("contiguous", "clone", "detach")
_SIZES = ("size", "dim", "numel", "shape", "ndim")
_NAMESPACES = ("torch.nn.functional.", "torch.linalg.", "torch.special.", "torch.")


@dataclass
class Reader:
    """One walk through a forward. `tensors`: shapes of its arguments and of the state_dict by the name forward uses;
    `numbers`: its other arguments."""

    source: Source
    published: Published
    tensors: dict[str, tuple[int, ...]]
    numbers: frozenset[str] = frozenset()
    names: dict[str, Value] = field(default_factory=dict)
    read_lines: list[tuple[ast.stmt, tuple[Value, ...]]] = field(default_factory=list)

    def read(self, forward: ast.FunctionDef) -> Node:
        """The formula that forward returns. Raises NothingToPropose."""
        for statement in forward.body:
            before = dict(self.names)
            try:
                result = self._statement(statement)
            except (NotKnown, UnknownValue, TypeError, ValueError) as error:
                raise NothingToPropose(_refusal(statement, str(error))) from None
            assigned = tuple(value for name, value in self.names.items() if before.get(name) is not value)
            self.read_lines.append((statement, assigned if result is None else (result,)))
            if result is not None:
                return result
        raise NothingToPropose("the reference's forward returns nothing the playbook reads; give a --model")

    def heavy_lines(self) -> str:
        """The lines that multiply or reduce, each with what it adds: `line 9, `y = x.sum(1)`: sum`."""
        known: set[Node] = set()
        said = []
        for statement, values in self.read_lines:
            nodes = [node for value in values for node in (value if isinstance(value, tuple) else (value,))]
            found = dict.fromkeys(part for node in nodes for part in heavy_nodes(node) if part not in known)
            if found:
                names = ", ".join(dict.fromkeys(heavy_name(part) for part in found))
                said.append(f"line {statement.lineno}, {_quoted(statement)}: {names}")
            known |= found.keys()
        return "; ".join(said)

    def node(self, expression: ast.expr) -> Node:
        """An expression whose value is one tensor or number."""
        value = self._value(expression)
        if isinstance(value, tuple):
            raise NotKnown(f"`{ast.unparse(expression)}` is several values")
        return value

    def tensor(self, expression: ast.expr) -> Tensor:
        """An expression that is a tensor as it lies in memory."""
        node = self.node(expression)
        if not isinstance(node, Tensor):
            raise NotKnown(f"`{ast.unparse(expression)}` is computed; only arguments and parameters are multiplied")
        return node

    def _statement(self, statement: ast.stmt) -> Node | None:
        match statement:
            case ast.Return(value=value) if value is not None:
                return self.node(value)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.names[name] = self._value(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                self.names[name] = self._value(value)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=value):
                self._unpack(targets, self._value(value))
            case ast.Expr(value=ast.Constant()):
                pass  # a docstring
            case _:
                raise NotKnown("statements other than assignments are not read")
        return None

    def _unpack(self, targets: list[ast.expr], value: Value) -> None:
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if not isinstance(value, tuple) or len(names) != len(targets) or len(names) < len(value):
            raise NotKnown("this unpacking is not read")
        self.names.update(zip(names, value, strict=False))  # the indices of a maximum have no node

    def _value(self, expression: ast.expr) -> Value:
        match expression:
            case ast.Constant(value=bool() | int() | float() as value):
                return Number(repr(value))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._negated(self.node(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(left, op, right)
            case ast.Name() | ast.Subscript() | ast.Attribute() | ast.Call():
                read: Callable[[ast.expr], Value] = getattr(self, f"_{type(expression).__name__.lower()}")
                return read(expression)
        raise NotKnown(f"`{ast.unparse(expression)}` is not read")

    def _name(self, expression: ast.Name) -> Value:
        name = expression.id
        if name in self.names:
            return self.names[name]
        if name in self.tensors:
            return Tensor(name, self.tensors[name])
        if name in self.numbers or name in self.published.constants:
            return Number(name)
        raise NotKnown(f"`{name}` is not a tensor or a number that is known here")

    def _negated(self, node: Node) -> Node:
        return Number(f"(-{node.text})") if isinstance(node, Number) else Pointwise("neg", (node,))

    def _binary(self, left: ast.expr, op: ast.operator, right: ast.expr) -> Node:
        if isinstance(op, ast.MatMult):
            return Product(self.tensor(left), self.tensor(right))
        one, other = self.node(left), self.node(right)
        if isinstance(one, Number) and isinstance(other, Number) and type(op) in _SIGNS:
            return Number(f"({one.text} {_SIGNS[type(op)]} {other.text})")
        if isinstance(op, ast.Pow):
            return power(one, other)
        if type(op) not in _BINARY:
            raise NotKnown(f"the operator of `{ast.unparse(left)} ... {ast.unparse(right)}` is not read")
        return Pointwise(_BINARY[type(op)], (one, other))

    def _subscript(self, expression: ast.Subscript) -> Node:
        """`torch.max(x, dim=1)[0]`, `x.shape[1]`."""
        value = self._value(expression.value)
        if isinstance(value, Number | tuple):
            index = self.published.value(expression.slice)
            if isinstance(value, Number):
                return Number(f"{value.text}[{index!r}]")
            if isinstance(index, int) and 0 <= index < len(value):
                return value[index]
        raise NotKnown(f"`{ast.unparse(expression)}` is not read")

    def _attribute(self, expression: ast.Attribute) -> Value:
        dotted = ast.unparse(expression)
        if dotted in self.tensors:
            return Tensor(dotted, self.tensors[dotted])
        if dotted.startswith(("self.", "math.")) and ast.unparse(expression.value) not in self.tensors:
            self._refuse_no_number(expression)
            return Number(dotted)
        value = self._value(expression.value)
        if isinstance(value, tuple) and expression.attr == "values":
            return value[0]
        if isinstance(value, Tensor) and expression.attr in _SIZES:
            return Number(f"{value.text}.{expression.attr}")
        if isinstance(value, Tensor) and expression.attr in ("T", "mT") and len(value.shape) == 2:
            return value.turned(0, 1)
        raise NotKnown(f"`{dotted}` is not read")

    def _refuse_no_number(self, expression: ast.Attribute) -> None:
        """Raise NotKnown for `self.NAME` where that is a layer, a tensor, or nothing that the constructor made."""
        dotted = ast.unparse(expression)
        if self.published.layer(expression) is not None:
            raise NotKnown(f"`{dotted}` is a layer")
        if self.published.made_by(expression).startswith("torch."):
            raise NotKnown(f"`{dotted}` is a tensor that is no part of the state_dict")
        is_own = isinstance(expression.value, ast.Name) and expression.value.id == "self"
        if is_own and expression.attr not in self.source.attributes:
            raise NotKnown(f"`{dotted}` is assigned nowhere to self")

    def _call(self, expression: ast.Call) -> Value:
        named = {keyword.arg: keyword.value for keyword in expression.keywords if keyword.arg}
        layer = self.published.layer(expression.func)
        if layer is not None:
            return self._layer_call(expression, layer[0])
        path = self.source.path(expression.func) or ""
        function = _function(path)
        if function is not None:
            return self._build(function, expression.args, named)
        if path.startswith("math.") or path in ("builtins.float", "builtins.int", "builtins.len"):
            return self._number_of(expression)
        is_of_a_result = any(isinstance(part, ast.Call) for part in ast.walk(expression.func))
        if isinstance(expression.func, ast.Attribute) and (is_of_a_result or not path.startswith(("torch.", "self."))):
            return self._method(expression.func, expression.args, named)
        made_by = self.published.made_by(expression.func)
        raise NotKnown(f"`{ast.unparse(expression.func)}`{made_by and f', a {made_by},'} is not known")

    def _layer_call(self, expression: ast.Call, name: str) -> Value:
        """`self.act(x)`: the layer's function with the layer's attributes as its parameters."""
        function, owner = LAYERS[name].function, ast.unparse(expression.func)
        if len(expression.args) != 1 or expression.keywords:
            raise NotKnown(f"`{owner}` is called with more than one tensor")
        settings = set(FUNCTIONS[function].defaults) & set(LAYERS[name].signature.defaults) - set(PARAMETERS)
        held = {part for part in PARAMETERS if f"{owner}.{part}" in self.tensors}
        expressions = {part: _expression(f"{owner}.{part}") for part in settings | held}
        return self._build(function, expression.args, expressions)

    def _method(self, function: ast.Attribute, given: list[ast.expr], named: dict[str, ast.expr]) -> Value:
        """`x.mean(dim=1)`, `x.size(1)`, `x.t()`."""
        value = self._value(function.value)
        name = ALIASES.get(function.attr, function.attr)
        if function.attr in _UNCHANGED and not given:
            return value
        if isinstance(value, Tensor) and function.attr in _SIZES:
            return Number(f"{value.text}.{function.attr}({', '.join(map(ast.unparse, given))})")
        if name not in FUNCTIONS:
            raise NotKnown(f"`.{function.attr}()` is not known")
        return self._build(name, [function.value, *given], named)

    def _build(self, function: str, given: list[ast.expr], named: dict[str, ast.expr]) -> Value:
        call = Call(function, FUNCTIONS[function].bind(given, named), self)
        result = build(call)
        if "inplace" in call.bound and call.constant("inplace") and not isinstance(result, tuple):
            self._overwrite(call.node(), result)
        return result

    def _overwrite(self, node: Node, result: Node) -> None:
        """From here on every name of this tensor stands for what was written into it."""
        known = {name: Tensor(name, shape) for name, shape in self.tensors.items()} | self.names
        same = (name for name, value in known.items() if value is node or (value == node and isinstance(node, Tensor)))
        self.names |= dict.fromkeys(same, result)

    def _number_of(self, expression: ast.Call) -> Number:
        parts = [self.node(argument) for argument in expression.args]
        if expression.keywords or not all(isinstance(part, Number) for part in parts):
            raise NotKnown(f"`{ast.unparse(expression)}` is not read")
        texts = (part.text for part in parts if isinstance(part, Number))
        return Number(f"{ast.unparse(expression.func)}({', '.join(texts)})")


def _function(path: str) -> str | None:
    """The function a dotted name stands for, where it is a known one of torch."""
    for namespace in _NAMESPACES:
        if path.startswith(namespace):
            name = path.removeprefix(namespace)
            return ALIASES.get(name, name) if ALIASES.get(name, name) in FUNCTIONS else None
    return None


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _refusal(statement: ast.stmt, why: str) -> str:
    said = _quoted(statement)
    return f"the playbook does not read line {statement.lineno} of the reference, {said}: {why}; give a --model"


def _quoted(statement: ast.stmt) -> str:
    return f"`{ast.unparse(statement).splitlines()[0][:80]}`"
