"""Scalar integer arithmetic of Triton IR: the operations that decide loop bounds and branches.

Limits: 64-bit wrap-around is not modelled, and unsigned operations are exact for values below 2**63 only.
"""

import math
import re
from collections.abc import Callable

from evaluators.compiled.mlir_text import Operation

Value = int | None


def _truncated(a: int, b: int) -> Value:
    return None if b == 0 else int(math.copysign(abs(a) // abs(b), a * b))


def _remainder(a: int, b: int) -> Value:
    quotient = _truncated(a, b)
    return None if quotient is None else a - b * quotient


_ARITHMETIC: dict[str, Callable[[int, int], Value]] = {
    "addi": lambda a, b: a + b,
    "subi": lambda a, b: a - b,
    "muli": lambda a, b: a * b,
    "divsi": _truncated,
    "divui": _truncated,
    "remsi": _remainder,
    "remui": _remainder,
    "ceildivsi": lambda a, b: -(-a // b) if b else None,
    "minsi": min,
    "minui": min,
    "maxsi": max,
    "maxui": max,
    "andi": lambda a, b: a & b,
    "ori": lambda a, b: a | b,
    "xori": lambda a, b: a ^ b,
    "shli": lambda a, b: a << b if 0 <= b < 64 else None,
    "shrsi": lambda a, b: a >> b if 0 <= b < 64 else None,
    "shrui": lambda a, b: a >> b if 0 <= b < 64 else None,
}
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "slt": lambda a, b: a < b,
    "sle": lambda a, b: a <= b,
    "sgt": lambda a, b: a > b,
    "sge": lambda a, b: a >= b,
    "ult": lambda a, b: a < b,
    "ule": lambda a, b: a <= b,
    "ugt": lambda a, b: a > b,
    "uge": lambda a, b: a >= b,
}
_SAME_VALUE = frozenset(("arith.extsi", "arith.extui", "arith.trunci", "arith.index_cast", "tt.bitcast"))


def computed(operation: Operation, operands: list[int]) -> Value:
    """The result of an operation on known operands; None where it is not integer arithmetic."""
    dialect, _, name = operation.name.partition(".")
    if operation.name in _SAME_VALUE:
        return operands[0]
    if name == "select" and len(operands) == 3:
        return operands[1] if operands[0] else operands[2]
    if name == "cmpi":
        return int(_COMPARISONS[operation.text.split(",")[0].strip()](*operands))
    return _ARITHMETIC[name](*operands) if dialect == "arith" and name in _ARITHMETIC else None


def literal(text: str) -> Value:
    """The value of an integer or truth constant."""
    match = re.match(r"\s*(-?\d+|true|false)(?: :|$)", text)
    return None if match is None else {"true": 1, "false": 0}.get(match[1]) if match[1].isalpha() else int(match[1])
