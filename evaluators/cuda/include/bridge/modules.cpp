// The module object of an extension: its functions and their errors.
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>
#include "python.h"

namespace bridge {
namespace {

struct Function {
  std::function<PyObject*(PyObject*)> call;
  std::vector<Parameter> parameters;
};

Function* function_of(PyObject* capsule) { return static_cast<Function*>(PyCapsule_GetPointer(capsule, nullptr)); }
void delete_function(PyObject* capsule) { delete function_of(capsule); }

// The arguments as one tuple: positional ones, then named ones and defaults as far as they go without a gap.
PyObject* merged(const Function& function, PyObject* positional, PyObject* named) {
  Owned list(PySequence_List(positional));
  Py_ssize_t used = 0;
  for (size_t i = PyTuple_GET_SIZE(positional); i < function.parameters.size(); ++i) {
    const Parameter& parameter = function.parameters[i];
    PyObject* given = named ? PyDict_GetItemString(named, parameter.name) : nullptr;
    used += given != nullptr;
    if (!given) given = parameter.fallback;
    if (!given) break;
    PyList_Append(list, given);
  }
  if (named && used != PyDict_GET_SIZE(named)) return PyErr_SetString(PyExc_TypeError, "incompatible function arguments: unknown keyword"), nullptr;
  return PyList_AsTuple(list);
}

PyObject* call_capsule(PyObject* capsule, PyObject* positional, PyObject* named) {
  const Function& function = *function_of(capsule);
  if (!named && function.parameters.empty()) return function.call(positional);
  PyObject* arguments = merged(function, positional, named);
  if (!arguments) return nullptr;
  PyObject* result = function.call(arguments);
  Py_DECREF(arguments);
  return result;
}

}  // namespace

PyObject* wrong_arguments(const char* name, PyObject* given, size_t expected) {
  if (PyErr_Occurred()) return nullptr;
  std::string types;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(given); ++i)
    types += std::string(i ? ", " : "") + Py_TYPE(PyTuple_GET_ITEM(given, i))->tp_name;
  PyErr_Format(PyExc_TypeError, "%s(): incompatible function arguments: the C++ function takes %zu, invoked with (%s)", name, expected,
               types.c_str());
  return nullptr;
}

PyObject* python_error_of_exception() {
  try {
    throw;
  } catch (const PythonError&) {
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  } catch (...) {
    PyErr_SetString(PyExc_RuntimeError, "the extension threw something that is no std::exception");
  }
  return nullptr;
}

PyObject* function_object(const char* name, std::function<PyObject*(PyObject*)> call, std::vector<Parameter> parameters) {
  auto method = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(call_capsule));
  auto* definition = new PyMethodDef{name, method, METH_VARARGS | METH_KEYWORDS, nullptr};  // lives as long as the process
  Owned capsule(PyCapsule_New(new Function{std::move(call), std::move(parameters)}, nullptr, delete_function));
  return PyCFunction_New(definition, capsule);
}

PyObject* new_module(const char* name, void (*fill)(PyObject*)) {
  auto* definition = new PyModuleDef{PyModuleDef_HEAD_INIT, name, nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
  PyObject* module = PyModule_Create(definition);
  if (!module) return nullptr;
  adorn(module);
  fill(module);
  return module;
}

}  // namespace bridge
