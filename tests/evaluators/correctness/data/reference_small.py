"""A small transposed 3D convolution that uses every option (KernelBench layout)."""
import torch
import torch.nn as nn


class Model(nn.Module):
    """3D transposed convolution."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: tuple, stride: tuple = (1, 1, 1),
                 padding: tuple = (0, 0, 0), output_padding: tuple = (0, 0, 0), groups: int = 1, bias: bool = False):
        super().__init__()
        self.conv_transpose3d = nn.ConvTranspose3d(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding,
            output_padding=output_padding, groups=groups, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_transpose3d(x)


batch_size = 2
in_channels = 4
out_channels = 6
kernel_size = (3, 2, 2)
depth, height, width = 3, 4, 5
stride = (2, 2, 2)
padding = (1, 1, 1)
output_padding = (1, 1, 1)
groups = 2


def get_inputs():
    return [torch.randn(batch_size, in_channels, depth, height, width)]


def get_init_inputs():
    return [in_channels, out_channels, kernel_size, stride, padding, output_padding, groups]
