// How often a text launched a kernel. Linked with --wrap, so that its launches come through here. Limits: it lies in the
// candidate's own process, so the count can explain or worsen a verdict and decides none.
#include <cuda_runtime.h>

namespace {
unsigned long long launched = 0;
}

extern "C" {

// Read and forget how often kernels were launched.
__attribute__((visibility("default"))) unsigned long long take_launched() {
  const unsigned long long taken = launched;
  launched = 0;
  return taken;
}

// nvcc 13 writes __cudaLaunchKernel for `kernel<<<...>>>`, earlier ones cudaLaunchKernel; what a runtime lacks nobody calls.
#define COUNTED(NAME, PARAMETERS, ARGUMENTS)                       \
  __attribute__((weak)) cudaError_t __real_##NAME PARAMETERS;      \
  cudaError_t __wrap_##NAME PARAMETERS {                           \
    ++launched;                                                    \
    return __real_##NAME ARGUMENTS;                                \
  }

COUNTED(__cudaLaunchKernel, (void* kernel, dim3 grid, dim3 block, void** arguments, size_t bytes, cudaStream_t stream),
        (kernel, grid, block, arguments, bytes, stream))
COUNTED(cudaLaunchKernel, (const void* kernel, dim3 grid, dim3 block, void** arguments, size_t bytes, cudaStream_t stream),
        (kernel, grid, block, arguments, bytes, stream))
COUNTED(cudaLaunchCooperativeKernel, (const void* kernel, dim3 grid, dim3 block, void** arguments, size_t bytes, cudaStream_t stream),
        (kernel, grid, block, arguments, bytes, stream))
COUNTED(cudaLaunchKernelExC, (const cudaLaunchConfig_t* launch, const void* kernel, void** arguments), (launch, kernel, arguments))
}
