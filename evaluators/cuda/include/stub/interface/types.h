// The value types of PyTorch's C++ interface that load_inline sources use, with PyTorch's names and values.
// Limits: declarations a kernel wrapper needs, nothing of the operator library.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#ifdef __CUDACC__
#define INTERFACE_HOST_DEVICE __host__ __device__
#else
#define INTERFACE_HOST_DEVICE
#endif
#define C10_HOST_DEVICE INTERFACE_HOST_DEVICE
#define C10_DEVICE __device__
#define C10_HOST __host__

namespace c10 {

enum class DeviceType : int8_t { CPU = 0, CUDA = 1, Meta = 14 };
constexpr DeviceType kCPU = DeviceType::CPU;
constexpr DeviceType kCUDA = DeviceType::CUDA;
using DeviceIndex = int8_t;

enum class ScalarType : int8_t {
  Byte = 0, Char = 1, Short = 2, Int = 3, Long = 4, Half = 5, Float = 6, Double = 7, Bool = 11, BFloat16 = 15,
};
constexpr ScalarType kByte = ScalarType::Byte, kUInt8 = ScalarType::Byte;
constexpr ScalarType kChar = ScalarType::Char, kInt8 = ScalarType::Char;
constexpr ScalarType kShort = ScalarType::Short, kInt16 = ScalarType::Short;
constexpr ScalarType kInt = ScalarType::Int, kInt32 = ScalarType::Int;
constexpr ScalarType kLong = ScalarType::Long, kInt64 = ScalarType::Long;
constexpr ScalarType kHalf = ScalarType::Half, kFloat16 = ScalarType::Half;
constexpr ScalarType kFloat = ScalarType::Float, kFloat32 = ScalarType::Float;
constexpr ScalarType kDouble = ScalarType::Double, kFloat64 = ScalarType::Double;
constexpr ScalarType kBool = ScalarType::Bool;
constexpr ScalarType kBFloat16 = ScalarType::BFloat16;

inline const char* toString(ScalarType type) {
  switch (type) {
    case ScalarType::Byte: return "Byte";
    case ScalarType::Char: return "Char";
    case ScalarType::Short: return "Short";
    case ScalarType::Int: return "Int";
    case ScalarType::Long: return "Long";
    case ScalarType::Half: return "Half";
    case ScalarType::Float: return "Float";
    case ScalarType::Double: return "Double";
    case ScalarType::Bool: return "Bool";
    case ScalarType::BFloat16: return "BFloat16";
  }
  return "Undefined";
}

enum class MemoryFormat : int8_t { Contiguous, Preserve, ChannelsLast, ChannelsLast3d };

// Tensors of a wrapper are always reported as living on CUDA device 0: that is where they live on the target.
struct Device {
  DeviceType kind = DeviceType::CUDA;
  DeviceIndex ordinal = 0;
  Device(DeviceType type, DeviceIndex index = 0) : kind(type), ordinal(index) {}
  DeviceType type() const { return kind; }
  DeviceIndex index() const { return ordinal; }
  bool is_cuda() const { return kind == DeviceType::CUDA; }
  bool is_cpu() const { return kind == DeviceType::CPU; }
  bool operator==(const Device& other) const { return kind == other.kind && ordinal == other.ordinal; }
  bool operator!=(const Device& other) const { return !(*this == other); }
};

template <class T>
class ArrayRef {
 public:
  ArrayRef() = default;
  ArrayRef(const T& one) : first_(&one), count_(1) {}
  ArrayRef(const T* first, size_t count) : first_(first), count_(count) {}
  ArrayRef(const std::vector<T>& values) : first_(values.data()), count_(values.size()) {}
  template <size_t N>
  ArrayRef(const std::array<T, N>& values) : first_(values.data()), count_(N) {}
  template <size_t N>
  ArrayRef(const T (&values)[N]) : first_(values), count_(N) {}
  ArrayRef(const std::initializer_list<T>& values) : first_(values.begin()), count_(values.size()) {}
  const T* begin() const { return first_; }
  const T* end() const { return first_ + count_; }
  const T* data() const { return first_; }
  size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  const T& operator[](size_t index) const { return first_[index]; }
  const T& at(size_t index) const { return first_[index]; }
  const T& front() const { return first_[0]; }
  const T& back() const { return first_[count_ - 1]; }
  std::vector<T> vec() const { return std::vector<T>(begin(), end()); }
  bool operator==(const ArrayRef& other) const {
    if (count_ != other.count_) return false;
    for (size_t i = 0; i < count_; ++i)
      if (!(first_[i] == other.first_[i])) return false;
    return true;
  }
  bool operator!=(const ArrayRef& other) const { return !(*this == other); }

 private:
  const T* first_ = nullptr;
  size_t count_ = 0;
};
using IntArrayRef = ArrayRef<int64_t>;

class TensorOptions {
 public:
  TensorOptions() = default;
  TensorOptions(ScalarType type) : type_(type) {}
  TensorOptions(Device device) : device_(device) {}
  TensorOptions(DeviceType type) : device_(Device(type)) {}
  TensorOptions dtype(ScalarType type) const { TensorOptions next = *this; next.type_ = type; return next; }
  TensorOptions device(Device device) const { TensorOptions next = *this; next.device_ = device; return next; }
  TensorOptions device(DeviceType type, DeviceIndex index = 0) const { return device(Device(type, index)); }
  TensorOptions requires_grad(bool) const { return *this; }
  TensorOptions memory_format(MemoryFormat format) const { TensorOptions next = *this; next.format_ = format; return next; }
  ScalarType dtype() const { return type_.value_or(ScalarType::Float); }
  Device device() const { return device_.value_or(Device(DeviceType::CPU)); }
  bool has_dtype() const { return type_.has_value(); }
  std::optional<MemoryFormat> memory_format_opt() const { return format_; }

 private:
  std::optional<ScalarType> type_;
  std::optional<Device> device_;
  std::optional<MemoryFormat> format_;
};

using std::make_optional;
using std::nullopt;
using std::optional;

}  // namespace c10
