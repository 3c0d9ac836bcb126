"""Read the printed form of Triton IR into a tree of operations.

Limits: the one-operation-per-line form that Triton prints; enough structure to walk loops and branches, not a
general MLIR parser.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_LOCATION = re.compile(r"\s+loc\((?:[^()]|\([^()]*\))*\)\s*$")
_RESULTS = re.compile(r"^(%[\w.$-]+(?::\d+)?(?:, %[\w.$-]+(?::\d+)?)*) = ")
_NAME = re.compile(r'^"?([a-z_]\w*(?:\.\w+)+)"?')
_FUNCTION = re.compile(r"^tt\.func (?:public|private)?\s*@\"?([^\"(]+)\"?\((.*)")
_PARAMETER = re.compile(r'%([\w.$-]+): (!?[\w.]+(?:<[^%]*?>)?)(?: \{[^}]*\})?(?: loc\("([^"]+)")?')
_TENSOR = re.compile(r"tensor<((?:\d+x)*)(?:!tt\.ptr<)?([a-zA-Z]\w*)")

BITS = {"f64": 64, "f32": 32, "f16": 16, "bf16": 16, "i64": 64, "i32": 32, "i16": 16, "i8": 8, "i1": 8}


@dataclass
class Operation:
    """One operation: results, dotted name, the rest of its line, and its nested regions."""

    results: tuple[str, ...]
    name: str
    text: str
    regions: list[list["Operation"]] = field(default_factory=list)

    @property
    def operands(self) -> list[str]:
        """Every value named on the line, in order, without the results."""
        return re.findall(r"%[\w.$-]+(?:#\d+)?", self.text)

    @property
    def tensors(self) -> list[tuple[int, str]]:
        """Elements and element type of every tensor type on the line."""
        return [(elements(shape), kind) for shape, kind in _TENSOR.findall(self.text)]


@dataclass
class Function:
    """One function: parameters by their name in the IR with (name in the source, type), and its body."""

    name: str
    parameters: dict[str, tuple[str, str]]
    body: list[Operation]


def elements(shape: str) -> int:
    """`128x16x` -> 2048."""
    return math.prod(int(size) for size in shape.split("x") if size)


def bytes_of(kind: str) -> float:
    """Bytes of one element of this type; unknown (fp8 and narrower) types count as 1."""
    return BITS.get(kind, 8) / 8


def functions(text: str) -> list[Function]:
    """Every function of a module, public ones first."""
    lines = iter(text.splitlines())
    found = [(line, _function(line, lines)) for line in lines if line.lstrip().startswith("tt.func ")]
    return [function for line, function in sorted(found, key=lambda pair: "tt.func public" not in pair[0])]


def _function(line: str, lines: Iterator[str]) -> Function:
    match = _FUNCTION.match(line.strip())
    name, rest = (match[1], match[2]) if match else ("", "")
    parameters = {f"%{ir}": (given or ir, kind) for ir, kind, given in _PARAMETER.findall(rest)}
    body, _ = _region(lines)
    return Function(name, parameters, body)


def _region(lines: Iterator[str]) -> tuple[list[Operation], str]:
    """Operations up to the closing brace, and the line that closed them."""
    operations: list[Operation] = []
    for raw in lines:
        line = _LOCATION.sub("", raw).strip()
        if line.startswith("}"):
            return operations, line
        if not line or line.startswith(("^", "#", "//")):
            continue
        operation = _operation(line)
        if line.endswith("{"):
            closing = "{"
            while closing.endswith("{"):  # `} else {`, `} do {` and `}, {` open the next region
                body, closing = _region(lines)
                operation.regions.append(body)
            operation.text += " " + closing.lstrip("}) ")
        operations.append(operation)
    return operations, ""


def _operation(line: str) -> Operation:
    results = _RESULTS.match(line)
    rest = line[results.end() :] if results else line
    name = _NAME.match(rest)
    names = tuple(_expanded(results[1])) if results else ()
    return Operation(names, name[1] if name else "", rest[name.end() :] if name else rest)


def _expanded(results: str) -> Iterator[str]:
    """`%a:2` names the values `%a#0` and `%a#1`."""
    for result in results.split(", "):
        base, _, count = result.partition(":")
        yield from [f"{base}#{number}" for number in range(int(count))] if count else [base]
