"""Recorded replies of a model that hold CUDA code: each is failed, with the true reason."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluators.cuda import build, emulate
from evaluators.rungs import Task

MakeTask = Callable[..., Task]

SEEDS = Path(os.environ.get("AGENT_SEEDS_DIR", Path(__file__).parents[4] / "shared" / "seeds"))


def code_of(seed: str, block: int = -1) -> str:
    found = sorted(SEEDS.glob(f"{seed}_*.txt")) if SEEDS.is_dir() else []
    if not found:
        pytest.skip(f"no recorded replies in {SEEDS}")
    return re.findall(r"^```python[ \t]*\n(.*?)^```[ \t]*$", found[0].read_text(), re.DOTALL | re.MULTILINE)[block]


def test_001_lacks_cpp_sources(task_of: MakeTask) -> None:
    failure = build.check(task_of(code_of("001"))).failure
    assert failure is not None
    assert "load_inline() missing 1 required positional argument: 'cpp_sources'" in failure.message


def repaired_001() -> str:
    """The reply with the declaration it lacks, its weight under the reference's name, the kernel size as it wants it."""
    source = code_of("001")
    declared = re.search(r"torch::Tensor conv3d_transpose_cuda\([^)]*\)", source)
    assert declared is not None
    source = source.replace("cuda_sources=", f'cpp_sources="""{declared[0]};""",\n    cuda_sources=')
    source = source.replace(
        "self.weight = nn.Parameter(",
        "self.conv_transpose3d = nn.Module()\n        self.conv_transpose3d.weight = nn.Parameter(",
    )
    source = source.replace(
        "nn.init.kaiming_uniform_(self.weight", "nn.init.kaiming_uniform_(self.conv_transpose3d.weight"
    )
    source = source.replace("            self.weight,", "            self.conv_transpose3d.weight,")
    for name in ("stride", "padding", "output_padding"):
        source = source.replace(f"({name}, {name}, {name})", f"tuple({name})")
    return source.replace("(kernel_size, kernel_size, kernel_size)", "kernel_size").replace(
        "kernel_size, kernel_size, kernel_size\n", "*kernel_size\n"
    )


def test_001_repaired_has_the_weight_in_another_layout(gxx: None, task_of: MakeTask) -> None:
    failure = emulate.check(task_of(repaired_001())).failure
    assert failure is not None
    assert failure.kind == "incorrect_weights"
    assert "conv_transpose3d.weight is (6, 2, 3, 3, 3), must be (4, 3, 3, 3, 3)" in failure.message
    assert "(in_channels, out_channels/groups, kD, kH, kW)" in failure.message


def test_001_repaired_twice_counts_taps_between_the_strides(gxx: None, task_of: MakeTask) -> None:
    source = repaired_001().replace(
        "out_channels,\n            in_channels // groups", "in_channels,\n            out_channels // groups"
    )
    source = source.replace("            self.conv_transpose3d.weight,", "            self._in_its_layout(),")
    source += """
    def _in_its_layout(self):
        w = self.conv_transpose3d.weight
        g, i, o = self.groups, w.shape[0] // self.groups, w.shape[1]
        return w.reshape(g, i, o, *w.shape[2:]).transpose(1, 2).reshape(g * o, i, *w.shape[2:]).contiguous()
"""
    source = (
        source.replace(" - output_padding_depth", "")
        .replace(" - output_padding_height", "")
        .replace(" - output_padding_width", "")
    )
    failure = emulate.check(task_of(source)).failure
    assert failure is not None
    assert failure.kind == "incorrect_numerical"
    assert "a tap counts only if (output + padding - tap*dilation) % stride == 0" in failure.message


@pytest.mark.parametrize(
    ("block", "kind", "reason"),
    [
        (0, "rejected", "defines no __global__ kernel (comments do not count)"),
        (1, "rejected", "transposed_3d_conv_kernel has an empty body"),
    ],
)
def test_002_begins_with_placeholders(task_of: MakeTask, block: int, kind: str, reason: str) -> None:
    failure = build.check(task_of(code_of("002", block))).failure
    assert failure is not None
    assert failure.kind == kind
    assert reason in failure.message


@pytest.mark.slow
def test_002_ends_with_code_that_no_compiler_takes(nvcc: None, task_of: MakeTask) -> None:
    failure = build.check(task_of(code_of("002"))).failure
    assert failure is not None
    assert failure.kind == "compile_error"
    assert 'identifier "bias" is undefined' in failure.message
    assert 'line 16 (cuda_sources:10): expression must have class type but it has type "float *"' in failure.message


def test_004_has_the_weight_in_another_layout(gxx: None, task_of: MakeTask) -> None:
    failure = emulate.check(task_of(code_of("004"))).failure
    assert failure is not None
    assert failure.kind == "incorrect_weights"
    assert "unknown weight (6, 2, 3, 3, 3)" in failure.message
    assert "(in_channels, out_channels/groups, kD, kH, kW)" in failure.message
