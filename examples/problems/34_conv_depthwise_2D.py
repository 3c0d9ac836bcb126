import torch
import torch.nn as nn


class Model(nn.Module):
    """2D convolution, one filter per channel."""

    def __init__(self, channels: int, kernel_size: int):
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, kernel_size, groups=channels, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


batch_size, channels, kernel_size, size = 4, 32, 3, 64


def get_inputs():
    return [torch.rand(batch_size, channels, size, size)]


def get_init_inputs():
    return [channels, kernel_size]
