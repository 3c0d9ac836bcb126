// at::Tensor members, forwarded to the tensor in the Python process.
#include <Python.h>
#include <string>
#include "binding.h"
#include "python.h"

namespace at {

struct TensorState {
  PyObject* object;
  std::vector<int64_t> sizes, strides;
  ScalarType type;
  void* data;
  ~TensorState() { Py_XDECREF(object); }
};

}  // namespace at

namespace bridge {
namespace {

using at::ScalarType;
using at::Tensor;
using at::TensorState;

struct Named { ScalarType type; const char* name; };
constexpr Named kTypes[] = {
    {ScalarType::Byte, "uint8"},    {ScalarType::Char, "int8"},      {ScalarType::Short, "int16"}, {ScalarType::Int, "int32"},
    {ScalarType::Long, "int64"},    {ScalarType::Half, "float16"},   {ScalarType::Float, "float32"}, {ScalarType::Double, "float64"},
    {ScalarType::Bool, "bool"},     {ScalarType::BFloat16, "bfloat16"},
};

PyObject* torch() {
  static PyObject* module = PyImport_ImportModule("torch");
  if (!module) throw PythonError();
  return module;
}

PyObject* dtype_object(ScalarType type) {
  for (const Named& each : kTypes)
    if (each.type == type) return PyObject_GetAttrString(torch(), each.name);
  throw c10::Error("the bridge has no such element type");
}

PyObject* tuple_of(at::IntArrayRef values) {
  PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), PyLong_FromLongLong(values[i]));
  return tuple;
}

std::vector<int64_t> integers(PyObject* sequence) {
  Owned fast(PySequence_Fast(sequence, "expected a sequence of integers"));
  std::vector<int64_t> values;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.object); ++i)
    values.push_back(PyLong_AsLongLong(PySequence_Fast_GET_ITEM(fast.object, i)));
  return values;
}

Tensor wrap(PyObject* object) {  // takes the reference
  auto state = std::make_shared<TensorState>();
  state->object = object;
  Owned sizes(PyObject_GetAttrString(object, "shape")), strides(PyObject_CallMethod(object, "stride", nullptr));
  Owned type(PyObject_GetAttrString(object, "dtype")), data(PyObject_CallMethod(object, "data_ptr", nullptr));
  state->sizes = integers(sizes);
  state->strides = integers(strides);
  state->data = PyLong_AsVoidPtr(data);
  if (!scalar_type_from(type, &state->type)) throw c10::Error("the bridge has no such element type");
  return Tensor(std::move(state));
}

Tensor checked(PyObject* object) {
  if (!object) throw PythonError();
  return wrap(object);
}

PyObject* self(const Tensor& tensor) {
  if (!tensor.defined()) throw c10::Error("the tensor is undefined");
  return tensor.state()->object;
}

PyObject* keywords(const at::TensorOptions& options) {
  PyObject* dictionary = PyDict_New();
  Owned device(PyUnicode_FromString(home_device()));
  PyDict_SetItemString(dictionary, "device", device);
  if (options.has_dtype()) {
    Owned type(dtype_object(options.dtype()));
    PyDict_SetItemString(dictionary, "dtype", type);
  }
  return dictionary;
}

Tensor made(const char* name, PyObject* arguments, const at::TensorOptions& options) {  // takes the arguments
  Owned given(arguments), options_object(keywords(options)), function(PyObject_GetAttrString(torch(), name));
  return checked(PyObject_Call(function, given, options_object));
}

PyObject* number(const at::Scalar& value) {
  return value.is_integer ? PyLong_FromDouble(value.value) : PyFloat_FromDouble(value.value);
}

}  // namespace

bool scalar_type_from(PyObject* object, ScalarType* type) {
  for (const Named& each : kTypes) {
    Owned candidate(PyObject_GetAttrString(torch(), each.name));
    if (candidate.object == object) return *type = each.type, true;
  }
  return false;
}

Tensor tensor_from(PyObject* object) {
  Owned kind(PyObject_GetAttrString(torch(), "Tensor"));
  if (PyObject_IsInstance(object, kind) != 1) return Tensor();
  Py_INCREF(object);
  return wrap(object);
}

PyObject* object_of(const Tensor& tensor) {
  if (!tensor.defined()) Py_RETURN_NONE;
  Py_INCREF(tensor.state()->object);
  return tensor.state()->object;
}

}  // namespace bridge

namespace at {

using bridge::checked;
using bridge::Owned;
using bridge::self;

namespace {

int64_t wrapped(int64_t dim, int64_t count) {
  if (dim < -count || dim >= count) fail("Dimension out of range (got " + std::to_string(dim) + " of " + std::to_string(count) + ")");
  return dim < 0 ? dim + count : dim;
}

Tensor with_tuple(const Tensor& tensor, const char* method, IntArrayRef values) {
  Owned tuple(bridge::tuple_of(values));
  return checked(PyObject_CallMethod(self(tensor), method, "(O)", tuple.object));
}

const char* memory_format_name(MemoryFormat format) {
  switch (format) {
    case MemoryFormat::ChannelsLast: return "channels_last";
    case MemoryFormat::ChannelsLast3d: return "channels_last_3d";
    case MemoryFormat::Preserve: return "preserve_format";
    default: return "contiguous_format";
  }
}

Tensor like(const char* name, const Tensor& tensor, const TensorOptions& options) {
  Owned arguments(PyTuple_Pack(1, self(tensor)));
  return bridge::made(name, arguments.release(), options);
}

Tensor shaped(const char* name, IntArrayRef sizes, const TensorOptions& options) {
  return bridge::made(name, Py_BuildValue("(N)", bridge::tuple_of(sizes)), options);
}

}  // namespace

int64_t Tensor::dim() const { return self(*this), static_cast<int64_t>(state_->sizes.size()); }
int64_t Tensor::size(int64_t dim) const { return self(*this), state_->sizes[wrapped(dim, this->dim())]; }
int64_t Tensor::stride(int64_t dim) const { return self(*this), state_->strides[wrapped(dim, this->dim())]; }
IntArrayRef Tensor::sizes() const { return self(*this), IntArrayRef(state_->sizes); }
IntArrayRef Tensor::strides() const { return self(*this), IntArrayRef(state_->strides); }
int64_t Tensor::numel() const {
  int64_t count = 1;
  for (int64_t size : sizes()) count *= size;
  return count;
}
int64_t Tensor::element_size() const {
  Owned size(PyObject_CallMethod(self(*this), "element_size", nullptr));
  return PyLong_AsLongLong(size);
}
int64_t Tensor::storage_offset() const {
  Owned offset(PyObject_CallMethod(self(*this), "storage_offset", nullptr));
  return PyLong_AsLongLong(offset);
}
ScalarType Tensor::scalar_type() const { return self(*this), state_->type; }
bool Tensor::is_floating_point() const {
  Owned answer(PyObject_CallMethod(self(*this), "is_floating_point", nullptr));
  return answer.object == Py_True;
}
bool Tensor::is_contiguous(MemoryFormat format) const {
  Owned method(PyObject_GetAttrString(self(*this), "is_contiguous")), none(PyTuple_New(0));
  Owned value(PyObject_GetAttrString(bridge::torch(), memory_format_name(format)));
  Owned options(Py_BuildValue("{sO}", "memory_format", value.object));
  Owned answer(PyObject_Call(method, none, options));
  return answer.object == Py_True;
}
bool Tensor::requires_grad() const {
  Owned answer(PyObject_GetAttrString(self(*this), "requires_grad"));
  return answer.object == Py_True;
}
TensorOptions Tensor::options() const { return TensorOptions(scalar_type()).device(device()); }

void* Tensor::data_ptr() const { return self(*this), state_->data; }
void* Tensor::typed_data(ScalarType expected) const {
  self(*this);
  if (state_->type != expected) fail(c10::str("expected scalar type ", expected, " but found ", state_->type));
  return state_->data;
}
double Tensor::item_as_double() const {
  Owned value(PyObject_CallMethod(self(*this), "item", nullptr));
  return PyFloat_AsDouble(value);
}
IntArrayRef Tensor::dims(size_t expected) const {
  if (sizes().size() != expected) fail(c10::str("TensorAccessor expected ", expected, " dims but tensor has ", sizes().size()));
  return sizes();
}

Tensor Tensor::contiguous(MemoryFormat format) const {
  Owned method(PyObject_GetAttrString(self(*this), "contiguous")), none(PyTuple_New(0));
  Owned value(PyObject_GetAttrString(bridge::torch(), memory_format_name(format)));
  Owned options(Py_BuildValue("{sO}", "memory_format", value.object));
  return checked(PyObject_Call(method, none, options));
}
Tensor Tensor::clone() const { return checked(PyObject_CallMethod(self(*this), "clone", nullptr)); }
Tensor Tensor::detach() const { return checked(PyObject_CallMethod(self(*this), "detach", nullptr)); }
Tensor Tensor::view(IntArrayRef sizes) const { return with_tuple(*this, "view", sizes); }
Tensor Tensor::reshape(IntArrayRef sizes) const { return with_tuple(*this, "reshape", sizes); }
Tensor Tensor::expand(IntArrayRef sizes) const { return with_tuple(*this, "expand", sizes); }
Tensor Tensor::permute(IntArrayRef dims) const { return with_tuple(*this, "permute", dims); }
Tensor Tensor::flip(IntArrayRef dims) const { return with_tuple(*this, "flip", dims); }
Tensor Tensor::transpose(int64_t a, int64_t b) const { return checked(PyObject_CallMethod(self(*this), "transpose", "(LL)", a, b)); }
Tensor Tensor::t() const { return checked(PyObject_CallMethod(self(*this), "t", nullptr)); }
Tensor Tensor::squeeze() const { return checked(PyObject_CallMethod(self(*this), "squeeze", nullptr)); }
Tensor Tensor::squeeze(int64_t dim) const { return checked(PyObject_CallMethod(self(*this), "squeeze", "(L)", dim)); }
Tensor Tensor::unsqueeze(int64_t dim) const { return checked(PyObject_CallMethod(self(*this), "unsqueeze", "(L)", dim)); }
Tensor Tensor::flatten(int64_t a, int64_t b) const { return checked(PyObject_CallMethod(self(*this), "flatten", "(LL)", a, b)); }
Tensor Tensor::narrow(int64_t dim, int64_t start, int64_t length) const {
  return checked(PyObject_CallMethod(self(*this), "narrow", "(LLL)", dim, start, length));
}
Tensor Tensor::select(int64_t dim, int64_t index) const { return checked(PyObject_CallMethod(self(*this), "select", "(LL)", dim, index)); }
Tensor Tensor::to(ScalarType type) const {
  Owned object(bridge::dtype_object(type));
  return checked(PyObject_CallMethod(self(*this), "to", "(O)", object.object));
}
Tensor Tensor::zero_() const { return checked(PyObject_CallMethod(self(*this), "zero_", nullptr)); }
Tensor Tensor::fill_(const Scalar& value) const {
  Owned object(bridge::number(value));
  return checked(PyObject_CallMethod(self(*this), "fill_", "(O)", object.object));
}
Tensor Tensor::copy_(const Tensor& source) const { return checked(PyObject_CallMethod(self(*this), "copy_", "(O)", self(source))); }

Tensor empty(IntArrayRef sizes, const TensorOptions& options, std::optional<MemoryFormat> format) {
  Tensor made = shaped("empty", sizes, options);
  return format && *format != MemoryFormat::Contiguous ? made.contiguous(*format) : made;
}
Tensor zeros(IntArrayRef sizes, const TensorOptions& options) { return shaped("zeros", sizes, options); }
Tensor ones(IntArrayRef sizes, const TensorOptions& options) { return shaped("ones", sizes, options); }
Tensor full(IntArrayRef sizes, const Scalar& value, const TensorOptions& options) {
  return bridge::made("full", Py_BuildValue("(NN)", bridge::tuple_of(sizes), bridge::number(value)), options);
}
Tensor empty_like(const Tensor& tensor, const TensorOptions& options) { return like("empty_like", tensor, options); }
Tensor zeros_like(const Tensor& tensor, const TensorOptions& options) { return like("zeros_like", tensor, options); }
Tensor ones_like(const Tensor& tensor, const TensorOptions& options) { return like("ones_like", tensor, options); }
Tensor empty_strided(IntArrayRef sizes, IntArrayRef strides, const TensorOptions& options) {
  return bridge::made("empty_strided", Py_BuildValue("(NN)", bridge::tuple_of(sizes), bridge::tuple_of(strides)), options);
}

}  // namespace at
