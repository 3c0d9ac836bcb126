// What an extension needs beside the bridge when its kernels run on the card: the current stream, the card's properties.
#include <bridge/python.h>
#include <cuda_runtime.h>

namespace bridge {

const char* home_device() { return "cuda"; }
void adorn(PyObject*) {}

}  // namespace bridge

namespace c10::cuda {

cudaStream_t current_stream() {
  using bridge::Owned;
  static PyObject* function = PyObject_GetAttrString(Owned(PyImport_ImportModule("torch._C")), "_cuda_getCurrentRawStream");
  if (!function) throw bridge::PythonError();
  Owned stream(PyObject_CallFunction(function, "i", 0));
  return static_cast<cudaStream_t>(PyLong_AsVoidPtr(stream));
}

}  // namespace c10::cuda

namespace at::cuda {

cudaDeviceProp* getCurrentDeviceProperties() {
  static cudaDeviceProp properties = [] {
    cudaDeviceProp found{};
    cudaGetDeviceProperties(&found, 0);
    return found;
  }();
  return &properties;
}

}  // namespace at::cuda
