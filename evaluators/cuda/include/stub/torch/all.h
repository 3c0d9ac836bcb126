// Stands in for <torch/all.h>.
#pragma once
#include <interface/tensor.h>
