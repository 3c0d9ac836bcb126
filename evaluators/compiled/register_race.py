"""Registers that are overwritten while an asynchronous product may still be reading them: a race in the machine code.

Hopper's warpgroup products (HGMMA and its kin) run beside the code that starts them; their left operand may lie in
registers, which stay theirs until a wait says so. ptxas before CUDA 13.3 gives such registers away too early (its
release notes; Triton issue 9433): on an H200 two such kernels gave other values than before in 4 of 4,043 and 30 of
4,159 calls, a plain loop in none of 46,917 (docs/log.md).

Limits: read from the instructions in order, every loop as two rounds of its body; forward jumps are not followed. What
is compiled for another GPU than the target is not looked at.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from evaluators.compiled.cubin import UnreadableCubin
from evaluators.compiled.sass import Instruction, Listing, listings
from evaluators.rungs import Failure

_PRODUCT = re.compile(r"[HIQ]GMMA\.")
_REGISTER = re.compile(r"R(\d+)\b")
_COMMITS = "gsb0"  # a product that ends a group, which is what waits count
_WAIT = "WARPGROUP.DEPBAR.LE"
_OPERAND_REGISTERS = 4  # of a lane: 64 rows of 32 bytes over 128 lanes, whatever the type


@dataclass(frozen=True)
class Overwrite:
    """An instruction of a kernel that writes registers of a product which may not have read them yet."""

    kernel: str
    opcode: str
    registers: tuple[int, ...]

    def __str__(self) -> str:
        """For example `LDSM.16.M88.4 write R96 to R99`."""
        first, last = self.registers[0], self.registers[-1]
        return f"{self.opcode} write R{first}" + (f" to R{last}" if last > first else "")


@dataclass
class _Flight:
    """Registers of products that were started: of the group that is still open, and of those that were closed."""

    open: set[int] = field(default_factory=set)
    groups: list[set[int]] = field(default_factory=list)

    def start(self, product: Instruction) -> None:
        operands = product.operands
        self.open |= _registers(operands[1], _OPERAND_REGISTERS) if len(operands) > 1 else set()
        if _COMMITS in operands:
            self.groups.append(self.open)
            self.open = set()

    def wait(self, pending: int) -> None:
        self.groups = self.groups[max(0, len(self.groups) - pending) :]

    @property
    def registers(self) -> set[int]:
        return self.open.union(*self.groups)


def race_in(binaries: Iterable[tuple[str, bytes]], assembler: str) -> Failure | None:
    """The first such instruction of these binaries, which `assembler` made, and what to do about it.

    binaries: how each was configured, in words, and the cubin.
    """
    for configured, cubin in dict.fromkeys(binaries):
        for found in (one for code in _read(cubin) for one in overwritten(code)):
            return Failure(
                "compile_error",
                f"kernel {found.kernel}: {assembler} lets {found} while an asynchronous tensor-core "
                "product may still be reading there, so results may be wrong at rare moments (a fault of ptxas "
                "before CUDA 13.3); keep the left operand of tl.dot as it was loaded (reshaped, cast or computed it "
                "lies in the register file), make it the right one, or use num_stages=1" + configured,
            )
    return None


def _read(cubin: bytes) -> tuple[Listing, ...]:
    try:
        return listings(cubin)
    except UnreadableCubin:  # the build rung says so itself
        return ()


def overwritten(code: Listing) -> tuple[Overwrite, ...]:
    """Every such instruction of a kernel, in order of appearance."""
    if not any(_PRODUCT.match(opcode) for opcode in code.opcodes):
        return ()
    rounds = [code.instructions[loop.first : loop.last + 1] * 2 for loop in code.loops]
    found = (one for body in (code.instructions, *rounds) for one in _overwritten(code.name, body))
    return tuple(dict.fromkeys(found))


def _overwritten(kernel: str, body: Sequence[Instruction]) -> list[Overwrite]:
    flight, found = _Flight(), []
    for instruction in body:
        if _PRODUCT.match(instruction.opcode):
            flight.start(instruction)
        elif instruction.opcode == _WAIT:
            flight.wait(int(instruction.operands[1], 0))
        elif hit := _written(instruction) & flight.registers:
            found.append(Overwrite(kernel, instruction.opcode, tuple(sorted(hit))))
    return found


def _written(instruction: Instruction) -> set[int]:
    """The first operand, as wide as the mnemonic says; memory and predicates are none."""
    opcode, operands = instruction.opcode, instruction.operands
    if opcode.startswith("LDSM"):
        words = int(opcode[-1]) if opcode[-1].isdigit() else 1
    elif wide := re.search(r"\.(64|128)\b", opcode):
        words = int(wide[1]) // 32
    else:
        words = 2 if ".WIDE" in opcode else 1
    return _registers(operands[0], words) if operands else set()


def _registers(operand: str, count: int) -> set[int]:
    found = _REGISTER.match(operand)
    return set(range(int(found[1]), int(found[1]) + count)) if found else set()
