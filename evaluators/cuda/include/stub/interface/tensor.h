// at::Tensor as a handle: every member is forwarded to the tensor in the Python process (../../bridge/tensors.cpp), so
// the wrapper's host code behaves exactly as PyTorch does. nvcc only needs the declarations.
// Limits: no operator that computes (matmul, conv, sum, ...): a kernel candidate's work is its kernel.
#pragma once
#include <memory>
#include "accessor.h"
#include "check.h"
#include "half.h"
#include "types.h"

namespace at {
using namespace c10;

struct TensorState;

struct Scalar {
  double value;
  bool is_integer;
  template <class T>
  Scalar(T number) : value(static_cast<double>(number)), is_integer(static_cast<T>(0.5) == static_cast<T>(0)) {}
};

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(std::shared_ptr<TensorState> state) : state_(std::move(state)) {}
  const std::shared_ptr<TensorState>& state() const { return state_; }

  bool defined() const { return state_ != nullptr; }
  int64_t dim() const;
  int64_t ndimension() const { return dim(); }
  int64_t size(int64_t dim) const;
  int64_t stride(int64_t dim) const;
  IntArrayRef sizes() const;
  IntArrayRef strides() const;
  int64_t numel() const;
  int64_t element_size() const;
  int64_t itemsize() const { return element_size(); }
  size_t nbytes() const { return static_cast<size_t>(numel() * element_size()); }
  int64_t storage_offset() const;
  ScalarType scalar_type() const;
  ScalarType dtype() const { return scalar_type(); }
  Device device() const { return Device(DeviceType::CUDA, 0); }
  DeviceIndex get_device() const { return 0; }
  bool is_cuda() const { return true; }
  bool is_cpu() const { return false; }
  bool is_floating_point() const;
  bool is_contiguous(MemoryFormat format = MemoryFormat::Contiguous) const;
  bool requires_grad() const;
  TensorOptions options() const;

  void* data_ptr() const;
  const void* const_data_ptr() const { return data_ptr(); }
  void* mutable_data_ptr() const { return data_ptr(); }
  template <class T>
  T* data_ptr() const { return static_cast<T*>(typed_data(ScalarTypeOf<T>::value)); }
  template <class T>
  const T* const_data_ptr() const { return data_ptr<T>(); }
  template <class T>
  T* mutable_data_ptr() const { return data_ptr<T>(); }
  template <class T>
  T item() const { return static_cast<T>(item_as_double()); }

  template <class T, size_t N, template <class> class Traits = DefaultPtrTraits>
  PackedTensorAccessor32<T, N, Traits> packed_accessor32() const {
    return PackedTensorAccessor32<T, N, Traits>(data_ptr<T>(), dims(N).data(), strides().data());
  }
  template <class T, size_t N, template <class> class Traits = DefaultPtrTraits>
  PackedTensorAccessor64<T, N, Traits> packed_accessor64() const {
    return PackedTensorAccessor64<T, N, Traits>(data_ptr<T>(), dims(N).data(), strides().data());
  }

  Tensor contiguous(MemoryFormat format = MemoryFormat::Contiguous) const;
  Tensor clone() const;
  Tensor detach() const;
  Tensor cuda() const { return *this; }
  Tensor view(IntArrayRef sizes) const;
  Tensor reshape(IntArrayRef sizes) const;
  Tensor expand(IntArrayRef sizes) const;
  Tensor permute(IntArrayRef dims) const;
  Tensor flip(IntArrayRef dims) const;
  Tensor transpose(int64_t first, int64_t second) const;
  Tensor t() const;
  Tensor squeeze() const;
  Tensor squeeze(int64_t dim) const;
  Tensor unsqueeze(int64_t dim) const;
  Tensor flatten(int64_t start = 0, int64_t end = -1) const;
  Tensor narrow(int64_t dim, int64_t start, int64_t length) const;
  Tensor select(int64_t dim, int64_t index) const;
  Tensor operator[](int64_t index) const { return select(0, index); }
  Tensor to(ScalarType type) const;
  Tensor to(Device) const { return *this; }
  Tensor to(DeviceType) const { return *this; }
  Tensor to(const TensorOptions& options) const { return options.has_dtype() ? to(options.dtype()) : *this; }
  Tensor zero_() const;
  Tensor fill_(const Scalar& value) const;
  Tensor copy_(const Tensor& source) const;

 private:
  void* typed_data(ScalarType expected) const;
  double item_as_double() const;
  IntArrayRef dims(size_t expected) const;
  std::shared_ptr<TensorState> state_;
};

Tensor empty(IntArrayRef sizes, const TensorOptions& options = {}, std::optional<MemoryFormat> format = std::nullopt);
Tensor zeros(IntArrayRef sizes, const TensorOptions& options = {});
Tensor ones(IntArrayRef sizes, const TensorOptions& options = {});
Tensor full(IntArrayRef sizes, const Scalar& value, const TensorOptions& options = {});
Tensor empty_like(const Tensor& like, const TensorOptions& options = {});
Tensor zeros_like(const Tensor& like, const TensorOptions& options = {});
Tensor ones_like(const Tensor& like, const TensorOptions& options = {});
Tensor empty_strided(IntArrayRef sizes, IntArrayRef strides, const TensorOptions& options = {});

inline TensorOptions dtype(ScalarType type) { return TensorOptions(type); }
inline TensorOptions device(Device device) { return TensorOptions(device); }
inline TensorOptions device(DeviceType type) { return TensorOptions(type); }

inline Device device_of(const Tensor& tensor) { return tensor.device(); }

}  // namespace at

namespace torch {
using namespace at;
constexpr ScalarType uint8 = kByte, int8 = kChar, int16 = kShort, int32 = kInt, int64 = kLong;
constexpr ScalarType float16 = kHalf, float32 = kFloat, float64 = kDouble, bfloat16 = kBFloat16;
using Dtype = ScalarType;
struct NoGradGuard {};
}  // namespace torch
