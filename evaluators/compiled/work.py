"""How much work one launch asks for: operations, bytes and trips, exact where the arguments decide them.

Limits: amounts only; what they cost on a GPU is bounds.py's business.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace


@dataclass
class Work:
    """Work of a piece of a program, by kind.

    `loops` keeps each innermost loop's own share, `trips` how often the deepest one runs in all.
    """

    dot_flop: dict[str, float] = field(default_factory=dict)  # by precision: tf32, f16, ieee ...
    multiplies: float = 0.0  # elementwise floating point, in units of one fp32 operation
    adds: float = 0.0
    other_float: float = 0.0
    read_bytes: dict[str, float] = field(default_factory=dict)  # requested, by pointer argument
    written_bytes: dict[str, float] = field(default_factory=dict)
    trips: float = 1.0
    loops: dict[int, "Work"] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)  # what could not be evaluated, for a person

    @property
    def float_instructions(self) -> float:
        """The fewest fp32 instructions per element of work: every multiply fused with an add."""
        ieee = self.dot_flop.get("ieee", 0.0) / 2
        return max(self.multiplies, self.adds) + self.other_float + ieee

    def without_tensor_cores(self) -> "Work":
        """The same with every product done by ordinary multiply-adds, as on a part that has no unit for it."""
        return replace(
            self,
            dot_flop={"ieee": sum(self.dot_flop.values())},
            loops={key: loop.without_tensor_cores() for key, loop in self.loops.items()},
        )

    def plus(self, other: "Work") -> "Work":
        """Both, one after the other."""
        return self._with(other, lambda a, b: a + b, max(self.trips, other.trips))

    def least(self, other: "Work") -> "Work":
        """The least of both, amount by amount: a lower bound where it is not known which of them runs."""
        return self._with(other, min, min(self.trips, other.trips))

    def most(self, other: "Work") -> "Work":
        """The most of both, amount by amount: no run can need more."""
        return self._with(other, max, max(self.trips, other.trips))

    def times(self, count: float) -> "Work":
        """The same, repeated."""
        return Work(
            dot_flop=_scaled(self.dot_flop, count),
            multiplies=self.multiplies * count,
            adds=self.adds * count,
            other_float=self.other_float * count,
            read_bytes=_scaled(self.read_bytes, count),
            written_bytes=_scaled(self.written_bytes, count),
            trips=self.trips * count,
            loops={key: loop.times(count) for key, loop in self.loops.items()},
            unknown=set(self.unknown),
        )

    def _with(self, other: "Work", join: Callable[[float, float], float], trips: float) -> "Work":
        keys = self.loops.keys() | other.loops.keys()
        return Work(
            dot_flop=_joined(self.dot_flop, other.dot_flop, join),
            multiplies=join(self.multiplies, other.multiplies),
            adds=join(self.adds, other.adds),
            other_float=join(self.other_float, other.other_float),
            read_bytes=_joined(self.read_bytes, other.read_bytes, join),
            written_bytes=_joined(self.written_bytes, other.written_bytes, join),
            trips=trips,
            loops={
                key: self.loops.get(key, _NOTHING)._with(other.loops.get(key, _NOTHING), join, trips) for key in keys
            },
            unknown=self.unknown | other.unknown,
        )


_NOTHING = Work(trips=0.0)


def _scaled(amounts: dict[str, float], count: float) -> dict[str, float]:
    return {key: value * count for key, value in amounts.items()}


def _joined(one: dict[str, float], other: dict[str, float], join: Callable[[float, float], float]) -> dict[str, float]:
    return {key: join(one.get(key, 0.0), other.get(key, 0.0)) for key in one.keys() | other.keys()}
