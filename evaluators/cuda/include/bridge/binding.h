// What pybind11 does for a wrapper, for the argument types wrappers have. The rules are pybind11's: no float where an
// int is declared, None only for optional.
#pragma once
#include <Python.h>
#include <array>
#include <functional>
#include <limits>
#include <utility>
#include <interface/tensor.h>

#define BRIDGE_HIDDEN __attribute__((visibility("hidden")))

namespace bridge {

struct PythonError {};  // the error is set in the interpreter

BRIDGE_HIDDEN at::Tensor tensor_from(PyObject* object);  // undefined where the object is no tensor
BRIDGE_HIDDEN PyObject* object_of(const at::Tensor& tensor);
BRIDGE_HIDDEN bool scalar_type_from(PyObject* object, c10::ScalarType* type);
BRIDGE_HIDDEN PyObject* wrong_arguments(const char* name, PyObject* given, size_t expected);
BRIDGE_HIDDEN PyObject* python_error_of_exception();

// A parameter that can be given by name; `fallback` is its default, or null.
struct Parameter {
  const char* name;
  PyObject* fallback = nullptr;
};
BRIDGE_HIDDEN PyObject* function_object(const char* name, std::function<PyObject*(PyObject*)> call,
                                           std::vector<Parameter> parameters = {});
BRIDGE_HIDDEN PyObject* new_module(const char* name, void (*fill)(PyObject*));

template <class T>
struct Argument;

template <class T>
  requires std::is_integral_v<T>
struct Argument<T> {
  T value{};
  bool load(PyObject* object) {
    if (!PyLong_Check(object)) return false;
    const long long number = PyLong_AsLongLong(object);
    if (PyErr_Occurred()) return PyErr_Clear(), false;
    value = static_cast<T>(number);
    return static_cast<long long>(value) == number;
  }
};
template <>
struct Argument<bool> {
  bool value{};
  bool load(PyObject* object) { return value = object == Py_True, PyBool_Check(object); }
};
template <class T>
  requires std::is_floating_point_v<T>
struct Argument<T> {
  T value{};
  bool load(PyObject* object) {
    if (!PyFloat_Check(object) && !PyLong_Check(object)) return false;
    value = static_cast<T>(PyFloat_AsDouble(object));
    return !PyErr_Occurred();
  }
};
template <>
struct Argument<at::Tensor> {
  at::Tensor value;
  bool load(PyObject* object) { return value = tensor_from(object), value.defined(); }
};
template <>
struct Argument<c10::ScalarType> {
  c10::ScalarType value{};
  bool load(PyObject* object) { return scalar_type_from(object, &value); }
};
template <>
struct Argument<std::string> {
  std::string value;
  bool load(PyObject* object) {
    const char* text = PyUnicode_Check(object) ? PyUnicode_AsUTF8(object) : nullptr;
    if (text) value = text;
    return text != nullptr;
  }
};
template <class T>
struct Argument<std::optional<T>> {
  std::optional<T> value;
  bool load(PyObject* object) {
    if (object == Py_None) return true;
    Argument<T> inner;
    if (!inner.load(object)) return false;
    value = inner.value;
    return true;
  }
};
template <class T>
struct Argument<std::vector<T>> {
  std::vector<T> value;
  bool load(PyObject* object) {
    if (!PyList_Check(object) && !PyTuple_Check(object)) return false;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(object); ++i) {
      Argument<T> inner;
      if (!inner.load(PySequence_Fast_GET_ITEM(object, i))) return false;
      value.push_back(inner.value);
    }
    return true;
  }
};
template <class T, size_t N>
struct Argument<std::array<T, N>> {
  std::array<T, N> value{};
  bool load(PyObject* object) {
    Argument<std::vector<T>> inner;
    if (!inner.load(object) || inner.value.size() != N) return false;
    std::copy(inner.value.begin(), inner.value.end(), value.begin());
    return true;
  }
};
template <class T>
struct Argument<c10::ArrayRef<T>> {
  Argument<std::vector<T>> owned;
  c10::ArrayRef<T> value;
  bool load(PyObject* object) {
    if (!owned.load(object)) return false;
    value = owned.value;
    return true;
  }
};

inline PyObject* returned(const at::Tensor& tensor) { return object_of(tensor); }
inline PyObject* returned(bool value) { return PyBool_FromLong(value); }
inline PyObject* returned(double value) { return PyFloat_FromDouble(value); }
inline PyObject* returned(float value) { return PyFloat_FromDouble(value); }
inline PyObject* returned(std::nullopt_t) { Py_RETURN_NONE; }
inline PyObject* returned(int value) { return PyLong_FromLongLong(value); }
inline PyObject* returned(int64_t value) { return PyLong_FromLongLong(value); }
template <class T>
PyObject* returned(const std::vector<T>& values) {
  PyObject* list = PyList_New(static_cast<Py_ssize_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), returned(values[i]));
  return list;
}
template <class... Parts>
PyObject* returned(const std::tuple<Parts...>& parts) {
  PyObject* tuple = PyTuple_New(sizeof...(Parts));
  Py_ssize_t at = 0;
  std::apply([&](const auto&... part) { (PyTuple_SET_ITEM(tuple, at++, returned(part)), ...); }, parts);
  return tuple;
}

template <class Result, class... Parameters, size_t... I>
PyObject* called(const char* name, Result (*function)(Parameters...), PyObject* given, std::index_sequence<I...>) {
  std::tuple<Argument<std::decay_t<Parameters>>...> arguments;
  const bool fits = PyTuple_GET_SIZE(given) == static_cast<Py_ssize_t>(sizeof...(Parameters)) &&
                    (std::get<I>(arguments).load(PyTuple_GET_ITEM(given, I)) && ...);
  if (!fits) return wrong_arguments(name, given, sizeof...(Parameters));
  try {
    if constexpr (std::is_void_v<Result>) {
      function(std::get<I>(arguments).value...);
      Py_RETURN_NONE;
    } else {
      return returned(function(std::get<I>(arguments).value...));
    }
  } catch (...) {
    return python_error_of_exception();
  }
}

}  // namespace bridge

namespace pybind11 {

struct none {};

struct arg : bridge::Parameter {
  explicit arg(const char* name) : Parameter{name} {}
  template <class T>
  arg operator=(const T& value) const {
    arg with = *this;
    if constexpr (std::is_same_v<T, none>) with.fallback = bridge::returned(std::nullopt);
    else with.fallback = bridge::returned(value);
    return with;
  }
};
inline void collect(std::vector<bridge::Parameter>& parameters, const arg& parameter) { parameters.push_back(parameter); }
template <class Other>
void collect(std::vector<bridge::Parameter>&, const Other&) {}  // a docstring, a call policy

struct module_ {
  PyObject* object;
  template <class Result, class... Parameters, class... Extra>
  module_& def(const char* name, Result (*function)(Parameters...), const Extra&... extra) {
    std::vector<bridge::Parameter> parameters;
    (collect(parameters, extra), ...);
    auto call = [name, function](PyObject* given) {
      return bridge::called(name, function, given, std::index_sequence_for<Parameters...>{});
    };
    PyObject* bound = bridge::function_object(name, call, std::move(parameters));
    PyModule_AddObject(object, name, bound);
    return *this;
  }
};

}  // namespace pybind11

namespace torch {
template <class Result, class... Parameters>
auto wrap_pybind_function(Result (*function)(Parameters...)) { return function; }
}  // namespace torch

#define BRIDGE_TEXT_(X) #X
#define BRIDGE_TEXT(X) BRIDGE_TEXT_(X)
#define BRIDGE_JOINED_(A, B) A##B
#define BRIDGE_JOINED(A, B) BRIDGE_JOINED_(A, B)
#define PYBIND11_MODULE(NAME, VARIABLE)                                                             \
  static void bridge_bind(::pybind11::module_& VARIABLE);                                        \
  PyMODINIT_FUNC BRIDGE_JOINED(PyInit_, NAME)() {                                                \
    return ::bridge::new_module(BRIDGE_TEXT(NAME), [](PyObject* object) {                     \
      ::pybind11::module_ module{object};                                                           \
      bridge_bind(module);                                                                       \
    });                                                                                             \
  }                                                                                                 \
  static void bridge_bind(::pybind11::module_& VARIABLE)
