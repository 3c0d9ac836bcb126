// Stands in for <pybind11/pybind11.h>.
#pragma once
#include <interface/binding.h>
