// Stands in for <torch/csrc/utils/pybind.h>.
#pragma once
#include <interface/binding.h>
