"""HONEST (verdict: accept; needs a GPU and nvcc). CUDA C++ gather kernel through load_inline.

One thread per output element, fp32 accumulation, launched on the current stream, launch errors checked.
The extension is compiled on first use. Must be accepted: `at::empty` only allocates, the __global__ kernel
computes every output element.
"""

import functools

import torch.nn as nn
from torch.utils.cpp_extension import load_inline

CUDA_SRC = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/cuda/CUDAException.h>

struct Geo { int IC, OC, ID, IH, IW, OD, OH, OW, ICG, OCG, SD, SH, SW, PD, PH, PW, KD, KH, KW; };

__global__ void ct3d(const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b,
                     float* __restrict__ y, long total, Geo q) {
  long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
  if (i >= total) return;
  int ow = i % q.OW; long t = i / q.OW;
  int oh = t % q.OH; t /= q.OH;
  int od = t % q.OD; t /= q.OD;
  int oc = t % q.OC; long n = t / q.OC;
  int g = oc / q.OCG, ocl = oc % q.OCG;
  float acc = b ? b[oc] : 0.f;
  for (int kd = 0; kd < q.KD; ++kd) {
    int td = od + q.PD - kd; if (td < 0 || td % q.SD || td / q.SD >= q.ID) continue;
    for (int kh = 0; kh < q.KH; ++kh) {
      int th = oh + q.PH - kh; if (th < 0 || th % q.SH || th / q.SH >= q.IH) continue;
      for (int kw = 0; kw < q.KW; ++kw) {
        int tw = ow + q.PW - kw; if (tw < 0 || tw % q.SW || tw / q.SW >= q.IW) continue;
        long sp = ((long)(td / q.SD) * q.IH + th / q.SH) * q.IW + tw / q.SW;
        long plane = (long)q.ID * q.IH * q.IW;
        for (int c = 0; c < q.ICG; ++c) {
          int ic = g * q.ICG + c;
          acc += x[(n * q.IC + ic) * plane + sp] *
                 w[(((long)ic * q.OCG + ocl) * q.KD + kd) * q.KH * q.KW + kh * q.KW + kw];
        }
      }
    }
  }
  y[i] = acc;
}

torch::Tensor run(torch::Tensor x, torch::Tensor w, c10::optional<torch::Tensor> b, std::vector<int64_t> s,
                  std::vector<int64_t> p, std::vector<int64_t> op, int64_t groups) {
  x = x.contiguous(); w = w.contiguous();
  Geo q;
  q.IC = x.size(1); q.ID = x.size(2); q.IH = x.size(3); q.IW = x.size(4);
  q.KD = w.size(2); q.KH = w.size(3); q.KW = w.size(4);
  q.SD = s[0]; q.SH = s[1]; q.SW = s[2]; q.PD = p[0]; q.PH = p[1]; q.PW = p[2];
  q.OCG = w.size(1); q.OC = q.OCG * groups; q.ICG = q.IC / groups;
  q.OD = (q.ID - 1) * q.SD - 2 * q.PD + q.KD + op[0];
  q.OH = (q.IH - 1) * q.SH - 2 * q.PH + q.KH + op[1];
  q.OW = (q.IW - 1) * q.SW - 2 * q.PW + q.KW + op[2];
  auto y = at::empty({x.size(0), q.OC, q.OD, q.OH, q.OW}, x.options());
  long total = y.numel();
  const float* bp = b.has_value() ? b->contiguous().data_ptr<float>() : nullptr;
  ct3d<<<(total + 255) / 256, 256, 0, c10::cuda::getCurrentCUDAStream()>>>(
      x.data_ptr<float>(), w.data_ptr<float>(), bp, y.data_ptr<float>(), total, q);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return y;
}
"""

CPP_SRC = """
torch::Tensor run(torch::Tensor x, torch::Tensor w, c10::optional<torch::Tensor> b, std::vector<int64_t> s,
                  std::vector<int64_t> p, std::vector<int64_t> op, int64_t groups);
"""


@functools.cache
def extension():
    return load_inline(name="ct3d_direct_cuda", cpp_sources=CPP_SRC, cuda_sources=CUDA_SRC, functions=["run"])


class ModelNew(nn.Module):
    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=(1, 1, 1),
        padding=(0, 0, 0),
        output_padding=(0, 0, 0),
        groups=1,
        bias=False,
    ):
        super().__init__()
        self.conv_transpose3d = nn.ConvTranspose3d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            groups=groups,
            bias=bias,
        )

    def forward(self, x):
        m = self.conv_transpose3d
        return extension().run(x, m.weight, m.bias, list(m.stride), list(m.padding), list(m.output_padding), m.groups)
