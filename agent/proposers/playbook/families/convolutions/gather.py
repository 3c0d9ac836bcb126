"""Gather: a convolution with a stride by the direct kernel, whose outputs then lie `stride` input positions apart.

Data flow: that of the direct kernel for transposed convolutions; one value of x serves the BLOCK_N output channels of a
program. Loses with many channels: it never reaches a tensor core.
Limits: depthwise and other small groups are its place; files for stride 1 go to the same kernel with other strides.
"""

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.families import direct
from agent.proposers.playbook.family import Family, Situation
from prompts.cards import built_in_card


def _start(situation: Situation) -> Configuration:
    return Configuration("gather", direct.FAMILY.start(situation).knobs)


CARD = built_in_card("gather")
FAMILY = Family(
    name="gather",
    rank=0,
    idea=CARD.idea,
    pays_when=CARD.pays_when,
    knobs=direct.FAMILY.knobs,
    kernels=direct.KERNELS,
    fragments=(),
    misfit=lambda situation: "",
    start=_start,
    cost=direct.FAMILY.cost,
    reached=direct.FAMILY.reached,
)
