// Stands in for <c10/cuda/CUDAFunctions.h>.
#pragma once
#include <interface/torch.h>
