"""The instructions of a compiled kernel: loops (backward branches), instruction mix, widths of global loads.

Limits: static counts. How often a loop runs is not in the SASS; bounds.py gets it from the TTIR and the arguments.
"""

import functools
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evaluators.compiled.cubin import UnreadableCubin, as_file, functions
from evaluators.compiled.opcodes import access_bits, class_of
from evaluators.compiled.toolkit import run_tool

_INSTRUCTION = re.compile(
    r"^\s*/\*([0-9a-f]{4,6})\*/\s+(?:\{\s*)?(?:@!?U?P\w+\s+)?([A-Z][A-Za-z0-9_.]*)(.*?);", re.MULTILINE
)
_FUNCTION = re.compile(r"^\s*Function : (\S+)\s*$", re.MULTILINE)
_ENCODING = re.compile(r"\s*/\* 0x[0-9a-f]{16} \*/")
MAX_TEXT = 400_000  # letters of one function: 128 of them are kept (`listings`)
_TARGET = re.compile(r"0x([0-9a-f]+)")


@dataclass(frozen=True)
class Instruction:
    """A mnemonic with its modifiers and its operands, as they are written."""

    opcode: str
    operands: tuple[str, ...]


@dataclass(frozen=True)
class Loop:
    """A backward branch: instructions `first` to `last` (inclusive); `depth` 1 is outermost."""

    first: int
    last: int
    depth: int

    @property
    def length(self) -> int:
        """Instructions of the body, inner loops included."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Listing:
    """One kernel function: its instructions in order, its loops, and the same as text without their encoding."""

    name: str
    instructions: tuple[Instruction, ...]
    loops: tuple[Loop, ...]
    text: str = ""

    @functools.cached_property
    def opcodes(self) -> tuple[str, ...]:
        """Mnemonics in order."""
        return tuple(instruction.opcode for instruction in self.instructions)

    @property
    def hottest(self) -> Loop | None:
        """The loop that most likely dominates: the one with the most instructions, a level deeper counted eightfold."""
        return max(self.loops, key=lambda loop: loop.length * 8**loop.depth, default=None)

    def within(self, loop: Loop | None) -> tuple[str, ...]:
        """Opcodes of the loop's body, or of the whole function where there is no loop."""
        return self.opcodes if loop is None else self.opcodes[loop.first : loop.last + 1]

    def mix_pct(self) -> dict[str, float]:
        """Share of instructions by class inside the hottest loop (the whole function without one), largest first."""
        body = self.within(self.hottest)
        counts = Counter(class_of(opcode) for opcode in body)
        return {name: round(100 * count / len(body), 1) for name, count in counts.most_common()}

    def global_load_bits(self) -> dict[str, int]:
        """Static count of global loads by bits per thread; asynchronous copies to shared memory are loads too."""
        loads = (opcode for opcode in self.opcodes if class_of(opcode) == "global_load" or opcode.startswith("LDGSTS"))
        return {str(bits): count for bits, count in sorted(Counter(map(access_bits, loads)).items())}

    def counts(self) -> Counter[str]:
        """Static count of instructions by class."""
        return Counter(map(class_of, self.opcodes))


@functools.lru_cache(maxsize=128)
def listings(cubin: bytes) -> tuple[Listing, ...]:
    """Every kernel function of the cubin, disassembled (0.3 s, nearly all of it the tool's start)."""
    with as_file(cubin) as path:
        try:
            text = run_tool("cuobjdump", "-sass", str(path))
        except subprocess.SubprocessError as error:
            raise UnreadableCubin(f"cuobjdump cannot disassemble the {len(cubin)} bytes: {error}") from error
    parts = _FUNCTION.split(text)
    return tuple(parse(name, body) for name, body in zip(parts[1::2], parts[2::2], strict=True))


def forget() -> None:
    """Drop what was read: a binary holds the path of the folder it was built in, so no later one equals it."""
    listings.cache_clear()
    functions.cache_clear()


def listing(cubin: bytes, name: str) -> Listing:
    """The listing of the function called `name`, or the first one (C++ names are mangled)."""
    found = listings(cubin)
    if not found:
        raise UnreadableCubin("cuobjdump found no instructions in the cubin")
    return next((one for one in found if one.name == name), next((one for one in found if name in one.name), found[0]))


def parse(name: str, text: str) -> Listing:
    """Read the disassembly of one function."""
    rows = [(int(at, 16), opcode, rest) for at, opcode, rest in _INSTRUCTION.findall(text) if opcode != "NOP"]
    instructions = tuple(Instruction(opcode, tuple(map(str.strip, rest.split(",")))) for _, opcode, rest in rows)
    return Listing(name=name, instructions=instructions, loops=_loops(rows), text=_without_encoding(text))


def _without_encoding(text: str) -> str:
    """`/*0010*/ MOV R1, c[0x0][0x28] ;`, one per line, cut where nobody reads on."""
    lines = (_ENCODING.sub("", line).rstrip() for line in text[: 4 * MAX_TEXT].split("\n"))
    return "\n".join(line.strip() for line in lines if "/*" in line)[:MAX_TEXT]


def _loops(rows: Sequence[tuple[int, str, str]]) -> tuple[Loop, ...]:
    index = {address: position for position, (address, _, _) in enumerate(rows)}
    ends: dict[int, int] = {}
    for position, (address, opcode, rest) in enumerate(rows):
        target = _TARGET.search(rest) if opcode.startswith("BRA") else None
        # A branch to itself is the padding after the last instruction, not a loop.
        if target and int(target[1], 16) < address and int(target[1], 16) in index:
            start = index[int(target[1], 16)]
            ends[start] = max(position, ends.get(start, 0))
    spans = sorted(ends.items())
    return tuple(Loop(first, last, depth=_depth(spans, first, last)) for first, last in spans)


def _depth(spans: Sequence[tuple[int, int]], first: int, last: int) -> int:
    return sum(start <= first and last <= end for start, end in spans)
