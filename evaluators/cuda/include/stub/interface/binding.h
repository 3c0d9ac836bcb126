// PYBIND11_MODULE for sources that bind their functions themselves. Where nvcc only compiles, declarations do; where a module
// is linked (INTERFACE_ON_DEVICE, or the emulation) it is ../../bridge/binding.h.
#pragma once
#include "tensor.h"

#if defined(__CUDACC__) && !defined(INTERFACE_ON_DEVICE)
namespace pybind11 {
struct none {};
struct module_ {
  template <class Function, class... Extra>
  module_& def(const char*, Function&&, const Extra&...);
};
struct arg {
  explicit arg(const char*);
  template <class T>
  arg operator=(const T&) const;
};
}  // namespace pybind11
#define PYBIND11_MODULE(NAME, VARIABLE) static void bind_module(::pybind11::module_& VARIABLE)
#else
#include <bridge/binding.h>
#endif
namespace py = pybind11;
