// Stands in for <torch/types.h>.
#pragma once
#include <interface/torch.h>
