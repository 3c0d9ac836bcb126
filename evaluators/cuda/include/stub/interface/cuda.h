// What at::cuda and c10::cuda give a kernel wrapper: the current stream, a device guard, launch checks.
#pragma once
#include <cuda_runtime.h>
#include "tensor.h"

namespace c10::cuda {

#ifdef INTERFACE_ON_DEVICE
cudaStream_t current_stream();  // as PyTorch has it at the call
#else
inline cudaStream_t current_stream() { return nullptr; }
#endif
struct CUDAStream {
  cudaStream_t handle = nullptr;
  operator cudaStream_t() const { return handle; }
  cudaStream_t stream() const { return handle; }
  DeviceIndex device_index() const { return 0; }
};
inline CUDAStream getCurrentCUDAStream(DeviceIndex = -1) { return {current_stream()}; }
inline CUDAStream getDefaultCUDAStream(DeviceIndex = -1) { return {}; }
inline DeviceIndex current_device() { return 0; }

struct CUDAGuard {
  explicit CUDAGuard(Device) {}
  explicit CUDAGuard(DeviceIndex) {}
};
struct OptionalCUDAGuard {
  OptionalCUDAGuard() = default;
  explicit OptionalCUDAGuard(std::optional<Device>) {}
};

}  // namespace c10::cuda

namespace at::cuda {
using c10::cuda::CUDAGuard;
using c10::cuda::CUDAStream;
using c10::cuda::getCurrentCUDAStream;
using c10::cuda::getDefaultCUDAStream;
using c10::cuda::OptionalCUDAGuard;
cudaDeviceProp* getCurrentDeviceProperties();
}  // namespace at::cuda

#define C10_CUDA_CHECK(CALL)                                                              \
  do {                                                                                    \
    const cudaError_t error_of_call = CALL;                                               \
    if (error_of_call != cudaSuccess) ::c10::fail(cudaGetErrorString(error_of_call));     \
  } while (0)
#define AT_CUDA_CHECK C10_CUDA_CHECK
#define C10_CUDA_KERNEL_LAUNCH_CHECK() C10_CUDA_CHECK(cudaGetLastError())
