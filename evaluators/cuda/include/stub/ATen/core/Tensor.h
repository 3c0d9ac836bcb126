// Stands in for <ATen/core/Tensor.h>.
#pragma once
#include <interface/tensor.h>
