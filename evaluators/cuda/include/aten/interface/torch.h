// PyTorch's own ATen headers without its autograd and pybind parts: 7 s instead of 20 to 60 s in nvcc. Used to confirm an error
// before a candidate is blamed for it. The CUDA parts of ATen need headers that a CPU wheel lacks, so they are declared here.
#pragma once
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/core/TensorAccessor.h>
#include <cuda_runtime.h>
#include <optional>

namespace torch {
using namespace at;
using std::nullopt;
using std::optional;
using Dtype = at::ScalarType;
constexpr auto kU8 = at::kByte, kUInt8 = at::kByte, kI8 = at::kChar, kInt8 = at::kChar, kI16 = at::kShort, kInt16 = at::kShort;
constexpr auto kI32 = at::kInt, kInt32 = at::kInt, kI64 = at::kLong, kInt64 = at::kLong, kF16 = at::kHalf, kFloat16 = at::kHalf;
constexpr auto kF32 = at::kFloat, kFloat32 = at::kFloat, kF64 = at::kDouble, kFloat64 = at::kDouble;
}  // namespace torch

namespace c10::cuda {
struct CUDAStream {
  operator cudaStream_t() const;
  cudaStream_t stream() const;
  DeviceIndex device_index() const;
};
CUDAStream getCurrentCUDAStream(DeviceIndex = -1);
CUDAStream getDefaultCUDAStream(DeviceIndex = -1);
DeviceIndex current_device();
struct CUDAGuard {
  explicit CUDAGuard(DeviceIndex);
  explicit CUDAGuard(Device);
};
struct OptionalCUDAGuard {
  OptionalCUDAGuard();
  explicit OptionalCUDAGuard(std::optional<Device>);
};
}  // namespace c10::cuda
namespace at::cuda {
using namespace c10::cuda;
cudaDeviceProp* getCurrentDeviceProperties();
}  // namespace at::cuda

#define C10_CUDA_CHECK(CALL) TORCH_CHECK((CALL) == cudaSuccess, "CUDA error")
#define AT_CUDA_CHECK C10_CUDA_CHECK
#define C10_CUDA_KERNEL_LAUNCH_CHECK() C10_CUDA_CHECK(cudaGetLastError())
