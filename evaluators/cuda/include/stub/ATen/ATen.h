// Stands in for <ATen/ATen.h>.
#pragma once
#include <interface/tensor.h>
