# /// problem
# title = "ConvTranspose3d, box input, cube kernel, strided, padded, dilated (KernelBench level 1, problem 77)"
# ///

import torch
from torch import nn


class Model(nn.Module):
    """Transposed 3D convolution, stride 2, padding 1, dilation 2.

    Stride equals dilation, so the taps reach only every second output position along each axis; the rest stays 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.conv_transpose3d = nn.ConvTranspose3d(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, dilation=dilation, bias=bias
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_transpose3d(x)


batch_size = 16
in_channels = 32
out_channels = 64
kernel_size = 3
stride = 2
padding = 1
dilation = 2
depth = 16
height = 32
width = 32


def get_inputs() -> list[torch.Tensor]:
    return [torch.rand(batch_size, in_channels, depth, height, width)]


def get_init_inputs() -> list[object]:
    return [in_channels, out_channels, kernel_size, stride, padding, dilation]
