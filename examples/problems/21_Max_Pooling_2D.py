import torch
import torch.nn as nn


class Model(nn.Module):
    """Max pooling, two dimensions."""

    def __init__(self, kernel_size: int, stride: int, padding: int):
        super().__init__()
        self.layer = nn.MaxPool2d(kernel_size=kernel_size, stride=stride, padding=padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


batch_size, channels, height, width = 8, 32, 64, 96
kernel_size, stride, padding = 3, 2, 1


def get_inputs():
    return [torch.rand(batch_size, channels, height, width)]


def get_init_inputs():
    return [kernel_size, stride, padding]
