// Stands in for <ATen/cuda/Exceptions.h>.
#pragma once
#include <interface/torch.h>
