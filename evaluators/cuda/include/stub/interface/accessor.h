// Packed tensor accessors: indexable views a kernel takes by value.
#pragma once
#include "types.h"

namespace at {

template <class T>
struct DefaultPtrTraits { using PtrType = T*; };
template <class T>
struct RestrictPtrTraits { using PtrType = T* __restrict__; };

template <class T, size_t N, template <class> class Traits = DefaultPtrTraits, class Index = int64_t>
struct TensorAccessor {
  using Pointer = typename Traits<T>::PtrType;
  Pointer data_;
  const Index* sizes_;
  const Index* strides_;
  INTERFACE_HOST_DEVICE TensorAccessor(Pointer data, const Index* sizes, const Index* strides)
      : data_(data), sizes_(sizes), strides_(strides) {}
  INTERFACE_HOST_DEVICE Index size(Index dim) const { return sizes_[dim]; }
  INTERFACE_HOST_DEVICE Index stride(Index dim) const { return strides_[dim]; }
  INTERFACE_HOST_DEVICE T* data() const { return data_; }
  INTERFACE_HOST_DEVICE decltype(auto) operator[](Index i) const {
    if constexpr (N == 1) {
      return static_cast<T&>(data_[strides_[0] * i]);
    } else {
      return TensorAccessor<T, N - 1, Traits, Index>(data_ + strides_[0] * i, sizes_ + 1, strides_ + 1);
    }
  }
};

template <class T, size_t N, template <class> class Traits = DefaultPtrTraits, class Index = int64_t>
struct GenericPackedTensorAccessor {
  using Pointer = typename Traits<T>::PtrType;
  Pointer data_;
  Index sizes_[N];
  Index strides_[N];
  template <class From>
  GenericPackedTensorAccessor(T* data, const From* sizes, const From* strides) : data_(data) {
    for (size_t i = 0; i < N; ++i) {
      sizes_[i] = static_cast<Index>(sizes[i]);
      strides_[i] = static_cast<Index>(strides[i]);
    }
  }
  INTERFACE_HOST_DEVICE Index size(Index dim) const { return sizes_[dim]; }
  INTERFACE_HOST_DEVICE Index stride(Index dim) const { return strides_[dim]; }
  INTERFACE_HOST_DEVICE T* data() const { return data_; }
  INTERFACE_HOST_DEVICE decltype(auto) operator[](Index i) const {
    return TensorAccessor<T, N, Traits, Index>(data_, sizes_, strides_)[i];
  }
};

template <class T, size_t N, template <class> class Traits = DefaultPtrTraits>
using PackedTensorAccessor32 = GenericPackedTensorAccessor<T, N, Traits, int32_t>;
template <class T, size_t N, template <class> class Traits = DefaultPtrTraits>
using PackedTensorAccessor64 = GenericPackedTensorAccessor<T, N, Traits, int64_t>;

}  // namespace at
