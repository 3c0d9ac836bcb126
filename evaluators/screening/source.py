"""A candidate's text as the rules see it: parsed once, with parents, scopes and the names each expression stands for.

`Source.path(node)` gives the dotted name an expression stands for, following imports and plain assignments:
`scatter = F.conv3d; scatter` is `torch.nn.functional.conv3d`, and `self.conv` after `self.conv = nn.Conv3d(...)` is
`torch.nn.Conv3d()` (a call is written with its parentheses, an element with brackets).

`if __name__ == "__main__":` is left out of the tree: who imports the file does not run it.

Limits: flow-insensitive; a name bound twice stands for the first binding that resolves.
"""

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
ScopeNode = ast.Module | ast.ClassDef | FunctionNode
BUILTINS = frozenset(dir(builtins))


MAX_DEPTH = 400  # of the syntax tree: an unrolled sum of a hundred terms has a hundred; deeper ones took 14 s
Node = TypeVar("Node", bound=ast.AST)


def words(text: str) -> frozenset[str]:
    """A set of names written as one line of text."""
    return frozenset(text.split())


@dataclass
class Scope:
    """The names one function, class or module binds: the dotted path of an import, the assigned expression, or None."""

    node: ScopeNode
    parent: "Scope | None"
    bound: dict[str, list[ast.expr | str | None]] = field(default_factory=dict)

    def bind(self, name: str, value: ast.expr | str | None) -> None:
        self.bound.setdefault(name, []).append(value)

    def owner(self, name: str) -> "Scope | None":
        """The scope a name is found in; class bodies are not visible from their methods."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.bound and (scope is self or not isinstance(scope.node, ast.ClassDef)):
                return scope
            scope = scope.parent
        return None


class Source:
    """One parsed candidate. Raises SyntaxError (or ValueError for null bytes) when the text is not Python."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        left_out = main_blocks(self.tree)
        self.tree.body = [node for node in self.tree.body if node not in left_out]
        self.parents: dict[ast.AST, ast.AST] = {}
        self.scopes: dict[ast.AST, Scope] = {}
        self.attributes: dict[str, list[ast.expr]] = {}  # what is assigned to self.NAME anywhere in the file
        self._resolved: dict[tuple[ast.AST | None, str], str | None] = {}  # None also while in progress: no cycles
        self._visit(self.tree, Scope(self.tree, None))

    def scope(self, node: ast.AST) -> Scope:
        """The scope a node is evaluated in."""
        return self.scopes[node]

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Parents from the nearest outwards."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def function(self, node: ast.AST) -> FunctionNode | None:
        """The innermost function around a node."""
        return next((a for a in self.ancestors(node) if isinstance(a, FunctionNode)), None)

    def walk(self, *kinds: type[Node]) -> Iterator[Node]:
        """All nodes of the given kinds in the file."""
        return (node for node in self.scopes if isinstance(node, kinds))

    def path(self, node: ast.AST) -> str | None:
        """The dotted name an expression stands for, or None."""
        if isinstance(node, ast.Name):
            return self._name_path(node)
        if isinstance(node, ast.Attribute):
            return self._attribute_path(node.value, node.attr)
        if isinstance(node, ast.Call):
            return self._call_path(node)
        if isinstance(node, ast.Subscript):
            base = self.path(node.value)
            return base and base + "[]"
        return None

    def assigned(self, node: ast.Name | ast.Attribute) -> ast.expr | None:
        """The first expression assigned to a name or to an attribute of self."""
        if isinstance(node, ast.Attribute):
            return next(iter(self.attributes.get(node.attr, ())), None)
        owner = self.scope(node).owner(node.id)
        values = owner.bound[node.id] if owner else ()
        return next((value for value in values if isinstance(value, ast.expr)), None)

    def _name_path(self, node: ast.Name) -> str | None:
        owner = self.scope(node).owner(node.id)
        if owner is None:
            return f"builtins.{node.id}" if node.id in BUILTINS else None
        return self._first((owner.node, node.id), owner.bound[node.id])

    def _first(self, key: tuple[ast.AST | None, str], values: list[ast.expr | str | None]) -> str | None:
        if key not in self._resolved:
            self._resolved[key] = None
            found = (value if isinstance(value, str) or value is None else self.path(value) for value in values)
            self._resolved[key] = next((path for path in found if path), None)
        return self._resolved[key]

    def _attribute_path(self, value: ast.expr, name: str) -> str | None:
        if isinstance(value, ast.Name) and value.id in ("self", "cls"):
            return self._first((None, name), list(self.attributes.get(name, ())))
        base = self.path(value)
        return base and f"{base}.{name}"

    def _call_path(self, node: ast.Call) -> str | None:
        called = self.path(node.func)
        if called == "builtins.getattr" and len(node.args) >= 2 and isinstance(node.args[1], ast.Constant):
            return self._attribute_path(node.args[0], str(node.args[1].value))
        return called and called + "()"

    def _visit(self, node: ast.AST, scope: Scope) -> None:
        """Record parents, scopes and bindings; iterative so that deep nesting cannot exhaust the stack."""
        stack = [(node, scope, 0)]
        while stack:
            node, scope, depth = stack.pop()
            if depth > MAX_DEPTH:
                raise RecursionError
            self.scopes[node] = scope
            self._bind(node, scope)
            inner = Scope(node, scope) if isinstance(node, ScopeNode) and node is not self.tree else scope
            if isinstance(node, FunctionNode):
                _bind_parameters(node, inner)
            for child in reversed(list(ast.iter_child_nodes(node))):
                self.parents[child] = node
                stack.append((child, scope if _is_outside(node, child) else inner, depth + 1))

    def _bind(self, node: ast.AST, scope: Scope) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name, path in imported_names(node):
                scope.bind(name, path)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            scope.bind(node.name, None)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            scope.bind(node.id, None)
        else:
            self._bind_assignment(node, scope)

    def _bind_assignment(self, node: ast.AST, scope: Scope) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._bind_target(target, node.value, scope)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            self._bind_target(node.target, node.value, scope)
        elif isinstance(node, ast.For | ast.comprehension):
            self._bind_target(node.target, element_of(node.iter), scope)

    def _bind_target(self, target: ast.expr, value: ast.expr, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            scope.bind(target.id, value)
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
            self.attributes.setdefault(target.attr, []).append(value)
        elif isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
            for one, its in zip(target.elts, value.elts, strict=False):
                self._bind_target(one, its, scope)


def main_blocks(tree: ast.Module) -> list[ast.stmt]:
    """Every `if __name__ == "__main__":` at the top level; none where the rest may give `__name__` another value."""
    found = [node for node in tree.body if _is_main_block(node)]
    rest = (part for statement in tree.body if statement not in found for part in ast.walk(statement))
    return [] if any(_rebinds_name(part) for part in rest) else found


def _is_main_block(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and not node.orelse and ast.unparse(node.test) == "__name__ == '__main__'"


def _rebinds_name(node: ast.AST) -> bool:
    is_read = isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)
    return not is_read and any(value == "__name__" for _, value in ast.iter_fields(node))


def element_of(iterable: ast.expr) -> ast.expr:
    """The expression that stands for one element of an iterable."""
    return ast.Subscript(value=iterable, slice=ast.Constant(0), ctx=ast.Load())


def imported_names(node: ast.Import | ast.ImportFrom) -> list[tuple[str, str]]:
    """(name bound here, dotted path it stands for) for each name of an import statement."""
    if isinstance(node, ast.ImportFrom):
        return [(alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names]
    return [(a.asname, a.name) if a.asname else (a.name.split(".")[0],) * 2 for a in node.names]


def decorators_of(function: ast.AST) -> list[ast.expr]:
    """Decorators of a function or class, without their call parentheses."""
    marks = getattr(function, "decorator_list", [])
    return [mark.func if isinstance(mark, ast.Call) else mark for mark in marks]


def _is_outside(node: ast.AST, child: ast.AST) -> bool:
    """Decorators, bases and defaults are evaluated in the scope around a function or class."""
    if isinstance(node, ast.ClassDef):
        return child in node.decorator_list or child in node.bases or child in node.keywords
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and child in node.decorator_list


def _bind_parameters(node: FunctionNode, scope: Scope) -> None:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    for parameter in every:
        if parameter is not None:
            scope.bind(parameter.arg, None)
