"""Twice its input, at a size of which only samples are computed."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2.0 * x


rows = 4096
columns = 2048


def get_inputs():
    return [torch.randn(rows, columns)]


def get_init_inputs():
    return []
