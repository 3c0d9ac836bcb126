// c10::Half and c10::BFloat16: 16-bit storage, float arithmetic, round to nearest even.
// Limits: the device intrinsics PyTorch uses round the same way, but the instructions differ.
#pragma once
#include <cstdint>
#include <cstring>
#include "types.h"

namespace c10 {
namespace bits {

INTERFACE_HOST_DEVICE inline uint32_t of_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}
INTERFACE_HOST_DEVICE inline float to_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

INTERFACE_HOST_DEVICE inline float half_to_float(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 0x1f, fraction = half & 0x3ff;
  if (exponent == 0x1f) return to_float(sign | 0x7f800000u | (fraction << 13));
  if (exponent == 0) {  // zero and subnormals: fraction * 2^-24 is exact in float
    const float magnitude = fraction * 5.9604644775390625e-8f;
    return sign ? -magnitude : magnitude;
  }
  return to_float(sign | ((exponent + 112) << 23) | (fraction << 13));
}

INTERFACE_HOST_DEVICE inline uint16_t float_to_half(float value) {
  const uint32_t bits = of_float(value), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // rounds past 65504
  if (magnitude < 0x38800000u) {  // below 2^-14: adding 0.5 makes the hardware round to a multiple of 2^-24
    return static_cast<uint16_t>(sign | (of_float(to_float(magnitude) + 0.5f) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

INTERFACE_HOST_DEVICE inline float bfloat16_to_float(uint16_t half) { return to_float(static_cast<uint32_t>(half) << 16); }
INTERFACE_HOST_DEVICE inline uint16_t float_to_bfloat16(float value) {
  const uint32_t bits = of_float(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0u;
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace bits

#define INTERFACE_SIXTEEN_BIT_FLOAT(NAME, TO_FLOAT, FROM_FLOAT)                                        \
  struct alignas(2) NAME {                                                                             \
    uint16_t x;                                                                                        \
    NAME() = default;                                                                                  \
    INTERFACE_HOST_DEVICE NAME(float value) : x(bits::FROM_FLOAT(value)) {}                            \
    INTERFACE_HOST_DEVICE operator float() const { return bits::TO_FLOAT(x); }                         \
    INTERFACE_HOST_DEVICE NAME& operator+=(NAME other) { return *this = NAME(float(*this) + float(other)); } \
    INTERFACE_HOST_DEVICE NAME& operator-=(NAME other) { return *this = NAME(float(*this) - float(other)); } \
    INTERFACE_HOST_DEVICE NAME& operator*=(NAME other) { return *this = NAME(float(*this) * float(other)); } \
    INTERFACE_HOST_DEVICE NAME& operator/=(NAME other) { return *this = NAME(float(*this) / float(other)); } \
  };                                                                                                   \
  INTERFACE_HOST_DEVICE inline NAME operator+(NAME a, NAME b) { return float(a) + float(b); }          \
  INTERFACE_HOST_DEVICE inline NAME operator-(NAME a, NAME b) { return float(a) - float(b); }          \
  INTERFACE_HOST_DEVICE inline NAME operator*(NAME a, NAME b) { return float(a) * float(b); }          \
  INTERFACE_HOST_DEVICE inline NAME operator/(NAME a, NAME b) { return float(a) / float(b); }          \
  INTERFACE_HOST_DEVICE inline NAME operator-(NAME a) { return -float(a); }

INTERFACE_SIXTEEN_BIT_FLOAT(Half, half_to_float, float_to_half)
INTERFACE_SIXTEEN_BIT_FLOAT(BFloat16, bfloat16_to_float, float_to_bfloat16)

template <class T>
struct ScalarTypeOf;
template <ScalarType type>
struct CppTypeOf;
#define INTERFACE_SCALAR_TYPE(TYPE, NAME)                                              \
  template <>                                                                          \
  struct ScalarTypeOf<TYPE> { static constexpr ScalarType value = ScalarType::NAME; }; \
  template <>                                                                          \
  struct CppTypeOf<ScalarType::NAME> { using type = TYPE; };
INTERFACE_SCALAR_TYPE(uint8_t, Byte)
INTERFACE_SCALAR_TYPE(int8_t, Char)
INTERFACE_SCALAR_TYPE(int16_t, Short)
INTERFACE_SCALAR_TYPE(int, Int)
INTERFACE_SCALAR_TYPE(int64_t, Long)
INTERFACE_SCALAR_TYPE(Half, Half)
INTERFACE_SCALAR_TYPE(float, Float)
INTERFACE_SCALAR_TYPE(double, Double)
INTERFACE_SCALAR_TYPE(bool, Bool)
INTERFACE_SCALAR_TYPE(BFloat16, BFloat16)

template <class T>
struct CppTypeToScalarType : ScalarTypeOf<T> {};

}  // namespace c10
