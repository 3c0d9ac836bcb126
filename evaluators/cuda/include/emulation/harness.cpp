// What the judge's side of the process asks of an emulated extension: its launches, and how the next ones run.
#include <bridge/python.h>
#include "execution.h"

namespace bridge {
namespace {

using emulation::Noted;
using emulation::set_recording;
using emulation::set_reversed;
using emulation::set_sampling;
using emulation::take_noted;

bool only_notes = false;

PyObject* take_launches(PyObject*) {
  PyObject* list = PyList_New(0);
  for (const Noted& each : take_noted()) {
    Owned entry(Py_BuildValue("(ss(III)(III)nkO)", each.name.c_str(), each.symbol.c_str(), each.grid.x, each.grid.y, each.grid.z,
                              each.block.x, each.block.y, each.block.z, static_cast<Py_ssize_t>(each.shared_bytes), each.count, each.partial ? Py_True : Py_False));
    PyList_Append(list, entry);
  }
  return list;
}

PyObject* only_note(PyObject*) {
  set_recording(true);
  only_notes = true;
  Py_RETURN_NONE;
}

PyObject* sample_blocks(PyObject* arguments) {
  unsigned long long blocks, seed, parts;
  if (!PyArg_ParseTuple(arguments, "KKK", &blocks, &seed, &parts)) return nullptr;
  set_sampling(blocks, seed, parts);
  Py_RETURN_NONE;
}

PyObject* reverse_blocks(PyObject* arguments) {
  set_reversed(PyTuple_GET_SIZE(arguments) == 1 && PyTuple_GET_ITEM(arguments, 0) == Py_True);
  Py_RETURN_NONE;
}

}  // namespace

const char* home_device() { return only_notes ? "meta" : "cpu"; }

void adorn(PyObject* module) {
  PyModule_AddObject(module, "__take_launches__", function_object("__take_launches__", take_launches));
  PyModule_AddObject(module, "__only_note__", function_object("__only_note__", only_note));
  PyModule_AddObject(module, "__reverse_blocks__", function_object("__reverse_blocks__", reverse_blocks));
  PyModule_AddObject(module, "__sample_blocks__", function_object("__sample_blocks__", sample_blocks));
}

}  // namespace bridge
