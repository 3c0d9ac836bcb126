"""Did a stage keep its hands off? Knobs of a kernel file, read from its syntax tree and compared with its parent's.

    num_warps, num_stages   arguments of launches and of triton.Config
    block, block_k          sizes named BLOCK*, TILE*, GROUP_* or used as tl.arange(0, SIZE); block_k: those ending in K
    grid                    the expressions between the brackets of launches, and the axes of tl.program_id

Names that are assigned once are followed to their value. A knob that neither file spells out is at the compiler's
default in both, which is equal.

Limits: algorithm, layout and access cannot be read from the tree, nor can anything inside CUDA C++; they are reported
as not checked. A value computed at run time is compared as text.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prompts.stage import Knob, Stage

CHECKED: tuple[Knob, ...] = ("grid", "block", "block_k", "num_warps", "num_stages")
_BLOCK = re.compile(r"^(BLOCK|TILE|GROUP_)[A-Z0-9_]*$")
_MOST_STEPS = 4  # from a name to its value
Settings = Mapping[str, tuple[str, ...]]  # name of a setting -> its values as text, sorted


@dataclass(frozen=True)
class KnobReport:
    """What a stage did to the knobs it froze: `violations` in words, and the frozen ones that cannot be checked."""

    violations: tuple[str, ...] = ()
    not_checked: tuple[Knob, ...] = ()


def check_knobs(stage: Stage, before: str, after: str) -> KnobReport:
    """Hold the new code against the code it started from."""
    frozen = [knob for knob in stage.frozen_knobs if knob in CHECKED]
    if "load_inline" in before + after:
        return KnobReport(not_checked=stage.frozen_knobs)
    try:
        old, new = read_knobs(before), read_knobs(after)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply
        return KnobReport(not_checked=stage.frozen_knobs)
    allowed = set(stage.allowed_knobs)
    violations = [said for knob in frozen for said in _changes(knob, old, new, allowed)]
    unseen = tuple(knob for knob in stage.frozen_knobs if knob not in CHECKED)
    return KnobReport(tuple(violations), unseen)


def read_knobs(source: str) -> dict[Knob, Settings]:
    """The knobs a file spells out. Raises SyntaxError where it does not parse."""
    tree = ast.parse(source)
    constants = _constants(tree)
    ranges = _range_sizes(tree)
    found: dict[Knob, dict[str, set[str]]] = {knob: {} for knob in CHECKED}
    for name, value in _settings(tree):
        knob = _knob_of(name, ranges)
        if knob is not None:
            found[knob].setdefault(name, set()).add(_resolved(value, constants))
    for index, expression in enumerate(_grids(tree, constants)):
        found["grid"][f"launch {index + 1}"] = {expression}
    found["grid"]["axes"] = set(_axes(tree))
    return {knob: {name: tuple(sorted(values)) for name, values in named.items()} for knob, named in found.items()}


def _changes(
    knob: Knob, old: Mapping[Knob, Settings], new: Mapping[Knob, Settings], allowed: set[Knob]
) -> Iterator[str]:
    before, after = dict(old[knob]), dict(new[knob])
    if knob == "block" and "block_k" not in allowed:
        before, after = {**before, **old["block_k"]}, {**after, **new["block_k"]}
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if was != now:
            yield f"{knob} is frozen, but {name} went from {_text(was)} to {_text(now)}"


def _text(values: tuple[str, ...] | None) -> str:
    return " | ".join(values) if values else "unset"


def _knob_of(name: str, ranges: set[str]) -> Knob | None:
    if name == "num_warps":
        return "num_warps"
    if name == "num_stages":
        return "num_stages"
    if name not in ranges and not _BLOCK.match(name):
        return None
    return "block_k" if name.endswith("K") and name != "BLOCK" else "block"


def _range_sizes(tree: ast.AST) -> set[str]:
    """Names that a kernel uses as the end of a range of its own: its tile sizes, whatever they are called."""
    return {
        call.args[1].id
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and len(call.args) == 2 and isinstance(call.args[1], ast.Name)
        if ast.unparse(call.func).endswith("arange")
    }


def _settings(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Every place that gives a name a value: arguments of calls, keys of Config, assignments, defaults."""
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from ((word.arg, word.value) for word in node.keywords if word.arg and not _is_itself(word))
            yield from (*_config_keys(node), *_positional(node, functions))
        elif isinstance(node, ast.Assign):
            yield from _assigned(node)
        elif isinstance(node, ast.FunctionDef):
            named = node.args.args[len(node.args.args) - len(node.args.defaults) :]
            yield from ((word.arg, value) for word, value in zip(named, node.args.defaults, strict=True))


def _is_itself(word: ast.keyword) -> bool:
    """`BLOCK=BLOCK` says nothing: the value is where the name is assigned."""
    return isinstance(word.value, ast.Name) and word.value.id == word.arg


def _positional(call: ast.Call, functions: Mapping[str, ast.FunctionDef]) -> Iterator[tuple[str, ast.expr]]:
    """Arguments of a launch by place, under the names the kernel gives them."""
    function = call.func
    if isinstance(function, ast.Subscript) and isinstance(function.value, ast.Name):
        kernel = functions.get(function.value.id)
        names = [word.arg for word in kernel.args.args] if kernel else []
        yield from zip(names, call.args, strict=False)


def _config_keys(call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    is_config = isinstance(call.func, ast.Attribute | ast.Name) and ast.unparse(call.func).endswith("Config")
    if is_config and call.args and isinstance(call.args[0], ast.Dict):
        for key, value in zip(call.args[0].keys, call.args[0].values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def _constants(tree: ast.AST) -> dict[str, ast.expr]:
    """Names that are assigned exactly once in the whole file, and functions with a single return."""
    values: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for name, value in _assigned(node):
                values.setdefault(name, []).append(value)
        elif isinstance(node, ast.FunctionDef):
            returned = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return) and inner.value]
            values.setdefault(node.name, []).extend(returned)
    return {name: found[0] for name, found in values.items() if len(found) == 1}


def _assigned(node: ast.Assign) -> Iterator[tuple[str, ast.expr]]:
    """`a = 1` and `a, b = 1, 2`."""
    for target in node.targets:
        if isinstance(target, ast.Name):
            yield target.id, node.value
        elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = zip(target.elts, node.value.elts, strict=False)
            yield from ((name.id, value) for name, value in pairs if isinstance(name, ast.Name))


def _resolved(value: ast.expr, constants: Mapping[str, ast.expr]) -> str:
    for _ in range(_MOST_STEPS):
        if not (isinstance(value, ast.Name) and value.id in constants):
            break
        value = constants[value.id]
    return ast.unparse(value)


def _grids(tree: ast.AST, constants: Mapping[str, ast.expr]) -> list[str]:
    """The grid of every launch `kernel[grid](...)`, in the order of the file."""
    launches = [
        node.func.slice
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript) and _is_launch(node.func)
    ]
    return [_resolved(grid, constants) for grid in sorted(launches, key=lambda node: (node.lineno, node.col_offset))]


def _is_launch(function: ast.Subscript) -> bool:
    return isinstance(function.value, ast.Name | ast.Attribute)


def _axes(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("program_id"):
            given = [*node.args, *(word.value for word in node.keywords)]
            yield from (ast.unparse(axis) for axis in given[:1])
