"""A family whose kernels are written anew for every formula, and the frame around them.

Limits: text. What stands in the kernels is the families'; the operators are evaluation.py.
"""

import ast
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.emission import head_of
from agent.proposers.playbook.family import Choice, Family
from agent.proposers.playbook.formulas.formula import COUNT, Node, Number, Reduction, of_kind
from agent.proposers.playbook.formulas.workload import FormulaShape
from agent.proposers.playbook.reference import ModelText
from prompts.cards import built_in_card

_MODULE = '''
class ModelNew(nn.Module):
    """The reference's parameters under their own names, computed by the kernels above."""

{constructor}    def forward(self{arguments}):
        return {call}
'''


Text = Callable[[Configuration, FormulaShape], str]
Call = Callable[[FormulaShape], str]


@dataclass(frozen=True)
class FormulaFamily(Family):
    """`text` gives the kernels and host functions for a workload; `call` what forward calls."""

    text: Text = field(kw_only=True)
    call: Call = field(kw_only=True)


def neighbours(stage: str, knob: str, within: tuple[int, int], *, more: str, fewer: str) -> tuple[Choice, Choice]:
    """Twice and half the value of a knob, inside its range; `more` and `fewer` say why each may pay."""
    least, most = within

    def scaled(configuration: Configuration, numerator: int, denominator: int) -> Configuration:
        return configuration.having(**{knob: configuration.number(knob) * numerator // denominator})

    return (
        Choice(stage, lambda c: scaled(c, 2, 1), when=lambda c, situation: c.number(knob) * 2 <= most, reason=more),
        Choice(stage, lambda c: scaled(c, 1, 2), when=lambda c, situation: c.number(knob) // 2 >= least, reason=fewer),
    )


WARPS = neighbours(
    "tuning",
    "NUM_WARPS",
    (1, 16),
    more="more warps hold fewer values each",
    fewer="fewer warps reduce with fewer barriers",
)


def declared(name: str, *, text: Text, call: Call, **more: Any) -> FormulaFamily:
    """A family whose words are those of the card of its name; `more`: what else Family has."""
    card = built_in_card(name)
    words: dict[str, Any] = {"idea": card.idea, "pays_when": card.pays_when, "misfit": lambda situation: ""}
    return FormulaFamily(name=name, kernels="", fragments=(), text=text, call=call, **(words | more))


def formula_source(configuration: Configuration, family: FormulaFamily, shape: FormulaShape, model: ModelText) -> str:
    """The complete file. Its first line names the configuration, by which the playbook knows its own work again."""
    constructor = textwrap.indent(model.constructor, "    ") + "\n\n" if model.constructor else ""
    module = _MODULE.format(constructor=constructor, arguments=model.arguments, call=family.call(shape))
    head = head_of(configuration, family, model.preamble(_names_in(shape.formula)))
    return "\n".join((head, family.text(configuration, shape), module))


def _names_in(formula: Node) -> frozenset[str]:
    """Names that the numbers and dimensions of a formula use: constants of the reference's module among them."""
    texts = [number.text for number in of_kind(formula, Number) if number != COUNT]
    texts += [reduction.dims.text for reduction in of_kind(formula, Reduction)]
    trees = (ast.walk(ast.parse(text, mode="eval")) for text in texts)
    return frozenset(node.id for tree in trees for node in tree if isinstance(node, ast.Name)) - {"self", "torch"}
