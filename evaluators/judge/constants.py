"""The sizes in a reference's text: constants of the module and literals inside its input functions, made changeable.

Literals above 8 inside `get_inputs` and `get_init_inputs` become module constants first; one that stands in both is one
constant (a channel count), the others are separate unless the reference needs equal ones to stay equal.
Limits: sizes computed in other ways stay as they are.
"""

import ast
import copy
from collections.abc import Mapping
from operator import add, floordiv, lshift, mul, pow, sub

HYPERPARAMETER_MAX = 8  # smaller integers are kernel sizes, strides, groups, heads
_FUNCTIONS = ("get_inputs", "get_init_inputs")


def hoisted(source: str, *, apart: bool, kept: frozenset[int] = frozenset()) -> str:
    """The same module with large literals of its input functions as names, equal ones `apart` or as one; not `kept`."""
    source = plain_sizes(source)
    tree = ast.parse(source)
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in _FUNCTIONS}
    if len(functions) < len(_FUNCTIONS):
        return source
    of_init, of_inputs = (_literals(functions[name]) for name in ("get_init_inputs", "get_inputs"))
    shared = of_init & of_inputs if apart else of_init | of_inputs
    names: dict[str, int] = {}
    for name, function in functions.items():
        _Hoist(name, shared, names, kept).visit(function)
    if not names:
        return source
    first = min(tree.body.index(function) for function in functions.values())
    assignments = [ast.parse(f"{name} = {value}").body[0] for name, value in names.items()]
    tree.body[first:first] = assignments
    return ast.unparse(ast.fix_missing_locations(tree))


def plain_sizes(source: str) -> str:
    """The same module with `1 << 20` written out, and `height = width = 64` and `n: int = 64` as plain assignments."""
    tree = ast.parse(source)
    body: list[ast.stmt] = []
    for statement in tree.body:
        sized = isinstance(statement, ast.Assign | ast.AnnAssign) or getattr(statement, "name", "") in _FUNCTIONS
        node: ast.stmt = _Fold().visit(statement) if sized else statement
        if isinstance(node, ast.Assign) and all(isinstance(target, ast.Name) for target in node.targets):
            body += [ast.Assign([target], copy.deepcopy(node.value), lineno=node.lineno) for target in node.targets]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            body.append(ast.Assign([node.target], node.value, lineno=node.lineno))
        else:
            body.append(node)
    tree.body = body
    return ast.unparse(ast.fix_missing_locations(tree))


_INTEGER_MATH = {ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.FloorDiv: floordiv, ast.LShift: lshift, ast.Pow: pow}


class _Fold(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Write the result of integer arithmetic on literals in its place."""
        self.generic_visit(node)
        compute = _INTEGER_MATH.get(type(node.op))
        left, right = (getattr(part, "value", None) for part in (node.left, node.right))
        if compute is None or type(left) is not int or type(right) is not int or not (left > 0 and 0 < right < 1 << 40):
            return node
        if isinstance(node.op, ast.Pow | ast.LShift) and right > 40:
            return node
        return ast.copy_location(ast.Constant(compute(left, right)), node)


def _is_size(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value > HYPERPARAMETER_MAX


def sizes_in_model(source: str) -> frozenset[int]:
    """Large literals inside class Model: an input must have them, `nn.Conv2d(32, 64, 3)`."""
    classes = [n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == "Model"]
    functions = [n for each in classes for n in each.body if isinstance(n, ast.FunctionDef)]
    return frozenset(value for function in functions for statement in function.body for value in _literals(statement))


def _literals(function: ast.stmt) -> set[int]:
    return {n.value for n in ast.walk(function) if isinstance(n, ast.Constant) and type(n.value) is int and _is_size(n)}


class _Hoist(ast.NodeTransformer):
    def __init__(self, function: str, shared: set[int], names: dict[str, int], kept: frozenset[int]) -> None:
        self._function, self._shared, self._names, self._kept = function, shared, names, kept

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Replace a size by a name."""
        if not _is_size(node) or not isinstance(node.value, int) or node.value in self._kept:
            return node
        name = f"_size_{node.value}"
        if node.value not in self._shared:
            own = f"{name}_of_{self._function}"
            name = f"{own}_{len(self._names)}" if own in self._names else own
        self._names[name] = node.value
        return ast.copy_location(ast.Name(name, ast.Load()), node)


def module_constants(source: str) -> dict[str, int]:
    """Module-level names bound to one integer literal, alone or in a tuple assignment."""
    found: dict[str, int] = {}
    for node in ast.parse(source).body:
        for name, value in _bindings(node):
            if isinstance(value, ast.Constant) and type(value.value) is int:
                found[name] = value.value
    return found


def with_constants(source: str, constants: Mapping[str, int]) -> str:
    """The same module with some of its integer constants replaced."""
    tree = ast.parse(source)
    for node in tree.body:
        for name, value in _bindings(node):
            if name in constants and isinstance(value, ast.Constant):
                value.value = constants[name]
    return ast.unparse(tree)


def _bindings(node: ast.stmt) -> list[tuple[str, ast.expr]]:
    if not (isinstance(node, ast.Assign) and len(node.targets) == 1):
        return []
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Name):
        return [(target.id, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return [(t.id, v) for t, v in zip(target.elts, value.elts, strict=True) if isinstance(t, ast.Name)]
    return []


def names_used_by(source: str, function: str) -> frozenset[str]:
    """Names that a module-level function reads."""
    bodies = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == function]
    return frozenset(n.id for body in bodies for n in ast.walk(body) if isinstance(n, ast.Name))


def unread_parameters(source: str) -> frozenset[str]:
    """Parameters of `Model.__init__` that its body never reads; what is passed there changes nothing."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == "Model":
            for function in node.body:
                if isinstance(function, ast.FunctionDef) and function.name == "__init__":
                    read = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
                    return frozenset(a.arg for a in function.args.args[1:]) - read
    return frozenset()
