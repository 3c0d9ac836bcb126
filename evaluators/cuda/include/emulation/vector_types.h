// CUDA's built-in vector types.
#pragma once
#include <cstdint>

#define EMULATION_VECTORS(TYPE, NAME)                                                                     \
  struct NAME##1 { TYPE x; };                                                                             \
  struct __attribute__((aligned(2 * sizeof(TYPE)))) NAME##2 { TYPE x, y; };                               \
  struct NAME##3 { TYPE x, y, z; };                                                                       \
  struct __attribute__((aligned(4 * sizeof(TYPE) < 16 ? 4 * sizeof(TYPE) : 16))) NAME##4 { TYPE x, y, z, w; }; \
  inline NAME##1 make_##NAME##1(TYPE x) { return {x}; }                                                   \
  inline NAME##2 make_##NAME##2(TYPE x, TYPE y) { return {x, y}; }                                        \
  inline NAME##3 make_##NAME##3(TYPE x, TYPE y, TYPE z) { return {x, y, z}; }                             \
  inline NAME##4 make_##NAME##4(TYPE x, TYPE y, TYPE z, TYPE w) { return {x, y, z, w}; }

EMULATION_VECTORS(signed char, char)
EMULATION_VECTORS(unsigned char, uchar)
EMULATION_VECTORS(short, short)
EMULATION_VECTORS(unsigned short, ushort)
EMULATION_VECTORS(int, int)
EMULATION_VECTORS(unsigned int, uint)
EMULATION_VECTORS(long, long)
EMULATION_VECTORS(unsigned long, ulong)
EMULATION_VECTORS(long long, longlong)
EMULATION_VECTORS(unsigned long long, ulonglong)
EMULATION_VECTORS(float, float)
EMULATION_VECTORS(double, double)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};
