"""A candidate that binds its function itself, with named arguments, constant memory, a guard and a grid-stride loop."""

from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAGuard.h>
__constant__ float factor[2];
__global__ void twice(const float* x, float* y, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) y[i] = factor[1] * x[i];
}
torch::Tensor run(const torch::Tensor& x, const c10::optional<torch::Tensor>& b, double scale, std::array<int64_t, 2> s) {
  const at::cuda::OptionalCUDAGuard guard(device_of(x));
  TORCH_CHECK(!b.has_value());
  float f[2] = {0.f, (float)scale};
  cudaMemcpyToSymbol(factor, f, sizeof(f));
  auto y = torch::empty(x.sizes(), torch::TensorOptions().dtype(x.dtype()).device(x.device()));
  twice<<<dim3{4}, 128, 0, c10::cuda::getCurrentCUDAStream().stream()>>>(x.const_data_ptr<float>(), y.mutable_data_ptr<float>(), x.numel());
  AT_CUDA_CHECK(cudaGetLastError());
  return y;
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("run", &run, "twice", py::arg("x"), py::arg("b") = py::none(), py::arg("scale") = 2.0, py::arg("s"));
}
"""
extension = load_inline(
    name="doubled", cpp_sources="", cuda_sources=[CUDA], extra_cuda_cflags=["-O3", "--use_fast_math"]
)


class ModelNew(nn.Module):
    def forward(self, x):
        return extension.run(x.contiguous(), s=(1, 2))
