#include <torch/extension.h>
#include <cuda_fp16.h>
#include <ATen/cuda/CUDAContext.h>

// kernel<<<not, a, launch>>>(in a comment)
constexpr int kThreads = 96;  // three warps

template <typename scalar_t, int N>
__global__ void __launch_bounds__(kThreads) row_sum(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, int columns) {
  __shared__ scalar_t partial[N];
  scalar_t sum = 0;
  for (int c = threadIdx.x; c < columns; c += blockDim.x) sum += x[blockIdx.x * (int64_t)columns + c];
  partial[threadIdx.x] = sum;
  __syncthreads();
  for (int width = 64; width > 0; width /= 2) {
    if (threadIdx.x < width && threadIdx.x + width < N) partial[threadIdx.x] += partial[threadIdx.x + width];
    __syncthreads();
  }
  if (threadIdx.x == 0) y[blockIdx.x] = partial[0];
}

__device__ __forceinline__ float warp_sum(float v) {
  for (int offset = 16; offset > 0; offset >>= 1) v += __shfl_down_sync(0xffffffff, v, offset);
  return v;
}

__global__ void warp_row_sum(const float* x, float* y, int columns) {
  extern __shared__ float warps[];
  float v = 0.f;
  for (int c = threadIdx.x; c < columns; c += blockDim.x) v += __ldg(&x[blockIdx.x * columns + c]);
  v = warp_sum(v);
  if ((threadIdx.x & 31) == 0) warps[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x < 32) {
    v = threadIdx.x < blockDim.x / 32 ? warps[threadIdx.x] : 0.f;
    v = warp_sum(v);
    if (threadIdx.x == 0) atomicAdd(&y[blockIdx.x], v);
  }
}

__global__ void copy4(const float4* x, float4* y, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) {
    float4 v = x[i];
    y[i] = make_float4(v.x, v.y, max(v.z, 0.0f), fminf(v.w, 1.0f));
  }
}

__global__ void half_twice(const __half* x, __half* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = __float2half(2.0f * __half2float(x[i]));
}

__global__ void product(torch::PackedTensorAccessor32<float, 2, torch::RestrictPtrTraits> a,
                        torch::PackedTensorAccessor32<float, 2, torch::RestrictPtrTraits> b,
                        torch::PackedTensorAccessor32<float, 2, torch::RestrictPtrTraits> c) {
  int i = blockIdx.y * blockDim.y + threadIdx.y, j = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= c.size(0) || j >= c.size(1)) return;
  float sum = 0;
  for (int k = 0; k < a.size(1); ++k) sum += a[i][k] * b[k][j];
  c[i][j] = sum;
}

__global__ void positives(const float* x, int* count, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned votes = __ballot_sync(0xffffffffu, i < n && x[i] > 0);
  if (threadIdx.x % 32 == 0) atomicAdd(count, __popc(votes));
}

__global__ void half_of_the_block_waits(float* x) {
  if (threadIdx.x < 16) __syncthreads();
  else if (threadIdx.x > 16) __syncwarp();
  x[threadIdx.x] = 1;
}

torch::Tensor sums(torch::Tensor x) {
  TORCH_CHECK(x.is_cuda(), "x must be a CUDA tensor");
  TORCH_CHECK(x.dim() == 2, "x must have 2 dimensions, not ", x.dim());
  auto y = torch::empty({x.size(0)}, x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "sums", ([&] {
    row_sum<scalar_t, kThreads><<<x.size(0), kThreads>>>(x.data_ptr<scalar_t>(), y.data_ptr<scalar_t>(), x.size(1));
  }));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return y;
}

torch::Tensor warp_sums(torch::Tensor x) {
  auto y = torch::zeros({x.size(0)}, x.options());
  const char* text = "warp_row_sum<<<1, 1>>>(in a string)";
  warp_row_sum<<<dim3(x.size(0), 1, (text != nullptr) ? 1 : 2), /* threads, in a comment */ 128,
                 (128 / 32) * sizeof(float), at::cuda::getCurrentCUDAStream()>>>(
      x.data_ptr<float>(), y.data_ptr<float>(), x.size(1));
  return y;
}

torch::Tensor copied(torch::Tensor x) {
  auto y = torch::empty_like(x);
  const int count = x.numel() / 4;
  copy4<<<(count + 31) / 32, 32>>>(reinterpret_cast<const float4*>(x.data_ptr<float>()),
                                   reinterpret_cast<float4*>(y.data_ptr<float>()), count);
  return y;
}

torch::Tensor halves(torch::Tensor x) {
  auto y = torch::empty_like(x);
  half_twice<<<(x.numel() + 63) / 64, 64>>>(reinterpret_cast<const __half*>(x.data_ptr<at::Half>()),
                                            reinterpret_cast<__half*>(y.data_ptr<at::Half>()), x.numel());
  return y;
}

torch::Tensor multiplied(torch::Tensor a, torch::Tensor b) {
  auto c = torch::zeros({a.size(0), b.size(1)}, a.options().dtype(torch::kFloat32).device(torch::kCUDA));
  const dim3 block(8, 4), grid((c.size(1) + 7) / 8, (c.size(0) + 3) / 4);
  product<<<grid, block>>>(a.packed_accessor32<float, 2, torch::RestrictPtrTraits>(),
                           b.packed_accessor32<float, 2, torch::RestrictPtrTraits>(),
                           c.packed_accessor32<float, 2, torch::RestrictPtrTraits>());
  return c;
}

torch::Tensor counted(torch::Tensor x) {
  auto count = torch::zeros({1}, x.options().dtype(torch::kInt));
  positives<<<(x.numel() + 127) / 128, 128>>>(x.contiguous().data_ptr<float>(), count.data_ptr<int>(), x.numel());
  return count;
}

void hangs(torch::Tensor x) { half_of_the_block_waits<<<1, 32>>>(x.data_ptr<float>()); }
int64_t too_many_threads(torch::Tensor x) {
  half_of_the_block_waits<<<1, 2048>>>(x.data_ptr<float>());
  return cudaGetLastError();
}
