"""Put a candidate file together: knobs as constants, shared text, the family's kernels, the reference's constructor.

Limits: text. A configuration of a reference always gives the same file, so equal proposals have equal hashes.
"""

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from agent.proposers.playbook import kernel_text
from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.family import Family
from agent.proposers.playbook.reference import ReferenceText

_MODULE = '''
class ModelNew(nn.Module):
    """The reference's parameters under their own names, computed by the kernels above."""

{constructor}

    def forward(self, {input_name}):
        return {function}({input_name}, self.{layer})
'''


@dataclass(frozen=True)
class Operator:
    """What forward calls, and the text that defines it after a family's kernels."""

    function: str
    wrapper: Callable[[Family], str]


TRANSPOSED = Operator("conv_transpose", lambda family: kernel_text.WRAPPER)


def candidate_source(
    configuration: Configuration, family: Family, reference: ReferenceText, operator: Operator = TRANSPOSED
) -> str:
    """The complete file. Its first line names the configuration, by which the playbook knows its own work again."""
    fragments = [getattr(kernel_text, name) for name in ("PLACE", *family.fragments)]
    module = _MODULE.format(
        constructor=textwrap.indent(reference.constructor, "    "),
        input_name=reference.input_name,
        layer=reference.layer,
        function=operator.function,
    )
    head = head_of(configuration, family, reference.preamble)
    return "\n".join((head, *fragments, family.kernels, operator.wrapper(family), module))


def head_of(configuration: Configuration, family: Family, preamble: str) -> str:
    """What every file begins with: the configuration, imports, what the constructor needs, the knobs."""
    head = f'"""{configuration}: {family.idea}."""\n\n{kernel_text.IMPORTS}{family.imports}'
    constants = "\n".join(f"{name} = {value!r}" for name, value in configuration.knobs)
    return "\n".join(part for part in (head, f"{preamble}\n" if preamble else "", f"{constants}\n") if part)


def reply_text(configuration: Configuration, reason: str, source: str) -> str:
    """A reply as the prompt asks for it: the plan in one line, then one fenced file."""
    return f"Plan: {configuration}: {' '.join(reason.split())}\n\n```python\n{source.rstrip()}\n```\n"


def given_reply(source: str) -> str:
    """A reply that hands on the code the user brought; its fence is longer than any in the code."""
    fence = "`" * (1 + max(map(len, re.findall(r"`+", source)), default=2))
    return f"Plan: the given code as it is.\n\n{fence}python\n{source.rstrip()}\n{fence}\n"
