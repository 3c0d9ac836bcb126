// What the two sources that talk to the interpreter share.
#pragma once
#include <Python.h>
#include "binding.h"

namespace emulation {

// A new reference, released at the end of the scope.
struct Owned {
  PyObject* object;
  explicit Owned(PyObject* object) : object(object) { if (!object) throw PythonError(); }
  Owned(const Owned&) = delete;
  ~Owned() { Py_XDECREF(object); }
  operator PyObject*() const { return object; }
  PyObject* release() { PyObject* given = object; object = nullptr; return given; }
};

// Where the tensors of this process live: "cpu", or "meta" when launches are only noted.
EMULATION_HIDDEN void set_home_device(const char* name);

}  // namespace emulation
