import torch
import torch.nn as nn


class Model(nn.Module):
    """Max pooling, one dimension."""

    def __init__(self, kernel_size: int, stride: int, padding: int):
        super().__init__()
        self.layer = nn.MaxPool1d(kernel_size=kernel_size, stride=stride, padding=padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


batch_size, features, length = 16, 64, 2048
kernel_size, stride, padding = 8, 2, 4


def get_inputs():
    return [torch.rand(batch_size, features, length)]


def get_init_inputs():
    return [kernel_size, stride, padding]
