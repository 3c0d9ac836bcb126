import torch
import torch.nn as nn


class Model(nn.Module):
    """Layer normalization over all but the batch."""

    def __init__(self, normalized_shape: tuple):
        super().__init__()
        self.layer = nn.LayerNorm(normalized_shape=normalized_shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


batch_size, features, dim1, dim2 = 8, 16, 32, 32


def get_inputs():
    return [torch.rand(batch_size, features, dim1, dim2)]


def get_init_inputs():
    return [(features, dim1, dim2)]
