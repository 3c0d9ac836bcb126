# /// problem
# title = "ConvTranspose3d, box input, cube kernel, strided, padded, groups ignored (KernelBench level 1, problem 73)"
# ///

import torch
from torch import nn


class Model(nn.Module):
    """Transposed 3D convolution, stride 2, padding 1.

    `groups` of the published workload stands where the signature has `output_padding`, which this module does not use:
    it computes groups = 1 and output_padding = 0. Kept so: an answer is compared with what this module computes.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        output_padding: int = 0,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.conv_transpose3d = nn.ConvTranspose3d(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, groups=groups, bias=bias
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_transpose3d(x)


batch_size = 4
in_channels = 32
out_channels = 32
kernel_size = 3
stride = 2
padding = 1
groups = 4
depth = 32
height = 64
width = 128


def get_inputs() -> list[torch.Tensor]:
    return [torch.rand(batch_size, in_channels, depth, height, width)]


def get_init_inputs() -> list[object]:
    return [in_channels, out_channels, kernel_size, stride, padding, groups]
