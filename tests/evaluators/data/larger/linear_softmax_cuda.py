import functools

import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

CUDA_SRC = r"""
#include <torch/extension.h>
#include <cuda_runtime.h>

__global__ void linear_softmax(const float* x, const float* w, const float* b, float* y, int N, int K) {
  __shared__ float part[256];
  int row = blockIdx.x, t = threadIdx.x;
  float v = -INFINITY;
  if (t < N) {
    v = b[t];
    for (int k = 0; k < K; ++k) v += x[(long)row * K + k] * w[(long)t * K + k];
  }
  part[t] = v;
  __syncthreads();
  for (int s = 128; s > 0; s >>= 1) {
    if (t < s) part[t] = fmaxf(part[t], part[t + s]);
    __syncthreads();
  }
  float top = part[0];
  __syncthreads();
  float e = t < N ? expf(v - top) : 0.f;
  part[t] = e;
  __syncthreads();
  for (int s = 128; s > 0; s >>= 1) {
    if (t < s) part[t] += part[t + s];
    __syncthreads();
  }
  if (t < N) y[(long)row * N + t] = e / part[0];
}

torch::Tensor run(torch::Tensor x, torch::Tensor w, torch::Tensor b) {
  int M = x.size(0), K = x.size(1), N = w.size(0);
  TORCH_CHECK(N <= 256, "at most 256 outputs a row");
  auto y = at::empty({M, N}, x.options());
  linear_softmax<<<M, 256>>>(x.data_ptr<float>(), w.data_ptr<float>(), b.data_ptr<float>(), y.data_ptr<float>(), N, K);
  return y;
}
"""

CPP_SRC = "torch::Tensor run(torch::Tensor x, torch::Tensor w, torch::Tensor b);"


@functools.lru_cache(maxsize=None)
def extension():
    return load_inline(name="linear_softmax", cpp_sources=CPP_SRC, cuda_sources=CUDA_SRC, functions=["run"])


class ModelNew(nn.Module):
    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return extension().run(x.contiguous(), self.linear.weight, self.linear.bias)
