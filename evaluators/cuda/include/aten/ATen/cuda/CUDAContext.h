// Stands in for <ATen/cuda/CUDAContext.h>.
#pragma once
#include <interface/torch.h>
