"""Names that are used and never defined, found through the compiler's own symbol table.

Limits: a name bound anywhere in its scope counts as defined; order and branches are not followed.
"""

import ast
import symtable
from collections.abc import Iterator

from evaluators.problem import Problem
from evaluators.screening.rule import Violation
from evaluators.screening.source import BUILTINS, Source, words

MODULE_NAMES = words("__name__ __file__ __doc__ __package__ __spec__ __loader__ __builtins__ __class__")


def check(source: Source, _: Problem) -> Iterator[Violation]:
    """One finding per undefined name, at its first use."""
    names = undefined_names(source)
    for name, line in sorted(names.items(), key=lambda item: (item[1], item[0])):
        yield Violation("undefined_name", line, f"name `{name}` is used but never defined: {_hint(source, name, line)}")


def undefined_names(source: Source) -> dict[str, int]:
    """Undefined names with the line of their first use; empty where `import *` makes it undecidable."""
    if any(alias.name == "*" for node in source.walk(ast.ImportFrom) for alias in getattr(node, "names", ())):
        return {}
    table = symtable.symtable(source.text, "candidate.py", "exec")
    scopes = list(_scopes(table))
    defined = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    symbols = [(symbol, scope) for scope in scopes for symbol in scope.get_symbols()]
    defined |= {symbol.get_name() for symbol, _ in symbols if symbol.is_declared_global() and symbol.is_assigned()}
    used = {symbol.get_name() for symbol, scope in symbols if _is_global_use(symbol, scope)}
    wanted = used - defined - BUILTINS - MODULE_NAMES
    lines = {name: _first_use(source, name) for name in wanted}
    return {name: line for name, line in lines.items() if line is not None}


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    todo = [table]
    while todo:
        scope = todo.pop()
        yield scope
        todo.extend(scope.get_children())


def _is_global_use(symbol: symtable.Symbol, scope: symtable.SymbolTable) -> bool:
    if not symbol.is_referenced():
        return False
    return symbol.is_global() if scope.get_type() != "module" else not symbol.is_assigned()


def _first_use(source: Source, name: str) -> int | None:
    """The first line where the name is read and no enclosing scope binds it; annotations never run do not count."""
    nodes = (n for n in source.walk(ast.Name) if isinstance(n, ast.Name) and n.id == name)
    lines = [n.lineno for n in nodes if source.scope(n).owner(name) is None and not _is_lazy_annotation(source, n)]
    return min(lines, default=None)


def _is_lazy_annotation(source: Source, node: ast.AST) -> bool:
    lazy = any(getattr(n, "module", None) == "__future__" for n in source.walk(ast.ImportFrom))
    child = node
    for parent in source.ancestors(node) if lazy else ():
        if getattr(parent, "annotation", None) is child or getattr(parent, "returns", None) is child:
            return True
        child = parent
    return False


def _hint(source: Source, name: str, line: int) -> str:
    if name in ("math", "functools", "itertools", "typing", "dataclasses"):
        return f"add `import {name}`"
    stores = (n for n in source.walk(ast.arg) if getattr(n, "arg", "") == name and n.lineno < line)
    if next(stores, None) is not None:
        return f"store it in __init__ (`self.{name} = {name}`) and read `self.{name}`, or pass it as an argument"
    return "define it or pass it as an argument"
