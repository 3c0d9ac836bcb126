// PYBIND11_MODULE for sources that bind their functions themselves. nvcc only needs the declarations; the emulation has its
// own binding (../../emulation/binding.h).
#pragma once
#include "tensor.h"

#ifdef __CUDACC__
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
#include <emulation/binding.h>
#endif
namespace py = pybind11;
