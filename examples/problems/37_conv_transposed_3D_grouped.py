import torch
import torch.nn as nn


class Model(nn.Module):
    """Transposed 3D convolution in groups."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, groups: int):
        super().__init__()
        self.layer = nn.ConvTranspose3d(in_channels, out_channels, kernel_size, groups=groups, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


batch_size, in_channels, out_channels, kernel_size, groups = 2, 8, 8, 3, 4
depth, height, width = 6, 8, 10


def get_inputs():
    return [torch.rand(batch_size, in_channels, depth, height, width)]


def get_init_inputs():
    return [in_channels, out_channels, kernel_size, groups]
