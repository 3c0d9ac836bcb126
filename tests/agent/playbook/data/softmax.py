import torch
import torch.nn as nn


class Model(nn.Module):
    """Softmax along the last dimension."""

    def __init__(self):
        super(Model, self).__init__()
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.softmax(x)


batch_size = 512
dim = 1000


def get_inputs():
    return [torch.rand(batch_size, dim)]


def get_init_inputs():
    return []
