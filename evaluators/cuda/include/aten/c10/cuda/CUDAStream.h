// Stands in for <c10/cuda/CUDAStream.h>.
#pragma once
#include <interface/torch.h>
