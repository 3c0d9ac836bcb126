"""What is taken over from a reference, and which references the playbook refuses, with the reason."""

import ast

import pytest

from agent.proposers.errors import NothingToPropose
from agent.proposers.playbook import PlaybookProposer
from agent.proposers.playbook.configuration import Configuration, read_configuration
from agent.proposers.playbook.emission import candidate_source
from agent.proposers.playbook.family import family_of
from agent.proposers.playbook.reference import read_reference
from agent.reply import read_reply
from evaluators.problem import Problem
from evaluators.problem_catalog import all_problems
from prompts.context import Base

DIRECT = read_configuration("direct BLOCK_M=256 BLOCK_N=8 GROUP_M=1 NUM_WARPS=4")

UNUSUAL = '''
import torch
from torch import nn
from typing import Tuple
import os

Triple = Tuple[int, int, int]
SCALE, UNUSED = 2, 7


def doubled(value):
    return SCALE * value


class Model(nn.Module):
    def __init__(self, channels: int, size: Triple = (3, 3, 3)) -> None:
        """Doubles the channels."""
        super(Model, self).__init__()
        # groups stay 1
        self.up = nn.ConvTranspose3d(channels, doubled(channels), size)

    def forward(self, volume):
        return self.up(volume)


def get_inputs():
    return []
'''


def test_the_constructor_is_kept_with_what_it_needs_and_nothing_else():
    reference = read_reference(UNUSUAL)
    assert (reference.layer, reference.input_name) == ("up", "volume")
    assert "super(ModelNew, self).__init__()" in reference.constructor
    assert "# groups stay 1" in reference.constructor
    assert reference.preamble.splitlines()[0] == "from typing import Tuple"
    assert "SCALE, UNUSED = 2, 7" in reference.preamble and "def doubled" in reference.preamble
    assert "import os" not in reference.preamble and "get_inputs" not in reference.preamble


def test_the_emitted_file_is_complete_and_names_its_configuration():
    source = candidate_source(DIRECT, family_of(DIRECT), read_reference(UNUSUAL))
    tree = ast.parse(source)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes] == ["ModelNew"]
    assert "return conv_transpose(volume, self.up)" in source
    assert read_configuration(source.partition("\n")[0]) == DIRECT
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert {name for name, _ in DIRECT.knobs} <= bound


@pytest.mark.parametrize("problem", all_problems(), ids=lambda problem: problem.key)
def test_every_built_in_reference_is_read(problem):
    assert read_reference(problem.source).layer == "conv_transpose3d"


@pytest.mark.parametrize(
    "forward",
    [
        "return torch.relu(self.up(volume))",
        "y = self.up(volume)\n        return y",
        "return self.up(volume, output_size=(9, 9, 9))",
        "return self.up(self.other)",
        "return nn.functional.conv_transpose3d(volume, self.up.weight)",
    ],
)
def test_a_forward_that_is_more_than_one_call_is_refused(forward):
    with pytest.raises(
        NothingToPropose, match=r"line \d+ of the reference, `.*`: of a convolution the playbook writes one call"
    ):
        read_reference(UNUSUAL.replace("return self.up(volume)", forward))


def test_other_layers_are_refused_by_name(search):
    facts = search.context().facts.model_copy(update={"operator": "lstm"})
    with pytest.raises(
        NothingToPropose, match=r"line 18 .*`self.conv_transpose3d`, a torch.nn.ConvTranspose3d, is not known"
    ):
        search.propose(facts=facts)


def test_code_the_user_brought_is_handed_on_where_no_family_fits_and_only_once(search):
    source = 'import torch\n\n\nclass ModelNew(torch.nn.Module):\n    """Fences:\n\n    ```python\n    x\n    ```\n    """\n\n'
    source += "    def forward(self, x):\n        return x\n"
    facts = search.context().facts.model_copy(update={"operator": "matmul"})
    context = search.context(facts=facts, base=Base(number=None, source=source))
    reading = read_reply(PlaybookProposer().propose(context, "").reply)
    assert reading.candidate is not None and reading.candidate.source == source
    with pytest.raises(NothingToPropose, match=r"`self.conv_transpose3d`, a torch.nn.ConvTranspose3d, is not known"):
        search.propose(facts=facts, base=Base(number=1, source=source))


def test_unknown_sizes_are_refused(search):
    with pytest.raises(NothingToPropose, match="sizes"):
        search.propose(facts=None)


def test_a_reference_without_model_is_refused(search):
    problem = Problem(key="t", title="t", source="import torch\n")
    with pytest.raises(NothingToPropose, match="no class Model"):
        search.propose(problem=problem)


def test_a_configuration_survives_its_text():
    configuration = Configuration("packed_gemm", (("BLOCK_M", 128), ("PRECISION", "half"), ("NUM_WARPS", 4)))
    assert read_configuration(f"Plan: {configuration}: because it is 2 x faster") == configuration
    assert read_configuration("Plan: use a bigger tile") is None
    assert configuration.having(BLOCK_M=64).changes_from(configuration) == "BLOCK_M 128 -> 64"
