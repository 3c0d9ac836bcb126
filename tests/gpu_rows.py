"""What tests/gpu_playbook_bench.py measures: problems in a class, their rows, and the class that eager turns out to have.

Limits: which rows are worth their time is the playbook's opinion (playbook_order.py).
"""

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import gpu_kernels
from playbook_order import expected_order
from random_geometries import drawn

from agent.proposers.playbook.configuration import Configuration, read_configuration
from agent.proposers.playbook.emission import candidate_source
from agent.proposers.playbook.family import ROUNDED_ERROR, Situation, family_of, known_families
from agent.proposers.playbook.reference import read_reference
from agent.proposers.playbook.shape import shape_from
from evaluators.floor import floor_of
from evaluators.gpu import GpuSpec
from evaluators.judge.facts import facts_of
from evaluators.problem import Problem, ProblemFacts
from evaluators.problem_catalog import load_problem

PROBLEMS = ("68", "70", "77", "61", "73", "58", "72")  # by what is to be learnt from them
CLASSES = {"tf32": 6e-4, "fp32": 2e-6}  # the error that a reference of the class allows


@dataclass
class Row:
    """One thing to be measured; `result` once it was."""

    problem: str
    precision: str
    what: str  # a configuration, or a setting of the library
    request: dict[str, Any]
    result: dict[str, Any] = field(default_factory=dict)
    code: Any = None  # the pending compilation

    @property
    def is_kernel(self) -> bool:
        """Whether it is a file, not a setting of the library."""
        return "source" in self.request

    @property
    def is_ready(self) -> bool:
        """Whether nothing is left to compile."""
        return not self.is_kernel or (self.code is not None and self.code.ready())


@dataclass(frozen=True)
class Subject:
    """A problem and class with everything the table says about it."""

    problem: str
    precision: str
    source: str
    facts: ProblemFacts
    situation: Situation

    @property
    def kernel_class(self) -> str:
        """The class its kernels are held to: fp32 also where TF32 is allowed and eager does not use it."""
        return "fp32" if self.situation.allowed_error < ROUNDED_ERROR else self.precision

    def as_exact_as(self, eager: dict[str, Any]) -> "Subject":
        """The same, in class fp32 where eager's own error says that it computes in fp32."""
        if self.precision == "fp32" or "error" not in eager or 2 * eager["error"] >= ROUNDED_ERROR:
            return self
        return replace(self, situation=replace(self.situation, allowed_error=CLASSES["fp32"]))

    def rows(self, options: argparse.Namespace) -> Iterator[Row]:
        """Library first, then the kernels, the most promising first."""
        request = {"reference": self.source, "class": self.precision, "geometries": options.geometries}
        if not options.geometries:
            for setting in gpu_kernels.LIBRARY:
                yield self._row(setting, request)
        reference = read_reference(self.source)
        for configuration in self._configurations(options):
            family = family_of(configuration)
            assert family is not None, f"no family writes {configuration}"
            yield self._row(
                str(configuration), request | {"source": candidate_source(configuration, family, reference)}
            )

    def _row(self, what: str, request: dict[str, Any]) -> Row:
        return Row(self.problem, self.precision, what, request | {"what": what})

    def _configurations(self, options: argparse.Namespace) -> list[Configuration]:
        found = [self._completed(text) for text in options.configuration]
        found = [c for c in found if (family := family_of(c)) and not family.misfit(self.situation)]
        return found or expected_order(self.situation, 1 + options.neighbours, frozenset(options.families))

    def _completed(self, text: str) -> Configuration:
        """A configuration with the family's first value for every knob that the text leaves out."""
        given = read_configuration(text)
        family = family_of(given) if given else None
        assert given is not None and family is not None, f"no family writes {text}"
        return family.start(self.situation).having(**dict(given.knobs))

    def why(self, what: str) -> str:
        """What a kernel is expected to be limited by, and why the other families were not used."""
        configuration = read_configuration(what)
        family = family_of(configuration) if configuration else None
        assert configuration is not None and family is not None, what
        cost = family.cost(configuration, self.situation)
        said = [
            f"{family.name} is limited by {cost.limiter}, expected {family.expected_ms(configuration, self.situation):.3g} ms"
        ]
        misfits = ((other.name, other.misfit(self.situation)) for other in known_families())
        return "; ".join([*said, *(f"no {name}: {misfit}" for name, misfit in misfits if misfit)])

    def floor_ms(self) -> tuple[float, str]:
        """The physical floor of the class on this GPU, and what sets it."""
        floor = floor_of(self.facts, self.situation.gpu, self.kernel_class)
        return floor.ms, floor.limiter


def subjects(options: argparse.Namespace, gpu: GpuSpec) -> list[Subject]:
    """All problems in the first class, then all in the next."""
    problems: list[tuple[str, Problem]] = [(problem.key, problem) for problem in drawn(options.random, options.seed)]
    problems = problems or [(number, load_problem(f"convt3d-{number}")) for number in options.problems]
    found = []
    for precision, (number, problem) in itertools.product(options.classes, problems):
        facts = facts_of(problem)
        shape = shape_from(facts, read_reference(problem.source).layer)
        situation = Situation(shape, gpu, CLASSES[precision])
        found.append(Subject(number, precision, problem.source, facts, situation))
    return found


def in_turns(groups: list[list[Row]]) -> list[Row]:
    """The first rows of every group, library and kernel, then the next of each in turn."""
    ahead = len(gpu_kernels.LIBRARY) + 1
    first = [row for group in groups for row in group[:ahead]]
    later = itertools.zip_longest(*(group[ahead:] for group in groups))
    return first + [row for turn in later for row in turn if row is not None]
