import torch
import torch.nn as nn


class Model(nn.Module):
    """Mean squared error of everything."""

    def __init__(self):
        super(Model, self).__init__()
        pass

    def forward(self, predictions, targets) -> torch.Tensor:
        return torch.mean((predictions - targets) ** 2)


batch_size = 128
dim = 4096


def get_inputs():
    return [torch.rand(batch_size, dim), torch.rand(batch_size, dim)]


def get_init_inputs():
    return []
