import torch
import torch.nn as nn


class Model(nn.Module):
    """A transposed 2-D convolution."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=False):
        super(Model, self).__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(x)


batch_size = 4
in_channels = 16
out_channels = 24
height = 32
width = 40


def get_inputs():
    return [torch.rand(batch_size, in_channels, height, width)]


def get_init_inputs():
    return [in_channels, out_channels, (3, 5), (2, 1), (1, 2), True]
