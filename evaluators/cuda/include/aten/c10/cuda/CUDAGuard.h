// Stands in for <c10/cuda/CUDAGuard.h>.
#pragma once
#include <interface/torch.h>
