import torch
import torch.nn as nn


class Model(nn.Module):
    """Average pooling, two dimensions."""

    def __init__(self, kernel_size: int):
        super().__init__()
        self.layer = nn.AvgPool2d(kernel_size=kernel_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


batch_size, channels, height, width = 8, 32, 96, 96
kernel_size = 3


def get_inputs():
    return [torch.rand(batch_size, channels, height, width)]


def get_init_inputs():
    return [kernel_size]
