"""Count the work of one launch from its TTIR: loops are evaluated with the launch's own arguments.

Scalar integer arithmetic is computed, tensors are only counted. A loop whose control flow depends on its counter
is walked step by step, otherwise once and multiplied. Where control depends on the program id, programs across
the grid are averaged.

Limits: a branch on loaded data counts as its cheaper side (as its dearer one on request), a `while` as one pass, both
named in `Work.unknown`; a loop with such a branch counts as the least of three of its steps.
Masked lanes count as work. Redundant work that a layout adds is not in the TTIR.
"""

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evaluators.compiled.mlir_text import Function, Operation, bytes_of, functions
from evaluators.compiled.scalars import Value, computed, literal
from evaluators.compiled.work import Work

SAMPLED_PROGRAMS = 32
AVERAGED = "work averaged over"  # begins the note of a launch whose programs differ; nothing was left out
_FEW_STEPS = 4
MAX_WALKED_TRIPS = 2048  # of one loop that has to be walked step by step
_MAX_OPERATIONS = 200_000  # of one launch (about 1 s), so that a hostile loop cannot hold the judge

DATA_BRANCH = "a branch on data or on the program id, counted as its cheaper side"
_TOO_LONG = frozenset({"the kernel takes too long to walk, so its work was not counted"})


class _OutOfBudget(Exception):
    """The walk is longer than any honest kernel's."""


_FLOAT = re.compile(r"arith\.(addf|subf|mulf|divf|maximumf|minimumf|maxnumf|minnumf|negf|cmpf)$|math\.(\w+)$")
_LIBDEVICE = re.compile(
    r'symbol = "__nv_f?(mul|add|sub|fma)'
)  # __nv_fmaf, __nv_fmaf_rn, __nv_fmul_rn, __nv_fadd_rz ...
_READS = ("tt.load", "tt.descriptor_load", "tt.descriptor_gather", "tt.atomic")
_WRITES = ("tt.store", "tt.descriptor_store", "tt.descriptor_reduce", "tt.descriptor_scatter", "tt.atomic")
_FLOAT_WEIGHT = {"f32": 1.0, "f16": 0.5, "bf16": 0.5, "f64": 1.0}  # two halves fit one instruction


def work_per_program(
    text: str, arguments: Mapping[str, object], grid: tuple[int, int, int], *, dearer: bool = False
) -> Work:
    """Average work of one program of the launch; `dearer`: where data decide, the most it can be."""
    try:
        return _work(functions(text), arguments, grid, dearer)
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError, RuntimeError) as error:
        # The text comes from the candidate's process: whatever it does to this reader, the judge goes on.
        return Work(unknown={f"the IR of this kernel cannot be read ({type(error).__name__})"})


def _work(found: Sequence[Function], arguments: Mapping[str, object], grid: tuple[int, int, int], dearer: bool) -> Work:
    if not found:
        return Work(unknown={"no IR of this kernel was handed over"})
    uniform = _Walk(found, arguments, grid, None, _MAX_OPERATIONS // 2, dearer).run()
    if not uniform.unknown or uniform.unknown == _TOO_LONG:
        return uniform
    count = math.prod(grid)
    chosen = _sampled(count)
    total = Work(trips=0.0)
    for number in chosen:
        place = _position(number, grid)
        total = total.plus(_Walk(found, arguments, grid, place, _MAX_OPERATIONS // 2 // len(chosen), dearer).run())
    average = total.times(1 / len(chosen))
    average.trips = total.trips
    if len(chosen) < count:
        average.unknown.add(f"{AVERAGED} {len(chosen)} of {count} programs")
    return average


def _sampled(count: int) -> list[int]:
    """Programs to average over: all, or random ones - evenly spaced ones alias with kernels that stripe their grid."""
    if count <= SAMPLED_PROGRAMS:
        return list(range(count))
    chance = random.Random(count)  # noqa: S311 - the same programs each time, so that equal code has an equal estimate
    return sorted({0, count - 1, *(chance.randrange(count) for _ in range(SAMPLED_PROGRAMS - 2))})


def _position(number: int, grid: tuple[int, int, int]) -> tuple[int, int, int]:
    return number % grid[0], number // grid[0] % grid[1], number // (grid[0] * grid[1])


@dataclass
class _Walk:
    """One walk through the kernel for one program (or for all of them at once where `program` is None)."""

    functions: Sequence[Function]
    arguments: Mapping[str, object]
    grid: tuple[int, int, int]
    program: tuple[int, int, int] | None
    budget: int  # operations it may look at
    dearer: bool  # where data decide, the dearer side
    values: dict[str, Value] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)  # which pointer argument a value points into
    arrivals: set[str] = field(default_factory=set)  # numbers that an atomic counter gave out, each once
    shares: dict[str, float] = field(default_factory=dict)  # of the programs for which a condition can hold at most

    def run(self) -> Work:
        """Walk the kernel from its parameters to its end."""
        kernel = self.functions[0]
        for name, (given, kind) in kernel.parameters.items():
            argument = self.arguments.get(given)
            if "ptr" in kind or "tensordesc" in kind:
                self.roots[name] = given
            elif isinstance(argument, int):
                self.values[name] = int(argument)
        try:
            return self._block(kernel.body)[0]
        except _OutOfBudget:
            return Work(unknown=set(_TOO_LONG))

    def _block(self, body: Sequence[Operation]) -> tuple[Work, list[str]]:
        """Work of a block and the operands of its terminator."""
        work, yielded = Work(), list[str]()
        for operation in body:
            self.budget -= 1
            if self.budget < 0:
                raise _OutOfBudget
            if operation.name in ("scf.yield", "scf.condition"):
                yielded = operation.operands
            elif operation.regions:
                work = work.plus(self._nested(operation))
            else:
                self._evaluate(operation)
                self._count(operation, work)
        return work, yielded

    def _nested(self, operation: Operation) -> Work:
        match operation.name:
            case "scf.for":
                return self._for(operation)
            case "scf.if":
                return self._if(operation)
            case "tt.reduce" | "tt.scan":
                return Work(adds=sum(size * _FLOAT_WEIGHT.get(kind, 0.0) for size, kind in operation.tensors[:1]))
            case "scf.while":
                work = self._block(operation.regions[0])[0]
                work.unknown.add("a while loop, counted as one pass")
                return work
        total = Work(unknown={f"{operation.name}, counted as one pass"} if operation.name.startswith("scf.") else set())
        for region in operation.regions:
            total = total.plus(self._block(region)[0])
        return total

    def _for(self, operation: Operation) -> Work:
        # %r = scf.for %i = %low to %high step %step iter_args(%a = %x, ...) : the operands in this order
        counter, low, high, step, *carried = operation.operands
        bounds = [self.values.get(name) for name in (low, high, step)]
        inside, before = carried[0::2], carried[1::2]
        self._carry(inside, before)
        self._carry(operation.results, before)
        for name in (counter, *inside, *operation.results):
            self.values.pop(name, None)
        if any(bound is None for bound in bounds) or bounds[2] == 0:
            body, _ = self._block(operation.regions[0])
            body.unknown.add("a loop with unknown bounds, counted as one pass")
            return self._owned(operation, body, 1)
        start, stop, stride = (bound for bound in bounds if bound is not None)
        trips = max(0, -(-(stop - start) // stride))
        body, _ = self._block(operation.regions[0])
        if body.unknown and trips <= MAX_WALKED_TRIPS:
            return self._owned(operation, self._stepped(operation, range(start, stop, stride)), trips)
        return self._owned(operation, body.times(trips), trips)

    def _stepped(self, operation: Operation, steps: range) -> Work:
        """Walk a loop step by step with its counter and loop-carried scalars known."""
        counter, _, _, _, *carried = operation.operands
        inside, current = carried[0::2], [self.values.get(name) for name in carried[1::2]]
        total = Work(trips=0.0)
        for step in steps:
            self.values[counter] = step
            self.values.update(zip(inside, current, strict=True))
            once, yielded = self._block(operation.regions[0])
            if once.unknown == {DATA_BRANCH} and len(steps) > _FEW_STEPS:
                return self._sampled_steps(operation, steps, once)
            total = total.plus(once)
            current = [self.values.get(name) for name in yielded] if yielded else current
        total.trips *= len(steps)
        self.values.update(zip(operation.results, current, strict=False))
        return total

    def _sampled_steps(self, operation: Operation, steps: range, first: Work) -> Work:
        """Data decide what a step does, so that the others say no more than these: the least (or most) of three."""
        chosen = first
        for step in (steps[len(steps) // 2], steps[-1]):
            self.values[operation.operands[0]] = step
            once = self._block(operation.regions[0])[0]
            chosen = chosen.most(once) if self.dearer else chosen.least(once)
        for name in operation.results:
            self.values.pop(name, None)
        return chosen.times(len(steps))

    def _owned(self, operation: Operation, work: Work, trips: int) -> Work:
        """Note the work of an innermost loop under its own name."""
        if not work.loops and trips > 0:
            work.loops = {id(operation): Work(**{**vars(work), "loops": {}, "unknown": set()})}
        return work

    def _if(self, operation: Operation) -> Work:
        condition = self.values.get(operation.operands[0])
        taken, *other = operation.regions
        otherwise = other[0] if other else []
        if condition is not None:
            work, yielded = self._block(taken if condition else otherwise)
            self.values.update(zip(operation.results, map(self.values.get, yielded), strict=False))
            return work
        one, other_way = self._block(taken)[0], self._block(otherwise)[0]
        share = self.shares.get(operation.operands[0], 1.0)
        most = one.most(other_way) if share == 1.0 else one.times(share).plus(other_way)
        chosen = most if self.dearer else one.least(other_way)
        chosen.unknown.add(DATA_BRANCH)
        return chosen

    def _carry(self, names: Sequence[str], sources: Sequence[str]) -> None:
        pairs = zip(names, sources, strict=False)
        self.roots.update({name: self.roots[source] for name, source in pairs if source in self.roots})

    def _evaluate(self, operation: Operation) -> None:
        if len(operation.results) != 1:
            return
        result, operands = operation.results[0], operation.operands
        if operands and operands[0] in self.roots:  # splat, addptr, broadcast, make_tensor_ptr, advance ...
            self.roots[result] = self.roots[operands[0]]
        self.values[result] = None if "tensor<" in operation.text else self._scalar(operation)
        self._note_arrivals(operation)

    def _note_arrivals(self, operation: Operation) -> None:
        """The last of N programs to count itself, `atomic_add(p, 1) == N - 1`, is one of N."""
        result, operands = operation.results[0], operation.operands
        how = operation.text.replace(",", " ").split()[:1]
        if (operation.name, how) == ("tt.atomic_rmw", ["add"]) and 1 in map(self.values.get, operands):
            self.arrivals.add(result)
        elif (operation.name, how) == ("arith.cmpi", ["eq"]) and operands[0] in self.arrivals:
            last = self.values.get(operands[1])
            self.shares[result] = 1 / (last + 1) if last is not None and last > 0 else 1.0

    def _scalar(self, operation: Operation) -> Value:
        if operation.name == "arith.constant":
            return literal(operation.text)
        if operation.name in ("tt.get_program_id", "tt.get_num_programs"):
            axis = "xyz".index(operation.text.split()[0])
            return self.grid[axis] if operation.name.endswith("programs") else self.program and self.program[axis]
        operands = [self.values.get(operand) for operand in operation.operands]
        known = [operand for operand in operands if operand is not None]
        return computed(operation, known) if known and len(known) == len(operands) else None

    def _count(self, operation: Operation, work: Work) -> None:
        name = operation.name
        if name.startswith(_READS + _WRITES):
            self._count_access(operation, work)
        elif name in ("tt.dot", "tt.dot_scaled"):
            precision, flop = dot(operation)
            work.dot_flop[precision] = work.dot_flop.get(precision, 0.0) + flop
        elif name == "tt.call":
            work.unknown.add("a call of a noinline function, not counted")
        elif name == "tt.elementwise_inline_asm":
            work.unknown.add("inline assembly, not counted")
        elif name == "tt.extern_elementwise" or _FLOAT.match(name):
            amount = sum(size * _FLOAT_WEIGHT.get(kind, 0.0) for size, kind in operation.tensors[-1:])
            kind = _arithmetic_of(operation)
            work.multiplies += amount * (kind in ("mul", "fma"))
            work.adds += amount * (kind in ("add", "sub", "fma"))
            work.other_float += amount * (kind not in ("mul", "add", "sub", "fma"))

    def _count_access(self, operation: Operation, work: Work) -> None:
        pointer = next((self.roots[name] for name in operation.operands if name in self.roots), "")
        size, kind = (operation.tensors or [(1, _pointee(operation.text))])[0]
        moved = size * bytes_of(kind)
        for prefixes, amounts in ((_READS, work.read_bytes), (_WRITES, work.written_bytes)):
            if operation.name.startswith(prefixes):
                amounts[pointer] = amounts.get(pointer, 0.0) + moved


def _arithmetic_of(operation: Operation) -> str:
    """mul, add, sub or fma, whether it is an instruction or a function of libdevice; any other name is another one."""
    called = _LIBDEVICE.search(operation.text)
    return called[1] if called else operation.name.rpartition(".")[2].removesuffix("f")


def _pointee(text: str) -> str:
    match = re.search(r"!tt\.ptr<(\w+)", text)
    return match[1] if match else "i32"


def dot(operation: Operation) -> tuple[str, float]:
    """Precision and FLOP of one `tt.dot`: `ieee` where fp32 operands are multiplied without the tensor cores."""
    shapes = re.findall(r"tensor<((?:\d+x)+)(\w+)", operation.text)
    (left, kind), (right, _) = shapes[0], shapes[1]
    inner, columns = int(left.rstrip("x").split("x")[-1]), int(right.rstrip("x").split("x")[-1])
    rows = math.prod(int(size) for size in left.rstrip("x").split("x")) // inner
    flop = 2.0 * rows * inner * columns
    given = re.search(r"inputPrecision = (\w+)", operation.text)
    precision = (given[1] if given else "ieee") if kind == "f32" else kind
    passes = {"tf32x3": 3, "bf16x3": 3, "bf16x6": 6}.get(precision, 1)
    return re.sub(r"x[36]$", "", precision), flop * passes
