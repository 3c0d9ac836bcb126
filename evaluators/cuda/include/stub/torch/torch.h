// Stands in for <torch/torch.h>.
#pragma once
#include <interface/tensor.h>
