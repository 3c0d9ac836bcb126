// Stands in for <c10/cuda/CUDAException.h>.
#pragma once
#include <interface/torch.h>
