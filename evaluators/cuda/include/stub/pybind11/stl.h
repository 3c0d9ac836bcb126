// Stands in for <pybind11/stl.h>.
#pragma once
#include <interface/binding.h>
