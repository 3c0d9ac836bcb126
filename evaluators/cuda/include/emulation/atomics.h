// Atomic operations: plain ones, because no two emulated threads run at the same time.
#pragma once
#include <type_traits>

namespace emulation {
template <class T, class Next>
T replaced(T* address, Next next) {
  const T old = *address;
  *address = next(old);
  return old;
}
template <class T>
using plain = std::type_identity_t<T>;
}  // namespace emulation

template <class T>
T atomicAdd(T* at, emulation::plain<T> v) { return emulation::replaced(at, [v](T o) { return T(o + v); }); }
template <class T>
T atomicSub(T* at, emulation::plain<T> v) { return emulation::replaced(at, [v](T o) { return T(o - v); }); }
template <class T>
T atomicExch(T* at, emulation::plain<T> v) { return emulation::replaced(at, [v](T) { return v; }); }
template <class T>
T atomicMin(T* at, emulation::plain<T> v) { return emulation::replaced(at, [v](T o) { return o < v ? o : v; }); }
template <class T>
T atomicMax(T* at, emulation::plain<T> v) { return emulation::replaced(at, [v](T o) { return o > v ? o : v; }); }
template <class T>
T atomicAnd(T* at, emulation::plain<T> v) { return emulation::replaced(at, [v](T o) { return T(o & v); }); }
template <class T>
T atomicOr(T* at, emulation::plain<T> v) { return emulation::replaced(at, [v](T o) { return T(o | v); }); }
template <class T>
T atomicXor(T* at, emulation::plain<T> v) { return emulation::replaced(at, [v](T o) { return T(o ^ v); }); }
template <class T>
T atomicInc(T* at, emulation::plain<T> v) { return emulation::replaced(at, [v](T o) { return o >= v ? T(0) : T(o + 1); }); }
template <class T>
T atomicDec(T* at, emulation::plain<T> v) { return emulation::replaced(at, [v](T o) { return o == 0 || o > v ? v : T(o - 1); }); }
template <class T>
T atomicCAS(T* at, emulation::plain<T> expected, emulation::plain<T> v) {
  return emulation::replaced(at, [=](T o) { return o == expected ? v : o; });
}
