import torch
import torch.nn as nn


class Model(nn.Module):
    """A matrix times a column."""

    def __init__(self):
        super(Model, self).__init__()
        pass

    def forward(self, A, B) -> torch.Tensor:
        return torch.matmul(A, B)


M = 256
K = 16384


def get_inputs():
    return [torch.rand(M, K), torch.rand(K, 1)]


def get_init_inputs():
    return []
