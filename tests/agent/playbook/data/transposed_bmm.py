import torch
import torch.nn as nn


class Model(nn.Module):
    """A batched product of a transposed left operand."""

    def __init__(self):
        super(Model, self).__init__()
        pass

    def forward(self, A, B) -> torch.Tensor:
        return torch.bmm(A.transpose(1, 2), B)


batch_size = 4
M = 130
K = 200
N = 70


def get_inputs():
    return [torch.rand(batch_size, K, M), torch.rand(batch_size, K, N)]


def get_init_inputs():
    return []
