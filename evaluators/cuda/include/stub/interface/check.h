// TORCH_CHECK and AT_DISPATCH_*: host code only.
#pragma once
#include <stdexcept>
#include "types.h"
#if !defined(__CUDACC__) || defined(INTERFACE_ON_DEVICE)
#define INTERFACE_IS_LINKED
#include <sstream>  // 0.15 s that only a linked module needs
#endif

namespace c10 {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

#ifndef INTERFACE_IS_LINKED
template <class... Parts>
std::string str(const Parts&... parts);
#else
inline std::ostream& operator<<(std::ostream& out, ScalarType type) { return out << toString(type); }
inline std::ostream& operator<<(std::ostream& out, const Device& device) { return out << (device.is_cuda() ? "cuda" : "cpu"); }
template <class T>
std::ostream& operator<<(std::ostream& out, ArrayRef<T> values) {
  out << "[";
  for (size_t i = 0; i < values.size(); ++i) out << (i ? ", " : "") << values[i];
  return out << "]";
}
template <class... Parts>
std::string str(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}
#endif
[[noreturn]] inline void fail(const std::string& message) { throw Error(message); }

}  // namespace c10

#define INTERFACE_FAIL(CONDITION, ...) \
  ::c10::fail(::c10::str(__VA_ARGS__).empty() ? std::string("Expected " CONDITION " to be true, but got false.") \
                                             : ::c10::str(__VA_ARGS__))
#define TORCH_CHECK(CONDITION, ...)                             \
  do {                                                          \
    if (!(CONDITION)) INTERFACE_FAIL(#CONDITION, ##__VA_ARGS__); \
  } while (0)
#define TORCH_INTERNAL_ASSERT TORCH_CHECK
#define TORCH_CHECK_VALUE TORCH_CHECK
#define AT_ASSERTM TORCH_CHECK
#define AT_ASSERT TORCH_CHECK
#define AT_ERROR(...) ::c10::fail(::c10::str(__VA_ARGS__))
#define TORCH_WARN(...) ((void)0)

#define AT_DISPATCH_CASE(TYPE, ...)      \
  case TYPE: {                           \
    using scalar_t = typename ::c10::CppTypeOf<TYPE>::type; \
    return __VA_ARGS__();                \
  }
#define AT_DISPATCH_SWITCH(TYPE, NAME, ...)                                                              \
  [&] {                                                                                                  \
    switch (TYPE) {                                                                                      \
      __VA_ARGS__                                                                                        \
      default:                                                                                           \
        ::c10::fail(std::string("\"") + NAME + "\" not implemented for '" + ::c10::toString(TYPE) + "'"); \
    }                                                                                                    \
  }()
#define AT_DISPATCH_CASE_FLOATING_TYPES(...)              \
  AT_DISPATCH_CASE(::c10::ScalarType::Double, __VA_ARGS__) \
  AT_DISPATCH_CASE(::c10::ScalarType::Float, __VA_ARGS__)
#define AT_DISPATCH_CASE_INTEGRAL_TYPES(...)             \
  AT_DISPATCH_CASE(::c10::ScalarType::Byte, __VA_ARGS__)  \
  AT_DISPATCH_CASE(::c10::ScalarType::Char, __VA_ARGS__)  \
  AT_DISPATCH_CASE(::c10::ScalarType::Int, __VA_ARGS__)   \
  AT_DISPATCH_CASE(::c10::ScalarType::Long, __VA_ARGS__)  \
  AT_DISPATCH_CASE(::c10::ScalarType::Short, __VA_ARGS__)
#define AT_DISPATCH_FLOATING_TYPES(TYPE, NAME, ...) \
  AT_DISPATCH_SWITCH(TYPE, NAME, AT_DISPATCH_CASE_FLOATING_TYPES(__VA_ARGS__))
#define AT_DISPATCH_FLOATING_TYPES_AND(MORE, TYPE, NAME, ...) \
  AT_DISPATCH_SWITCH(TYPE, NAME, AT_DISPATCH_CASE_FLOATING_TYPES(__VA_ARGS__) AT_DISPATCH_CASE(MORE, __VA_ARGS__))
#define AT_DISPATCH_FLOATING_TYPES_AND2(MORE, MORE2, TYPE, NAME, ...)          \
  AT_DISPATCH_SWITCH(TYPE, NAME, AT_DISPATCH_CASE_FLOATING_TYPES(__VA_ARGS__)  \
      AT_DISPATCH_CASE(MORE, __VA_ARGS__) AT_DISPATCH_CASE(MORE2, __VA_ARGS__))
#define AT_DISPATCH_FLOATING_TYPES_AND_HALF(TYPE, NAME, ...) \
  AT_DISPATCH_FLOATING_TYPES_AND(::c10::ScalarType::Half, TYPE, NAME, __VA_ARGS__)
#define AT_DISPATCH_ALL_TYPES(TYPE, NAME, ...) \
  AT_DISPATCH_SWITCH(TYPE, NAME, AT_DISPATCH_CASE_FLOATING_TYPES(__VA_ARGS__) AT_DISPATCH_CASE_INTEGRAL_TYPES(__VA_ARGS__))
