"""A family card: what one kind of kernel is, when it pays, and what goes wrong with it. Facts, no verdicts.

One TOML file in prompts/cards/ per card, its stem is its key. The algorithm stage shows those that fit the problem; the
playbook takes the first words of its own families from the card of the same name.

Limits: whether a card fits is asked of categories and sizes; a figure that nobody knows excludes nothing.
"""

import ast
import math
from collections.abc import Mapping
from typing import Literal

from evaluators.frozen import Frozen
from evaluators.gpu import GpuSpec
from evaluators.problem import ProblemFacts
from prompts.stage import Category

Figure = Literal[
    "stride",  # the largest of all axes
    "dilation",
    "common_factor",  # the largest that stride and dilation of one axis share
    "taps",
    "groups",
    "in_channels",  # of one group
    "out_channels",
    "capability",  # of the target, 89 for sm_89
]


class Bounds(Frozen):
    """The values of one figure with which a card has a use."""

    figure: Figure
    at_least: float = -math.inf
    at_most: float = math.inf


class Card(Frozen):
    """What is known of one kernel family. `fits`: all of these must hold."""

    key: str
    order: int
    title: str
    categories: tuple[Category, ...]
    fits: tuple[Bounds, ...] = ()
    idea: str
    pays_when: str
    facts: tuple[str, ...] = ()
    pitfalls: tuple[str, ...] = ()

    def has_use(self, categories: frozenset[Category], figures: Mapping[str, float]) -> bool:
        """Whether this card is about one of the categories and these sizes."""
        known = (bounds for bounds in self.fits if bounds.figure in figures)
        within = all(bounds.at_least <= figures[bounds.figure] <= bounds.at_most for bounds in known)
        return within and bool(categories & set(self.categories))


def figures_of(facts: ProblemFacts, gpu: GpuSpec) -> dict[str, float]:
    """The figures that cards ask for, as far as the facts have them."""
    found = {name: _sizes(text) for name, text in facts.hyperparameters.items()}
    figures: dict[str, float] = {"capability": gpu.capability}
    figures |= {name: max(found[name]) for name in ("stride", "dilation", "groups") if found.get(name)}
    groups = int(figures.get("groups", 1))
    figures |= {n: found[n][0] / groups for n in ("in_channels", "out_channels") if found.get(n)}
    if found.get("kernel_size"):
        figures["taps"] = math.prod(found["kernel_size"])
    if found.get("stride") and found.get("dilation"):
        figures["common_factor"] = max(map(math.gcd, found["stride"], found["dilation"]))
    return figures


def _sizes(text: str) -> tuple[int, ...]:
    """A hyperparameter as whole numbers; none where it is something else."""
    value = ast.literal_eval(text)
    values = value if isinstance(value, tuple) else (value,)
    return values if all(type(item) is int for item in values) else ()
