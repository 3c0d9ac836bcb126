// What the two sources that talk to the interpreter share.
#pragma once
#include <Python.h>
#include "binding.h"

namespace bridge {

// A new reference, released at the end of the scope.
struct Owned {
  PyObject* object;
  explicit Owned(PyObject* object) : object(object) { if (!object) throw PythonError(); }
  Owned(const Owned&) = delete;
  ~Owned() { Py_XDECREF(object); }
  operator PyObject*() const { return object; }
  PyObject* release() { PyObject* given = object; object = nullptr; return given; }
};

// What each way of running kernels gives (emulation/harness.cpp, device/harness.cpp).
BRIDGE_HIDDEN const char* home_device();         // where new tensors live: "cuda", "cpu", or "meta" when launches are only noted
BRIDGE_HIDDEN void adorn(PyObject* module);      // adds what the harness asks a module beside the text's own functions

}  // namespace bridge
