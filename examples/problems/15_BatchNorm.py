import torch
import torch.nn as nn


class Model(nn.Module):
    """Batch normalization over the channels."""

    def __init__(self, num_features: int):
        super().__init__()
        self.layer = nn.BatchNorm2d(num_features=num_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


batch_size, features, dim1, dim2 = 8, 32, 64, 64


def get_inputs():
    return [torch.rand(batch_size, features, dim1, dim2)]


def get_init_inputs():
    return [features]
