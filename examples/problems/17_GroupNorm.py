import torch
import torch.nn as nn


class Model(nn.Module):
    """Group normalization."""

    def __init__(self, num_features: int, num_groups: int):
        super().__init__()
        self.layer = nn.GroupNorm(num_groups=num_groups, num_channels=num_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


batch_size, features, groups, dim = 8, 32, 8, 48


def get_inputs():
    return [torch.rand(batch_size, features, dim, dim)]


def get_init_inputs():
    return [features, groups]
